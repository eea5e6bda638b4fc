"""The tiny tracker half: the parts for clicks and boxes, on the tiny detector's backbone."""

from typing import Any, cast

import torch
from torch import nn
from transformers import Sam3TrackerVideoConfig
from transformers.models.sam3.configuration_sam3 import Sam3ViTConfig
from transformers.models.sam3_tracker.modeling_sam3_tracker import (
    Sam3TrackerMaskDecoder,
    Sam3TrackerTwoWayTransformer,
)

from sam3_agent.model.tracker import LEVELS, Tracker
from sam3_agent.training.tiny import HIDDEN, PATCH

FINENESS = 2.0
"""Factor by which positions change faster than in the full model, whose objects are larger against the image."""
SHARPNESS = 3.0
"""Start scale of the aligned projections: a point's attention to its own place stands out from 576 others."""


def tiny_tracker_config(backbone: Sam3ViTConfig) -> Sam3TrackerVideoConfig:
    """The configuration beside a tiny detector's backbone.

    Its neck has the four levels of the full model, where the tiny detector has three: masks lie on 4 times the ViT's
    grid (stride 2). The objects of the scenes need it: drawn on 2 times the grid, true masks keep a mean IoU of 0.88,
    on 4 times 0.95 (315 objects, 192 px). The sizes of the memory parts are named, but no weights of theirs exist.
    """
    size = int(cast(Any, backbone).image_size)
    grid = size // PATCH
    return cast(Any, Sam3TrackerVideoConfig)(
        image_size=size,
        vision_config={
            "model_type": "sam3_vision_model",
            "backbone_config": backbone.to_dict(),
            "fpn_hidden_size": HIDDEN,
            "scale_factors": [4.0, 2.0, 1.0, 0.5],
            "backbone_feature_sizes": [[grid * 4] * 2, [grid * 2] * 2, [grid] * 2],
        },
        prompt_encoder_config={"hidden_size": HIDDEN, "image_size": size, "patch_size": PATCH},
        mask_decoder_config={"hidden_size": HIDDEN, "mlp_dim": 2 * HIDDEN, "iou_head_hidden_dim": HIDDEN},
        memory_attention_hidden_size=HIDDEN,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=2 * HIDDEN,
        memory_encoder_hidden_size=HIDDEN,
        mask_downsampler_embed_dim=HIDDEN,
        memory_fuser_embed_dim=HIDDEN,
        memory_fuser_intermediate_dim=2 * HIDDEN,
    )


def new_tracker(config: Sam3TrackerVideoConfig, detector_neck: nn.Module | None = None) -> Tracker:
    """A fresh float32 tracker half, with start values that let it learn in few steps; the unused level is zero.

    A neck of the tiny detector lends its levels of 2 and 1 times the grid. In the cross-attentions queries and keys
    start with one projection, so that a point already looks at its own place, and a place at the points near it.
    """
    tracker = Tracker(config, attention="eager")  # the CPU backward of SDPA is twice as slow at this size
    heads = cast(Any, tracker.tracker_model)
    with torch.no_grad():
        table = heads.prompt_encoder.shared_embedding.positional_embedding
        table.mul_(FINENESS)
        heads.shared_image_embedding.positional_embedding.copy_(table)
        for module in heads.modules():
            if isinstance(module, nn.Embedding):
                module.weight.mul_(0.3)
            if isinstance(module, Sam3TrackerTwoWayTransformer):
                _align(module)
        _expect_little(heads.mask_decoder)
        for parameter in tracker.tracker_neck.fpn_layers[LEVELS:].parameters():
            nn.init.zeros_(parameter)
        if detector_neck is not None:
            _borrow(cast(Any, tracker.tracker_neck).fpn_layers, cast(Any, detector_neck).fpn_layers)
    return tracker


def _expect_little(decoder: Sam3TrackerMaskDecoder) -> None:
    """Masks start as "probably not": a channel of the finest level is lit everywhere, and every kernel dislikes it."""
    parts = cast(Any, decoder)
    parts.upscale_conv2.bias[0] = 3.0
    for kernel in parts.output_hypernetworks_mlps:
        kernel.proj_out.bias[0] = -0.8


def _align(transformer: Sam3TrackerTwoWayTransformer) -> None:
    """One projection for queries and keys wherever points meet places."""
    parts = cast(Any, transformer)
    meetings = [parts.final_attn_token_to_image]
    for layer in parts.layers:
        meetings += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    for attention in meetings:
        attention.q_proj.weight.mul_(SHARPNESS)
        attention.k_proj.weight.copy_(attention.q_proj.weight)
        for projection in (attention.q_proj, attention.k_proj):
            nn.init.zeros_(projection.bias)


def _borrow(own: nn.ModuleList, detector: nn.ModuleList) -> None:
    """The detector's levels of 2 and 1 times the grid, and the first step of the former for the level above it.

    The coarse one is made weaker, to the size of a position: attention would see nothing but it.
    """
    for mine, theirs in ((own[1], detector[0]), (own[2], detector[1])):
        mine.load_state_dict(theirs.state_dict())
    for parameter in cast(Any, own[2]).proj2.parameters():
        parameter.mul_(0.4)
    first, lent = cast(Any, own[0]).scale_layers[0], cast(Any, detector[0]).scale_layers[0]
    first.load_state_dict(lent.state_dict())
