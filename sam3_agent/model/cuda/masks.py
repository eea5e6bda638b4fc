"""The mask decoder: pixels of an image as one prompt sees them, then any number of its queries as mask logits.

The same arithmetic as `sam3_forward.decode_masks`, but: no copy of the pyramid, no semantic map, and the last 1 x 1
convolution is applied to the queries instead of to every pixel, which is the same product in another order.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Sam3Model

from sam3_agent.model.cuda.layers import Affine, affine, attend, fuse, linear, mask_bias, norm, relu_stack


class Stage(NamedTuple):
    """Weights of one step up the pyramid."""

    convolution: Affine
    norm: Affine


def pyramid_stage(coarse: Tensor, fine: Tensor, stage: Stage, groups: int) -> Tensor:
    """(B, C, H, W): a coarser map brought to the size of a finer one, added, convolved, normalized."""
    x = functional.interpolate(coarse, size=fine.shape[-2:], mode="nearest") + fine
    x = functional.conv2d(x, stage.convolution.weight, stage.convolution.bias, padding=1)
    return functional.relu(group_norm(x, groups, stage.norm))


def group_norm(x: Tensor, groups: int, layer: Affine, eps: float = 1e-5) -> Tensor:
    """GroupNorm of (B, C, H, W) that keeps channels last; torch's own copies such a tensor twice."""
    count, channels, height, width = x.shape
    y = x.permute(0, 2, 3, 1).reshape(count, height * width, groups, channels // groups).float()
    variance, mean = torch.var_mean(y, dim=(1, 3), keepdim=True, correction=0)
    y = ((y - mean) * torch.rsqrt(variance + eps)).view(count, height, width, channels)
    y = y * layer.weight.float() + layer.bias.float()
    return y.to(x.dtype).permute(0, 3, 1, 2)


class MaskDecoder:
    """The mask decoder of a prepared model."""

    def __init__(self, model: Sam3Model) -> None:
        decoder = cast(Any, model.mask_decoder)
        attention = decoder.prompt_cross_attn
        self._heads = int(decoder.config.num_attention_heads)
        self._norm = affine(decoder.prompt_cross_attn_norm)
        self._q, self._kv = affine(attention.q_proj), fuse(attention.k_proj, attention.v_proj)
        self._out = affine(attention.o_proj)
        pixels = decoder.pixel_decoder
        self._groups = int(pixels.norms[0].num_groups)
        self._stages = [
            Stage(_channels_last(convolution), affine(each))
            for convolution, each in zip(pixels.conv_layers, pixels.norms, strict=True)
        ]
        self._embedder = tuple(affine(layer) for layer in decoder.mask_embedder.layers)
        last = affine(decoder.instance_projection)
        self._projection = Affine(last.weight.flatten(1), last.bias)
        self._step: Callable[..., Tensor] = pyramid_stage

    def compile(self, **options: Any) -> None:
        """Have torch compile the step up the pyramid when it first runs."""
        self._step = torch.compile(pyramid_stage, dynamic=False, fullgraph=True, **options)

    def __call__(self, queries: Tensor, memory: Tensor, tokens: Tensor, mask: Tensor, *levels: Tensor) -> tuple[Tensor]:
        """(K, h, w) float32 mask logits of (1, K, C) queries of one prompt.

        Args:
            queries: chosen ones.
            memory: (1, h * w, C) of `Grounded`.
            tokens: (1, L, C) of the prompt.
            mask: (1, L) bool.
            levels: (1, C, h, w) each, finest first.
        """
        *finer, coarsest = levels
        q = linear(norm(memory, self._norm), self._q)
        k, v = linear(tokens, self._kv).chunk(2, -1)
        seen = memory + linear(attend(q, k, v, self._heads, mask_bias(mask, memory.dtype)), self._out)
        pixels = seen.transpose(1, 2).view(coarsest.shape)  # (1, C, h, w), channels last
        for level, stage in zip(reversed(finer), self._stages, strict=False):
            pixels = self._step(pixels, level, stage, self._groups)
        embedded = relu_stack(queries, self._embedder)  # (1, K, C)
        weights = embedded @ self._projection.weight
        offset = embedded @ self._projection.bias  # (1, K)
        masks = weights @ pixels.flatten(2) + offset[..., None]  # (1, K, H * W)
        return (masks.view(-1, *pixels.shape[-2:]).float(),)


def _channels_last(convolution: Any) -> Affine:
    convolution.weight.data = convolution.weight.data.contiguous(memory_format=torch.channels_last)
    return affine(convolution)
