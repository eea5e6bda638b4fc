"""The image encoder: ViT layers as one compilable function with rotary tables made once, and the neck."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from transformers import Sam3Model
from transformers.models.sam3 import modeling_sam3

from sam3_agent.model.cuda.layers import ACTIVATIONS, Affine, FeedForward, affine, feed_forward, fuse, linear, norm

_sam3 = cast(Any, modeling_sam3)


class VitLayer(NamedTuple):
    """Weights of a layer; its queries, keys and values are one product."""

    norm1: Affine
    qkv: Affine
    out: Affine
    norm2: Affine
    mlp: FeedForward


class Rotary(NamedTuple):
    """Rotary position tables of a layer, (1, N, d) float32 each; N tokens of a window, or of the whole image."""

    cos: Tensor
    sin: Tensor


def vit_layer(x: Tensor, table: Rotary, layer: VitLayer, heads: int, window: int, activation: str) -> Tensor:
    """(B, h, w, D) hidden states after one layer; attention within windows of `window` tokens a side, 0 is global."""
    height, width = x.shape[1:3]
    y = norm(x, layer.norm1)
    padded = (height, width)
    if window:
        y, padded = _sam3.window_partition(y, window)  # (B * windows, window, window, D)
    count, rows, columns, size = y.shape
    qkv = linear(y, layer.qkv).view(count, rows * columns, 3, heads, size // heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (count, heads, N, d)
    y = torch.nn.functional.scaled_dot_product_attention(_rotated(q, table), _rotated(k, table), v)
    y = linear(y.transpose(1, 2).reshape(count, rows, columns, size), layer.out)
    if window:
        y = _sam3.window_unpartition(y, window, padded, (height, width))
    x = x + y
    y = ACTIVATIONS[activation](linear(norm(x, layer.norm2), layer.mlp.up))
    return x + linear(y, layer.mlp.down)


class Vision:
    """ViT and neck of a prepared model. Lays the model's projections side by side (`layers.fuse`)."""

    def __init__(self, model: Sam3Model) -> None:
        vision = cast(Any, model.vision_encoder)
        self._backbone, self._neck = vision.backbone, vision.neck
        config = vision.config.backbone_config
        self._heads = int(config.num_attention_heads)
        self._activation = str(config.hidden_act)
        self._patch = int(config.patch_size)
        layers = self._backbone.layers
        self._windows = [int(layer.window_size) for layer in layers]
        self._tables = _tables(layers)
        self._layers = [_weights(layer) for layer in layers]
        self._layer: Callable[..., Tensor] = vit_layer
        for parameter in self._neck.parameters():
            if parameter.ndim == 4:  # the grid comes channels-last, and so its convolutions need no copies
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def compile(self, **options: Any) -> None:
        """Have torch compile the layer function when it first runs: one kernel sequence a window size."""
        self._layer = torch.compile(vit_layer, dynamic=False, fullgraph=True, **options)

    def __call__(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The (B, D, h, w) last hidden state of (B, 3, S, S) pixels, then the levels, as `encode_pixels` does."""
        side = pixels.shape[-1] // self._patch
        x = self._backbone.embeddings(pixels)  # (B, h * w, D)
        x = self._backbone.layer_norm(x.view(len(x), side, side, -1))
        for layer, window in zip(self._layers, self._windows, strict=True):
            x = self._layer(x, self._tables[window], layer, self._heads, window, self._activation)
        grid = x.permute(0, 3, 1, 2)  # (B, D, h, w)
        return grid, *(layer(grid) for layer in self._neck.fpn_layers[:-1])


def _weights(layer: Any) -> VitLayer:
    attention = layer.attention
    return VitLayer(
        affine(layer.layer_norm1),
        fuse(attention.q_proj, attention.k_proj, attention.v_proj),
        affine(attention.o_proj),
        affine(layer.layer_norm2),
        feed_forward(layer.mlp),
    )


def _tables(layers: Any) -> dict[int, Rotary]:
    """The tables by window size: all layers of one size have the same."""
    return {
        int(layer.window_size): Rotary(*layer.rotary_emb(layer.position_ids, layer.position_ids)) for layer in layers
    }


def _rotated(x: Tensor, table: Rotary) -> Tensor:
    """(B, heads, N, d) queries or keys turned by their places, in float32 as Meta does."""
    wide = x.float()
    return (wide * table.cos + _sam3.rotate_pairwise(wide) * table.sin).type_as(x)
