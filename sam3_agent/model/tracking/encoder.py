"""Memory encoder: a frame and a mask of an object on it become a map that later frames can look at.

Names of tensors as under `tracker_model.memory_encoder` in facebook/sam3.
"""

import math
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam3TrackerVideoConfig

EPS = 1e-6
"""Of the norms over channels; Meta's LayerNorm2d."""


class MemoryEncoder(nn.Module):
    """Adds a downsampled mask to the features of its frame, mixes them, and narrows the channels."""

    def __init__(self, config: Sam3TrackerVideoConfig) -> None:
        super().__init__()
        values = cast(Any, config)
        width = values.memory_encoder_hidden_size
        self.mask_downsampler = _MaskDownsampler(values)
        self.feature_projection = nn.Conv2d(width, width, 1)
        self.memory_fuser = _Fuser(values)
        self.projection = nn.Conv2d(width, values.memory_encoder_output_channels, 1)

    def forward(self, embedding: Tensor, masks: Tensor) -> Tensor:
        """(P, D, g, g) maps.

        Args:
            embedding: (1 or P, C, g, g) coarsest level of the frame, without the no-memory embedding.
            masks: (P, 1, 16g, 16g) from -10 (outside) to 10.
        """
        return self.projection(self.memory_fuser(self.feature_projection(embedding) + self.mask_downsampler(masks)))


class _ChannelNorm(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:  # the name that torch gives it
        """Normalise (P, C, h, w) over C."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _MaskDownsampler(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        stride = int(config.mask_downsampler_stride)
        steps = int(math.log2(config.mask_downsampler_total_stride) // math.log2(stride))
        widths = [stride ** (2 * step) for step in range(steps + 1)]
        kernel, padding = config.mask_downsampler_kernel_size, config.mask_downsampler_padding
        self.layers = nn.ModuleList([_Halving(few, many, kernel, stride, padding) for few, many in pairwise(widths)])
        self.final_conv = nn.Conv2d(widths[-1], config.mask_downsampler_embed_dim, 1)

    def forward(self, masks: Tensor) -> Tensor:
        """(P, 1, 16g, 16g) to (P, C, g, g)."""
        for layer in self.layers:
            masks = layer(masks)
        return self.final_conv(masks)


class _Halving(nn.Module):
    def __init__(self, few: int, many: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(few, many, kernel, stride, padding)
        self.layer_norm = _ChannelNorm(many, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(P, few, h, w) to (P, many, h / stride, w / stride)."""
        return F.gelu(self.layer_norm(self.conv(x)))


class _Fuser(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_Mixing(config) for _ in range(config.memory_fuser_num_layers)])

    def forward(self, x: Tensor) -> Tensor:
        """(P, C, g, g) to the same shape."""
        for layer in self.layers:
            x = layer(x)
        return x


class _Mixing(nn.Module):
    """A ConvNeXt block (arXiv 2201.03545)."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, wide = config.memory_fuser_embed_dim, config.memory_fuser_intermediate_dim
        kernel, padding = config.memory_fuser_kernel_size, config.memory_fuser_padding
        self.depthwise_conv = nn.Conv2d(width, width, kernel, padding=padding, groups=width)
        self.layer_norm = _ChannelNorm(width, eps=EPS)
        self.pointwise_conv1 = nn.Linear(width, wide)
        self.pointwise_conv2 = nn.Linear(wide, width)
        self.scale = nn.Parameter(torch.full((width,), float(config.memory_fuser_layer_scale_init_value)))

    def forward(self, x: Tensor) -> Tensor:
        """(P, C, g, g) to the same shape."""
        mixed = self.layer_norm(self.depthwise_conv(x)).permute(0, 2, 3, 1)  # (P, g, g, C)
        mixed = self.scale * self.pointwise_conv2(F.gelu(self.pointwise_conv1(mixed)))
        return x + mixed.permute(0, 3, 1, 2)
