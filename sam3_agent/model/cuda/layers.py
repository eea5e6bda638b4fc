"""Layers of transformers' SAM 3 as functions of tensors: what compiles into few kernels and captures without waits.

Projections that read the same input are one matrix product. `fuse` makes one matrix of theirs and leaves the modules
views of it, so that no weight is held twice.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, Activation] = {"gelu": functional.gelu, "relu": functional.relu}
"""By their names in transformers' configurations."""

EPS = 1e-5
"""Of every LayerNorm of SAM 3; `sam3_forward.prepare` sets those of the ViT."""


class Affine(NamedTuple):
    """Weight and bias of a linear layer, a convolution or a normalization."""

    weight: Tensor
    bias: Tensor


class FeedForward(NamedTuple):
    """A two-layer perceptron."""

    up: Affine
    down: Affine


def affine(module: Any) -> Affine:
    """The parameters of a layer, without gradients."""
    return Affine(module.weight.detach(), module.bias.detach())


def fuse(*linears: nn.Linear) -> Affine:
    """One (sum of outputs, inputs) matrix; the linears' own parameters become views of it."""
    with torch.no_grad():
        weight = torch.cat([linear.weight for linear in linears])
        bias = torch.cat([linear.bias for linear in linears])
    at = 0
    for linear in linears:
        rows = slice(at, at + linear.out_features)
        linear.weight.data, linear.bias.data = weight[rows], bias[rows]
        at += linear.out_features
    return Affine(weight, bias)


def stack_of(module: Any) -> tuple[Affine, ...]:
    """The layers of a `Sam3DecoderMLP`."""
    return tuple(affine(layer) for layer in (module.layer1, module.layer2, module.layer3) if layer is not None)


def feed_forward(module: Any) -> FeedForward:
    """The layers of a `Sam3MLP`."""
    return FeedForward(affine(module.fc1), affine(module.fc2))


def linear(x: Tensor, layer: Affine) -> Tensor:
    """(..., outputs) of (..., inputs)."""
    return functional.linear(x, layer.weight, layer.bias)


def norm(x: Tensor, layer: Affine) -> Tensor:
    """LayerNorm over the last dimension."""
    return functional.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, EPS)


def relu_stack(x: Tensor, layers: tuple[Affine, ...]) -> Tensor:
    """A perceptron with ReLU between its layers."""
    for layer in layers[:-1]:
        x = functional.relu(linear(x, layer))
    return linear(x, layers[-1])


def attend(queries: Tensor, keys: Tensor, values: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """(P, N, C) attention of (P, N, C) queries to (P, M, C) keys and values; `bias` broadcasts to (P, heads, N, M)."""
    count, length, width = queries.shape

    def split(x: Tensor) -> Tensor:
        return x.view(count, x.shape[1], heads, width // heads).transpose(1, 2)  # (P, heads, N, d)

    if bias is not None:
        bias = bias.expand(count, heads, length, keys.shape[1])
    found = functional.scaled_dot_product_attention(split(queries), split(keys), split(values), attn_mask=bias)
    return found.transpose(1, 2).reshape(count, length, width)


def mask_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(P, 1, 1, L) what to add to attention scores: 0 where the (P, L) mask is True, else minus infinity."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, float("-inf"))[:, None, None]
