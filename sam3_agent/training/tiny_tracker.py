"""The tiny tracker half: the parts for clicks and boxes, on the tiny detector's backbone."""

from typing import Any, cast

import torch
from torch import nn
from transformers import Sam3TrackerVideoConfig
from transformers.models.sam3.configuration_sam3 import Sam3ViTConfig

from sam3_agent.model.tracker import LEVELS, Tracker
from sam3_agent.training.tiny import HIDDEN, PATCH


def tiny_tracker_config(backbone: Sam3ViTConfig) -> Sam3TrackerVideoConfig:
    """The configuration beside a tiny detector's backbone.

    Its neck has the four levels of the full model, where the tiny detector has three: masks lie on 4 times the ViT's
    grid (stride 2). The objects of the scenes need it: drawn on 2 times the grid, true masks keep a mean IoU of 0.88,
    on 4 times 0.95 (315 objects, 192 px). The sizes of the memory parts are named, but no weights of theirs exist.
    """
    size = int(cast(Any, backbone).image_size)
    grid = size // PATCH
    return Sam3TrackerVideoConfig(
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


def new_tracker(config: Sam3TrackerVideoConfig) -> Tracker:
    """A fresh float32 tracker half; one position table for points and picture; the unused coarsest level is zero."""
    tracker = Tracker(config, attention="eager")  # the CPU backward of SDPA is twice as slow at this size
    heads = cast(Any, tracker.tracker_model)
    with torch.no_grad():
        heads.shared_image_embedding.positional_embedding.copy_(
            heads.prompt_encoder.shared_embedding.positional_embedding
        )
        for parameter in tracker.tracker_neck.fpn_layers[LEVELS:].parameters():
            nn.init.zeros_(parameter)
    return tracker
