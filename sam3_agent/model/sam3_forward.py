"""SAM 3's forward pass in pieces: image, text, exemplars, grounding, masks.

`Sam3Model.forward` of transformers does all of it in one go, for as many images as prompts, and decodes all 200 masks
of every prompt. The pieces here call the same modules in the same order (a test holds them equal), but encode an image
once for all its prompts and decode only the masks that are wanted. What makes transformers differ from Meta's code in
the detector is settled in `prepare`, in `exemplars` (the CLS token) and in `phrases`.
"""

import hashlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torchvision.ops import box_convert  # pyright: ignore[reportMissingTypeStubs]
from transformers import Sam3Model
from transformers.models.sam3.modeling_sam3 import inverse_sigmoid

from sam3_agent.model.exemplars import PAD

LAYER_NORM_EPS = 1e-5
PAUSES = 8
"""Moments within one encode at which `between_layers` calls back."""


@dataclass(frozen=True, slots=True)
class Grounded:
    """Output of the detector for P prompts before any mask is drawn; Q queries each. Scores and boxes are float32."""

    logits: torch.Tensor
    """(P, Q) object logits, not multiplied with presence."""
    presence: torch.Tensor
    """(P,) presence logits."""
    boxes: torch.Tensor
    """(P, Q, 4) xyxy, shares of the image; may reach outside it."""
    queries: torch.Tensor
    """(P, Q, C)"""
    memory: torch.Tensor
    """(P, h * w, C): the coarsest level after it has met the prompt."""
    tokens: torch.Tensor
    """(P, L, C): text, boxes, CLS."""
    token_mask: torch.Tensor
    """(P, L) bool, True where a token is real."""


def prepare(model: Sam3Model) -> None:
    """Make a loaded model compute what Meta's does. Changes the model: eval mode, LayerNorm eps, float32 positions.

    Meta's ViT has LayerNorm eps 1e-5, while transformers' default and its conversion script say 1e-6 (measured against
    Meta's own code: logits off by 1.2e-3, and one query changed side), so no checkpoint's config is trusted in this. In
    bfloat16 the ViT's position ids lose up to 0.06 of a grid cell, and its rotary frequencies all but three digits.
    """
    model.eval()
    backbone = cast(Any, model.vision_encoder).backbone
    backbone.config.layer_norm_eps = LAYER_NORM_EPS
    for module in backbone.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = LAYER_NORM_EPS
    for layer in backbone.layers:
        rotary = layer.rotary_emb
        layer.position_ids = layer.precompute_positions(layer.config, layer.window_size).float().to(model.device)
        rotary.inv_freq = rotary.compute_axial_rope_parameters(rotary.config)[0].to(model.device)


