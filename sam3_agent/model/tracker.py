"""SAM 3's tracker half as far as one image needs it: a neck of its own, the prompt encoder, the mask decoder.

The modules are those of transformers' `Sam3TrackerModel`, without its backbone: the detector's ViT serves both halves.
`Sam3TrackerModel.forward` differs in two things from what Meta's code does on images; both are settled here. It never
adds the no-memory embedding to the last feature map, and it gives a prompt of a mask alone two "not a point" tokens.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam3TrackerVideoConfig
from transformers.models.sam3.modeling_sam3 import Sam3VisionNeck
from transformers.models.sam3_tracker.modeling_sam3_tracker import (
    Sam3TrackerMaskDecoder,
    Sam3TrackerPositionalEmbedding,
    Sam3TrackerPromptEncoder,
)

LEVELS = 3
"""Levels of the neck that are read, finest first: 4, 2 and 1 times the ViT's grid. A coarser one is never used."""
FULL_MASK_SIDE = 288
FULL_HOLE_AREA = 256
"""Meta's predictor fills holes of at most so many cells of 288 x 288; smaller models in proportion."""
MASK_LIMIT = 32.0
"""Meta's predictor clamps mask logits to +- this before it returns or reuses them."""


@dataclass(frozen=True, slots=True)
class Part:
    """A square part of a ViT's grid; places in it keep the encodings that they have in the whole."""

    top: int
    left: int
    side: int
    whole: int
    """Cells of the whole grid along a side."""


@dataclass(frozen=True, slots=True)
class ClickFeatures:
    """Inputs of the mask decoder for B images; 21 MB an image at full size in float32."""

    finest: Tensor
    """(B, C / 8, 4g, 4g) on a ViT grid of g."""
    finer: Tensor
    """(B, C / 4, 2g, 2g)"""
    coarse: Tensor
    """(B, C, g, g) as the neck gives it; what a tracker with memory conditions."""
    no_memory: Tensor
    """(1, C, 1, 1) what is added to `coarse` where nothing is remembered."""

    @property
    def embedding(self) -> Tensor:
        """(B, C, g, g), the no-memory embedding added."""
        return self.coarse + self.no_memory

    def select(self, index: Tensor) -> "ClickFeatures":
        """The features of the image of each prompt."""
        return ClickFeatures(self.finest[index], self.finer[index], self.coarse[index], self.no_memory)

    def on(self, device: torch.device) -> "ClickFeatures":
        """The features on a device."""
        if self.coarse.device == device:
            return self
        return ClickFeatures(*(part.to(device) for part in (self.finest, self.finer, self.coarse, self.no_memory)))

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self.finest.nbytes + self.finer.nbytes + self.coarse.nbytes


@dataclass(frozen=True, slots=True)
class Clicks:
    """Prompts of P objects, all of one make-up: as many points each, all with or all without a box."""

    points: Tensor
    """(P, N, 2) xy in input pixels (0 to image_size)."""
    labels: Tensor
    """(P, N) 1 belongs to the object, 0 does not."""
    boxes: Tensor | None = None
    """(P, 4) xyxy in input pixels."""
    masks: Tensor | None = None
    """(P, 1, 4g, 4g) logits of the mask to refine."""

    def on(self, device: torch.device) -> "Clicks":
        """The prompts on a device."""
        boxes = None if self.boxes is None else self.boxes.to(device)
        masks = None if self.masks is None else self.masks.to(device)
        return Clicks(self.points.to(device), self.labels.to(device), boxes, masks)


