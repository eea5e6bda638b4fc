"""A forward pass of `Sam3Model` that keeps what a loss needs: the outputs of every decoder layer.

`Sam3Model.forward` returns only the last layer, encodes an image once per prompt, and leaves out the geometry CLS token
for text-only prompts. This pass calls the same modules: images once, prompts many, the CLS token always (as Meta's
`sam3_image.py` does).
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torchvision.ops import box_convert  # pyright: ignore[reportMissingTypeStubs]
from transformers import Sam3Model
from transformers.models.sam3.modeling_sam3 import inverse_sigmoid


@dataclass(frozen=True, slots=True)
class Vision:
    """Features of B images; the finest level first."""

    levels: tuple[Tensor, ...]
    """Each (B, C, H, W); the last one feeds the DETR encoder."""
    positions: tuple[Tensor, ...]

    def select(self, index: Tensor) -> "Vision":
        """The features of the image of each prompt."""
        return Vision(tuple(f[index] for f in self.levels), tuple(p[index] for p in self.positions))


@dataclass(frozen=True, slots=True)
class Outputs:
    """Answers to P prompts by Q queries, decoder layers first."""

    logits: Tensor
    """(L, P, Q)"""
    boxes: Tensor
    """(L, P, Q, 4) cxcywh in [0, 1]"""
    presence: Tensor
    """(L, P) logits"""
    queries: Tensor
    """(P, Q, C) the last decoder layer"""


def encode_images(model: Sam3Model, pixels: Tensor) -> Vision:
    """Encode (B, 3, S, S) pixels in [-1, 1]."""
    out = model.vision_encoder(pixels)
    levels = tuple(out.fpn_hidden_states[:-1])
    positions = tuple(p.expand(len(pixels), -1, -1, -1) for p in out.fpn_position_encoding[:-1])
    return Vision(levels, positions)


def encode_text(model: Sam3Model, input_ids: Tensor) -> Tensor:
    """(P, T, C) features of (P, T) token ids; causal, so padding at the end changes nothing before it."""
    return cast(Any, model).get_text_features(input_ids=input_ids, return_dict=True).pooler_output


@dataclass(frozen=True, slots=True)
class Exemplars:
    """Boxes of P prompts and where they are drawn; E slots a prompt."""

    images: Vision
    source: Tensor
    """(P,) which of the images the boxes are on"""
    boxes: Tensor
    """(P, E, 4) cxcywh in [0, 1]"""
    labels: Tensor
    """(P, E) 1 positive, 0 negative, -10 padded"""
    pooled: "PooledExamples | None" = None


@dataclass(frozen=True, slots=True)
class PooledExamples:
    """K examples whose tokens, each read alone, are averaged by prompt; the mean is the prompt's first exemplar."""

    rows: Tensor
    """(K,) prompt"""
    source: Tensor
    """(K,) which of the images the box is on"""
    boxes: Tensor
    """(K, 4) cxcywh in [0, 1]"""


@dataclass(frozen=True, slots=True)
class Grounding:
    """Output of the DETR encoder for P prompts."""

    encoded: Tensor
    """(P, H*W, C)"""
    positions: Tensor
    shapes: Tensor
    prompt: Tensor
    """(P, T + E + 1, C) text, exemplar and CLS tokens"""
    prompt_mask: Tensor


def ground(
    model: Sam3Model,
    vision: Vision,
    image_index: Tensor,
    input_ids: Tensor,
    attention_mask: Tensor,
    exemplars: Exemplars,
) -> Grounding:
    """Fuse P prompts with `vision`, the features of each prompt's image, whose number is in `image_index`."""
    text = encode_text(model, input_ids)
    geometry, geometry_mask = _exemplar_tokens(model, image_index, exemplars)
    prompt = torch.cat([text, geometry], dim=1)  # (P, T + E + 1, C)
    prompt_mask = torch.cat([attention_mask.bool(), geometry_mask], dim=1)
    encoded = model.detr_encoder(
        vision_features=[vision.levels[-1]],
        text_features=prompt,
        vision_pos_embeds=[vision.positions[-1]],
        text_mask=prompt_mask,
    )
    return Grounding(
        encoded.last_hidden_state, encoded.pos_embeds_flattened, encoded.spatial_shapes, prompt, prompt_mask
    )


