"""SAM 3's tracker on the features of one frame, for P objects at once: conditioned features in, masks out, and back.

The order of computation is Meta's. Where transformers' `Sam3TrackerVideoModel` differs from it, Meta's is taken: masks
are made 0 or 1 (or a sigmoid) at input size before they are resized for the memory encoder, objects that compete for a
pixel are settled before they are remembered, and the pointer of a mask that is given comes from the single-mask token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam3_agent.model.tracker import ClickFeatures, Clicks, Tracker
from sam3_agent.model.tracking.parts import MemoryParts

ABSENT = -1024.0
"""Logit of every cell of an object that is not there, in Meta's code."""
OUTSIDE = -10.0
"""Logit that a pixel has at most where another object has won it, and logit of what lies outside a given mask."""
FINENESS = 16
"""Cells of a remembered mask per cell of the ViT's grid, along a side."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """The decoder's answer about P objects on one frame."""

    logits: Tensor
    """(P, 4g, 4g) float32; ABSENT all over where the object is not there."""
    quality: Tensor
    """(P,) predicted IoU."""
    score: Tensor
    """(P,) logits of being there."""
    tokens: Tensor
    """(P, C) the mask's token, of which a pointer is made."""


class VideoTracker(nn.Module):
    """The click half of a checkpoint and its memory parts."""

    def __init__(self, tracker: Tracker, parts: MemoryParts) -> None:
        super().__init__()
        self.tracker = tracker
        self.parts = parts

    def follow(self, features: ClickFeatures, conditioned: Tensor) -> Drawing:
        """Find P objects again by the (P, C, g, g) conditioned features of a frame; `features` has one row or P."""
        masks, quality, tokens, score = self.decode(features, conditioned, *self.unprompted(len(conditioned)), True)
        return self._best(masks, quality, tokens, score)

    def click(self, features: ClickFeatures, clicks: Clicks, conditioned: Tensor | None) -> Drawing:
        """Draw P objects that are clicked at; all prompts have one make-up.

        Three masks are weighed up to one point, one mask is drawn where there are more or a box.
        """
        base = features.embedding if conditioned is None else conditioned
        tokens, dense = self.tracker.embed(clicks)
        count = clicks.points.shape[1] + (0 if clicks.boxes is None else 2)
        base = base.expand(len(tokens), -1, -1, -1)
        masks, quality, found, score = self.decode(features, base, tokens, dense, multimask=count <= 1)
        return self._best(masks, quality, found, score)

    def read_mask(self, features: ClickFeatures, shares: Tensor) -> Tensor:
        """(P, C) tokens for the pointers of P given masks of (P, 16g, 16g) shares."""
        small = self.parts.mask_downsample(shares[:, None].to(features.coarse.dtype))  # (P, 1, 4g, 4g)
        dense = cast(Any, self.tracker.tracker_model.prompt_encoder).mask_embed(small)
        tokens, _ = self.unprompted(len(shares))
        coarse = features.coarse.expand(len(shares), -1, -1, -1)
        return self.decode(features, coarse, tokens, dense, multimask=False)[2][:, 0]

    def decode(
        self, features: ClickFeatures, coarse: Tensor, tokens: Tensor, dense: Tensor, multimask: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(P, K, 4g, 4g) logits, (P, K) predicted IoU, (P, K, C) tokens, (P,) object scores; K is 3, or 1."""
        count = len(coarse)
        masks, quality, found, score = cast(Any, self.tracker.tracker_model.mask_decoder)(
            image_embeddings=coarse,
            image_positional_embeddings=self.tracker.positions(count).to(coarse.dtype),
            sparse_prompt_embeddings=tokens,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            high_resolution_features=[
                features.finest.expand(count, -1, -1, -1),
                features.finer.expand(count, -1, -1, -1),
            ],
        )
        return masks[:, 0], quality[:, 0], found[:, 0], score[:, 0, 0]

    def unprompted(self, count: int) -> tuple[Tensor, Tensor]:
        """(P, 1, 2, C) tokens and (P, C, g, g) map where nothing is pointed at: two padding points, as in Meta's."""
        encoder = cast(Any, self.tracker.tracker_model.prompt_encoder)
        tokens = self.parts.tracking_point.expand(count, 1, 2, -1)
        dense = encoder.no_mask_embed.weight[:, :, None, None].expand(count, -1, *encoder.image_embedding_size)
        return tokens, dense

    def shares(self, logits: Tensor, binary: Tensor, lost: Tensor | None = None) -> Tensor:
        """(P, 16g, 16g) how much of each cell a mask covers, as the memory encoder reads it.

        Args:
            logits: (P, h, w); a mask that was given comes at the encoder's own size and is not resized.
            binary: (P,) bool: 0 or 1 instead of a sigmoid, for masks that were clicked at.
            lost: (P, S, S) bool pixels that belong to another object, at input size; None where none do.
        """
        side, fine = self.tracker.image_size, self.fine_size
        exact = logits.shape[-2:] == fine
        masks = logits.float() if exact else resized(logits.float(), (side, side))
        if lost is not None:
            if exact:
                lost = F.interpolate(lost[:, None].float(), size=fine, mode="nearest")[:, 0] > 0
            masks = torch.where(lost, masks.clamp(max=OUTSIDE), masks)
        covered = torch.where(binary[:, None, None], (masks > 0).float(), masks.sigmoid())
        return covered if exact else resized(covered, fine)

    @property
    def fine_size(self) -> tuple[int, int]:
        """(height, width) of masks as the memory encoder reads them."""
        rows, columns = cast(Any, self.tracker.tracker_model.prompt_encoder).image_embedding_size
        return rows * FINENESS, columns * FINENESS

    @staticmethod
    def _best(masks: Tensor, quality: Tensor, tokens: Tensor, score: Tensor) -> Drawing:
        """The mask with the best predicted IoU; of an object that is not there, none."""
        choice = quality.argmax(1)
        rows = torch.arange(len(choice), device=choice.device)
        logits = torch.where((score > 0)[:, None, None], masks[rows, choice].float(), ABSENT)
        return Drawing(logits, quality[rows, choice].float(), score.float(), tokens[rows, choice])


def lost_pixels(logits: Sequence[Tensor], side: int) -> list[Tensor]:
    """(S, S) bool for each of several (h, w) logits, true where another one is larger; of equals the first wins."""
    best: Tensor | None = None
    winner = torch.zeros(side, side, dtype=torch.int32, device=logits[0].device)
    for number, one in enumerate(logits):
        mask = resized(one[None].float(), (side, side))[0]
        if best is None:
            best = mask
            continue
        larger = mask > best
        best = torch.where(larger, mask, best)
        winner[larger] = number
    return [winner != number for number in range(len(logits))]


def resized(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """(P, h, w) at another size, bilinear, averaged where it shrinks."""
    if masks.shape[-2:] == size:
        return masks
    shrinks = masks.shape[-2] > size[0] or masks.shape[-1] > size[1]
    made = F.interpolate(masks[:, None], size=size, mode="bilinear", align_corners=False, antialias=shrinks)
    return made[:, 0]