class Tracker(nn.Module):
    """The parts for clicks; its state dict has the names of a facebook/sam3 checkpoint (`tracker_neck.`, ...)."""

    def __init__(self, config: Sam3TrackerVideoConfig, attention: str = "sdpa") -> None:
        super().__init__()
        self.config = config
        self.tracker_neck = Sam3VisionNeck(cast(Any, config).vision_config)
        self.tracker_model = _Heads(config, attention)
        rows, columns = self.mask_size
        self.hole_area = FULL_HOLE_AREA * rows * columns // FULL_MASK_SIDE**2
        """Holes of at most so many cells are filled in clicked masks."""
        self.part: Part | None = None
        """Of the grid that the features show, while training looks at a part of it; None for all of it."""

    def features(self, grid: Tensor) -> ClickFeatures:
        """Run the neck on the ViT's last (B, D, g, g) hidden state."""
        heads, decoder = self.tracker_model, self.tracker_model.mask_decoder
        finest, finer, coarse = self.tracker_neck.fpn_layers[:LEVELS]
        return ClickFeatures(
            _narrowed(finest, decoder.conv_s0, grid),
            _narrowed(finer, decoder.conv_s1, grid),
            coarse(grid),
            heads.no_memory_embedding.view(1, -1, 1, 1),
        )

    def embed(self, clicks: Clicks) -> tuple[Tensor, Tensor]:
        """(P, 1, L, C) tokens of points and box corners (none for a mask alone), (P, C, g, g) map of the mask."""
        encoder = cast(Any, self.tracker_model.prompt_encoder)
        count, points = clicks.points.shape[:2]
        boxes = None if clicks.boxes is None else clicks.boxes[:, None]  # (P, 1, 4)
        masks = None if clicks.masks is None else clicks.masks.to(encoder.no_mask_embed.weight.dtype)
        if points or boxes is not None:
            given = (clicks.points[:, None], clicks.labels[:, None]) if points else (None, None)
            tokens, dense = encoder(*given, boxes, masks)
            return tokens, dense.expand(count, -1, -1, -1)
        dense = encoder(None, None, None, masks)[1]
        return clicks.points.new_zeros(count, 1, 0, encoder.hidden_size), dense.expand(count, -1, -1, -1)

    def decode(
        self, features: ClickFeatures, tokens: Tensor, dense: Tensor, *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """(P, K, 4g, 4g) float32 mask logits, clamped, and (P, K) predicted IoU; K is 3, or 1 without `multimask`.

        Args:
            features: one row a prompt.
            tokens: (P, 1, L, C) of `embed`.
            dense: (P, C, g, g) of `embed`.
            multimask: three answers to an ambiguous prompt instead of one to a clear one.
        """
        masks, quality, _, _ = cast(Any, self.tracker_model.mask_decoder)(
            image_embeddings=features.embedding,
            image_positional_embeddings=self.positions(len(tokens)).to(features.coarse.dtype),
            sparse_prompt_embeddings=tokens,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            high_resolution_features=[features.finest, features.finer],
        )
        return masks[:, 0].float().clamp(-MASK_LIMIT, MASK_LIMIT), quality[:, 0].float()

    def positions(self, count: int) -> Tensor:
        """(P, C, g, g) encoding of every place of the grid."""
        rows, columns = cast(Any, self.tracker_model.prompt_encoder).image_embedding_size
        table = cast(Any, self.tracker_model.shared_image_embedding)
        device = table.positional_embedding.device
        top, left, side = (0, 0, 0) if self.part is None else (self.part.top, self.part.left, self.part.whole)
        y, x = (
            (torch.arange(n, device=device, dtype=torch.float32) + first + 0.5) / (side or n)
            for n, first in ((rows, top), (columns, left))
        )
        places = torch.stack([x[None, :].expand(rows, -1), y[:, None].expand(-1, columns)], dim=-1)  # (g, g, 2)
        return table(places).permute(2, 0, 1)[None].expand(count, -1, -1, -1)

    @property
    def image_size(self) -> int:
        """Side of the input in pixels, to which points and boxes are scaled."""
        return int(cast(Any, self.tracker_model.prompt_encoder).input_image_size)

    @property
    def mask_size(self) -> tuple[int, int]:
        """(height, width) of mask logits, given or answered."""
        return cast(Any, self.tracker_model.prompt_encoder).mask_input_size


def _narrowed(level: nn.Module, narrow: nn.Conv2d, grid: Tensor) -> Tensor:
    """A level of the neck as the decoder reads it: its 3 x 3 convolution and `narrow`, which is 1 x 1, made one.

    The sums are the same, and of the C channels between the two only C / 8 (C / 4) are computed: on a CPU the
    embedded model's neck takes 15 ms instead of 75.
    """
    parts = cast(Any, level)
    x = grid.to(parts.proj1.weight.dtype)
    for layer in parts.scale_layers:
        x = layer(x)
    wide, few = parts.proj2, narrow.weight[:, :, 0, 0].float()  # (C / 8, C)
    weight = (few @ wide.weight.float().flatten(1)).unflatten(1, wide.weight.shape[1:])  # (C / 8, C, 3, 3)
    bias = few @ wide.bias.float() + cast(Tensor, narrow.bias).float()
    return F.conv2d(parts.proj1(x), weight.to(x.dtype), bias.to(x.dtype), padding=wide.padding)


class _Heads(nn.Module):
    """Tracker modules under `tracker_model.` in a checkpoint, without memory."""

    def __init__(self, config: Sam3TrackerVideoConfig, attention: str) -> None:
        super().__init__()
        parts = cast(Any, config)
        parts.mask_decoder_config._attn_implementation = attention
        self.shared_image_embedding = Sam3TrackerPositionalEmbedding(parts.prompt_encoder_config)
        self.prompt_encoder = Sam3TrackerPromptEncoder(parts.prompt_encoder_config)
        self.mask_decoder = Sam3TrackerMaskDecoder(parts.mask_decoder_config)
        self.no_memory_embedding = nn.Parameter(torch.zeros(1, 1, parts.vision_config.fpn_hidden_size))