@contextmanager
def between_layers(model: Sam3Model, act: Callable[[], None]) -> Generator[None]:
    """Call `act` up to PAUSES times within every encode, each time when the layers so far have been computed."""
    layers = cast(Any, model.vision_encoder).backbone.layers
    step = max(1, len(layers) // PAUSES)

    def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].is_cuda:  # a GPU is far behind whoever queues its work; only now has it caught up
            torch.cuda.current_stream(inputs[0].device).synchronize()
        act()

    handles = [layer.register_forward_pre_hook(hook) for layer in layers[step::step]]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def encode_pixels(model: Sam3Model, pixels: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """The ViT's last hidden state and the pyramid of (B, 3, S, S) pixels.

    The state is (B, D, h, w); the levels are (B, C, h, w), finest first, without the last one, which nothing reads.
    """
    vision = cast(Any, model.vision_encoder)
    hidden = vision.backbone(pixels).last_hidden_state  # (B, h * w, D)
    side = pixels.shape[-1] // vision.config.backbone_config.patch_size
    grid = hidden.view(len(hidden), side, side, -1).permute(0, 3, 1, 2)  # (B, D, h, w)
    return grid, tuple(layer(grid) for layer in vision.neck.fpn_layers[:-1])


def encode_text(model: Sam3Model, ids: torch.Tensor) -> torch.Tensor:
    """(P, CONTEXT, C) text tokens of (P, CONTEXT) ids.

    Without a mask, as Meta does: the encoder is causal, so padding cannot reach the tokens before it.
    """
    return cast(Any, model).get_text_features(input_ids=ids, return_dict=True).pooler_output


def position_encoding(model: Sam3Model, coarse: torch.Tensor) -> torch.Tensor:
    """(1, C, h, w) sine encoding for the coarsest level, computed in float32 and then cast."""
    encoding = cast(Any, model.vision_encoder).neck.position_encoding
    shape = torch.Size((1, *coarse.shape[1:]))
    return encoding(shape, coarse.device, torch.float32).to(coarse.dtype)


def encode_exemplars(
    model: Sam3Model, coarse: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(P, N + 1, C) prompt tokens of boxes, CLS last of the real ones, with their (P, N + 1) mask.

    Args:
        model: prepared.
        coarse: (P, C, h, w) coarsest level of the image that the boxes are on.
        boxes: (P, N, 4) cxcywh, shares of that image; PAD where there is none.
        labels: (P, N) 1 positive, 0 negative, PAD where there is none.
    """
    real = labels != PAD
    encoded = cast(Any, model.geometry_encoder)(
        box_embeddings=boxes.to(coarse.dtype),
        box_mask=real,
        box_labels=torch.where(real, labels, 0),
        img_feats=(coarse,),
        img_pos_embeds=(position_encoding(model, coarse).expand_as(coarse),),
    )
    return encoded.last_hidden_state, encoded.attention_mask


def fingerprint(model: Sam3Model) -> str:
    """16 hex digits that tell two models apart whose exemplar tokens must not be mixed.

    Taken over what makes the tokens and what first reads them, in bfloat16, so that one checkpoint gives one value in
    every number format.
    """
    digest = hashlib.sha256()
    parts = cast(Any, model)
    for part in (parts.vision_encoder.neck, parts.geometry_encoder, parts.detr_encoder):
        for tensor in part.state_dict().values():
            digest.update(tensor.detach().to("cpu", torch.bfloat16).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def ground(model: Sam3Model, coarse: torch.Tensor, tokens: torch.Tensor, token_mask: torch.Tensor) -> Grounded:
    """Boxes and scores of P prompts.

    Args:
        model: prepared.
        coarse: (P, C, h, w) coarsest level, one row a prompt (an expanded view will do).
        tokens: (P, L, C) prompt tokens.
        token_mask: (P, L) bool.
    """
    parts = cast(Any, model)
    encoded = parts.detr_encoder(
        vision_features=[coarse],
        text_features=tokens,
        vision_pos_embeds=[position_encoding(model, coarse).expand_as(coarse)],
        text_mask=token_mask,
    )
    decoded = parts.detr_decoder(
        vision_features=encoded.last_hidden_state,
        text_features=encoded.text_features,
        vision_pos_encoding=encoded.pos_embeds_flattened,
        text_mask=token_mask,
        spatial_shapes=torch.tensor([coarse.shape[-2:]]),  # on the CPU: on CUDA each layer would wait for it
    )
    queries = decoded.intermediate_hidden_states[-1]  # (P, Q, C)
    logits = parts.dot_product_scoring(
        decoder_hidden_states=queries[None], text_features=encoded.text_features, text_mask=token_mask
    )[0]  # (P, Q, 1)
    # The last refinement in float32: in bfloat16 a coordinate near 1 has steps of 4 pixels in 1008.
    refined = inverse_sigmoid(decoded.reference_boxes[-1].float()) + parts.detr_decoder.box_head(queries).float()
    return Grounded(
        logits=logits.squeeze(-1).float(),
        presence=decoded.presence_logits[-1].squeeze(-1).float(),
        boxes=box_convert(refined.sigmoid(), "cxcywh", "xyxy"),
        queries=queries,
        memory=encoded.last_hidden_state,
        tokens=tokens,
        token_mask=token_mask,
    )


def decode_masks(
    model: Sam3Model, levels: tuple[torch.Tensor, ...], grounded: Grounded, row: int, chosen: torch.Tensor
) -> torch.Tensor:
    """(K, h, w) float32 mask logits of K chosen queries of one prompt.

    One prompt at a time: the decoder copies the whole pyramid for every prompt (106 MB at full size in float32).
    """
    one = slice(row, row + 1)
    decoded = cast(Any, model.mask_decoder)(
        decoder_queries=grounded.queries[one, chosen],
        backbone_features=list(levels),
        encoder_hidden_states=grounded.memory[one],
        prompt_features=grounded.tokens[one],
        prompt_mask=grounded.token_mask[one],
    )
    return decoded.pred_masks[0].float()
