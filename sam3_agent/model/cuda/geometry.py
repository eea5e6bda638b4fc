"""Exemplar boxes as prompt tokens: `sam3_forward.encode_exemplars` without a tensor that is made on the host."""

from typing import Any, cast

import torch
from torch import Tensor
from torchvision import ops  # pyright: ignore[reportMissingTypeStubs]
from transformers import Sam3Model
from transformers.models.sam3 import modeling_sam3

from sam3_agent.model.cuda.layers import mask_bias
from sam3_agent.model.exemplars import PAD

_sam3 = cast(Any, modeling_sam3)


class Geometry:
    """The geometry encoder of a prepared model."""

    def __init__(self, model: Sam3Model, position: Tensor) -> None:
        """`position` is the (1, h * w, C) encoding of the coarsest level."""
        self._encoder = cast(Any, model.geometry_encoder)
        self._position = position

    def text_only(self, coarse: Tensor) -> tuple[Tensor]:
        """(B, 1, C) the CLS token that a prompt without boxes has on each image.

        It depends on the image alone, so it is made once an image. Padded boxes beside it would change nothing: they
        are masked.

        Args:
            coarse: (B, C, h, w) coarsest level.
        """
        return (self._layers(self._cls(len(coarse)), coarse, None),)

    def boxes(self, coarse: Tensor, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(P, N + 1, C) tokens and their (P, N + 1) mask; see `sam3_forward.encode_exemplars`."""
        real = labels != PAD
        boxes = boxes.to(coarse.dtype)
        embedded = self._embedded(coarse, boxes, torch.where(real, labels, 0))
        cls = self._encoder.cls_embed.weight[None].expand(len(coarse), -1, -1)
        always = torch.ones_like(real[:, :1])
        embedded, mask = _sam3.concat_padded_sequences(embedded, real, cls, always)
        tokens = self._encoder.prompt_layer_norm(self._encoder.final_proj(embedded))
        return self._layers(tokens, coarse, mask_bias(mask, tokens.dtype)), mask

    def _cls(self, count: int) -> Tensor:
        encoder = self._encoder
        return encoder.prompt_layer_norm(encoder.final_proj(encoder.cls_embed.weight[None])).expand(count, -1, -1)

    def _layers(self, tokens: Tensor, coarse: Tensor, bias: Tensor | None) -> Tensor:
        seen = coarse.flatten(2).transpose(1, 2)  # (P, h * w, C)
        where = self._position.expand_as(seen)
        for layer in self._encoder.layers:
            tokens = layer(prompt_feats=tokens, vision_feats=seen, vision_pos_encoding=where, prompt_mask=bias)
        return self._encoder.output_layer_norm(tokens)

    def _embedded(self, coarse: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        """(P, N, C): where each box is, what it shows, what it is an example for."""
        encoder = self._encoder
        count, number = boxes.shape[:2]
        height, width = coarse.shape[-2:]
        normed = encoder.vision_layer_norm(coarse.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x0, y0, x1, y1 = ops.box_convert(boxes, "cxcywh", "xyxy").unbind(-1)
        corners = torch.stack([x0 * width, y0 * height, x1 * width, y1 * height], -1)  # (P, N, 4) in cells
        # roi_align knows float16 and float32 only.
        dtype = torch.float16 if coarse.dtype == torch.bfloat16 else coarse.dtype
        image = torch.arange(count, device=boxes.device, dtype=dtype).repeat_interleave(
            number, output_size=count * number
        )
        rois = torch.cat([image[:, None], corners.to(dtype).flatten(0, 1)], dim=1)  # (P * N, 5)
        pooled = cast(Any, ops).roi_align(normed.to(dtype), rois, encoder.roi_size).to(coarse.dtype)
        pooled = encoder.boxes_pool_project(pooled).view(count, number, -1)
        where = encoder._encode_box_coordinates(*(boxes[..., i].flatten() for i in range(4)))
        where = encoder.boxes_pos_enc_project(where.view(count, number, -1))
        return encoder.label_embed(labels.long()) + (encoder.boxes_direct_project(boxes) + pooled + where)
