"""The tiny SAM 3: the real architecture, small enough to train on two CPU cores."""

from typing import Any, cast

import torch
from torch import nn
from transformers import Sam3Config, Sam3Model
from transformers.models.sam3.configuration_sam3 import Sam3VisionConfig, Sam3ViTConfig

PATCH = 8
HIDDEN = 128
HEADS = 4
QUERIES = 48


def tiny_config(vocab_size: int, image_size: int) -> Sam3Config:
    """The configuration at one input size (a multiple of 16); every size shares the same weights."""
    width = {"hidden_size": HIDDEN, "num_attention_heads": HEADS, "dropout": 0.0}
    return Sam3Config(
        vision_config=_vision_config(image_size),
        text_config=_text_config(vocab_size),
        geometry_encoder_config=width | {"num_layers": 1, "intermediate_size": 2 * HIDDEN, "roi_size": 3},
        detr_encoder_config=width | {"num_layers": 2, "intermediate_size": 3 * HIDDEN},
        detr_decoder_config=width | {"num_layers": 3, "intermediate_size": 2 * HIDDEN, "num_queries": QUERIES},
        mask_decoder_config=width | {"num_upsampling_stages": 1},
    )


def _vision_config(image_size: int) -> Sam3VisionConfig:
    """Two windows a side at each size, so that relative positions stay comparable between sizes.

    The last FPN level is dropped by SAM 3 itself, which leaves strides 4 (masks) and 8 (DETR).
    """
    grid = image_size // PATCH
    backbone = Sam3ViTConfig(
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=5,
        num_attention_heads=6,
        image_size=image_size,
        pretrain_image_size=image_size,
        patch_size=PATCH,
        window_size=grid // 2,
        global_attn_indexes=[1, 3, 4],
        layer_norm_eps=1e-5,
    )
    return Sam3VisionConfig(
        backbone_config=backbone,
        fpn_hidden_size=HIDDEN,
        scale_factors=[2.0, 1.0, 0.5],
        backbone_feature_sizes=[[grid * 2] * 2, [grid] * 2, [grid // 2] * 2],
    )


def _text_config(vocab_size: int) -> dict[str, Any]:
    return {
        "model_type": "clip_text_model",
        "vocab_size": vocab_size,
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "projection_dim": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 32,
        "bos_token_id": vocab_size - 2,
        "eos_token_id": vocab_size - 1,
        "pad_token_id": 0,
    }


def new_model(config: Sam3Config) -> Sam3Model:
    """A fresh float32 model with start values that let a small DETR converge (hand-set queries and box attention)."""
    # eager: the CPU backward of SDPA is twice as slow at this size
    config._attn_implementation = "eager"  # pyright: ignore[reportPrivateUsage]
    model = Sam3Model(config).float()  # pyright: ignore[reportUnknownMemberType]
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and "embed" not in name and "reference_points" not in name:
            nn.init.xavier_uniform_(parameter)
    _start_queries_on_a_grid(model)
    _start_attention_inside_boxes(model)
    return model


def resize_model(model: Sam3Model, image_size: int) -> Sam3Model:
    """The same weights at another input size; the absolute position table is interpolated."""
    present = cast(Any, model.config)
    if present.image_size == image_size:
        return model
    resized = new_model(tiny_config(present.text_config.vocab_size, image_size))
    state = dict(model.state_dict())
    name = "vision_encoder.backbone.embeddings.position_embeddings"
    table = state[name]
    old, new = present.image_size // PATCH, image_size // PATCH
    grid = table.reshape(1, old, old, -1).permute(0, 3, 1, 2)  # (1, C, H, W)
    grid = nn.functional.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    state[name] = grid.permute(0, 2, 3, 1).reshape(1, new * new, -1)  # (1, N, C)
    own = resized.state_dict()
    resized.load_state_dict({k: (v if v.shape == own[k].shape else own[k]) for k, v in state.items()})
    return resized


def _start_queries_on_a_grid(model: Sam3Model) -> None:
    """Reference boxes on a regular grid, side 0.22; the box head starts close to "leave it there"."""
    decoder = model.detr_decoder
    columns = 8
    rows = -(-QUERIES // columns)
    index = torch.arange(QUERIES)
    cx = (index % columns + 0.5) / columns
    cy = (torch.div(index, columns, rounding_mode="floor") + 0.5) / rows
    side = torch.full((QUERIES,), 0.22)
    with torch.no_grad():
        decoder.reference_points.weight.copy_(torch.logit(torch.stack([cx, cy, side, side], dim=1)))
        nn.init.normal_(decoder.query_embed.weight, std=0.3)
        last = decoder.box_head.layer3
        assert last is not None
        last.weight.mul_(0.1)
        last.bias.zero_()


def _start_attention_inside_boxes(model: Sam3Model) -> None:
    """Relative position bias: outside of its own box a query sees less, each head to another degree."""
    decoder = model.detr_decoder
    heads = decoder.config.num_attention_heads
    strength = torch.linspace(2.0, 24.0, heads)
    with torch.no_grad():
        for mlp in (decoder.box_rpb_embed_x, decoder.box_rpb_embed_y):
            mlp.layer1.weight[0] = torch.tensor([-1.0, 0.0])  # left of (above) the box
            mlp.layer1.weight[1] = torch.tensor([0.0, 1.0])  # right of (below) it
            mlp.layer1.bias[:2] = 0.0
            mlp.layer2.weight.mul_(0.1)
            mlp.layer2.weight[:, 0] = -strength
            mlp.layer2.weight[:, 1] = -strength
            mlp.layer2.bias.zero_()