def _exemplar_tokens(model: Sam3Model, image_index: Tensor, exemplars: Exemplars) -> tuple[Tensor, Tensor]:
    """(P, E + 1, C) tokens, boxes first, then the CLS token, then padding; and their mask.

    Boxes are read on the image that they are drawn on; the CLS token always on the image that is asked about.
    """
    tokens, mask = _geometry(model, exemplars.images, exemplars.source, exemplars.boxes, exemplars.labels)
    lent = (exemplars.source != image_index).nonzero().squeeze(1)
    if len(lent):
        nothing = exemplars.labels[lent].new_full((len(lent), 1), -10)
        boxes = exemplars.boxes[lent, :1]
        own, _ = _geometry(model, exemplars.images, image_index[lent], boxes, nothing)
        place = (exemplars.labels[lent] != -10).sum(1)  # the CLS token stands right after the boxes
        tokens = tokens.index_put((lent, place), own[:, 0])
    if exemplars.pooled is not None and len(exemplars.pooled.rows):
        rows, means = _pooled_tokens(model, exemplars.images, exemplars.pooled)
        tokens = tokens.index_put((rows, torch.zeros_like(rows)), means)
    return tokens, mask


def _pooled_tokens(model: Sam3Model, images: Vision, pooled: PooledExamples) -> tuple[Tensor, Tensor]:
    """(R,) prompts and the (R, C) means of their examples' tokens."""
    boxes = pooled.boxes[:, None]  # (K, 1, 4)
    read, _ = _geometry(
        model, images, pooled.source, boxes, torch.ones(len(boxes), 1, dtype=torch.long, device=boxes.device)
    )
    rows, place, counts = cast(
        tuple[Tensor, Tensor, Tensor],
        pooled.rows.unique(return_inverse=True, return_counts=True),  # pyright: ignore[reportUnknownMemberType]
    )
    sums = read.new_zeros(len(rows), read.shape[-1]).index_add(0, place, read[:, 0])
    return rows, sums / counts[:, None]


def _geometry(model: Sam3Model, images: Vision, source: Tensor, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    features, positions = images.levels[-1][source], images.positions[-1][source]
    with torch.autocast(boxes.device.type, enabled=False):  # ROI-align refuses mixed precision
        out = model.geometry_encoder(
            box_embeddings=boxes,
            box_mask=labels != -10,
            box_labels=labels.clamp(min=0),
            img_feats=(features.float(),),
            img_pos_embeds=(positions.float(),),
        )
    return out.last_hidden_state, out.attention_mask.bool()


def answer(model: Sam3Model, grounding: Grounding) -> Outputs:
    """Decode P grounded prompts into boxes and scores, every decoder layer."""
    decoded = model.detr_decoder(
        vision_features=grounding.encoded,
        text_features=grounding.prompt,
        vision_pos_encoding=grounding.positions,
        text_mask=grounding.prompt_mask,
        spatial_shapes=grounding.shapes,
    )
    hidden = decoded.intermediate_hidden_states  # (L, P, Q, C)
    boxes = (model.detr_decoder.box_head(hidden) + inverse_sigmoid(decoded.reference_boxes)).sigmoid()
    logits = model.dot_product_scoring(
        decoder_hidden_states=hidden, text_features=grounding.prompt, text_mask=grounding.prompt_mask
    ).squeeze(-1)
    presence = decoded.presence_logits.squeeze(-1)
    return Outputs(logits, boxes, presence, hidden[-1])


def draw_masks(
    model: Sam3Model, vision: Vision, grounding: Grounding, outputs: Outputs, rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Mask logits (R, Q, h, w) and semantic logits (R, h, w) of the chosen prompt rows."""
    drawn = model.mask_decoder(
        decoder_queries=outputs.queries[rows],
        backbone_features=[f[rows] for f in vision.levels],
        encoder_hidden_states=grounding.encoded[rows],
        prompt_features=grounding.prompt[rows],
        prompt_mask=grounding.prompt_mask[rows],
    )
    return drawn.pred_masks, drawn.semantic_seg.squeeze(1)


def to_xyxy(boxes: Tensor) -> Tensor:
    """(..., 4) cxcywh to xyxy."""
    return box_convert(boxes, "cxcywh", "xyxy")
