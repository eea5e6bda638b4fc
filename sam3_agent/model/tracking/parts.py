"""The tensors of a tracker's memory: attention, encoder, pointers, and what stands for absence and for time.

The design is that of SAM 2 (arXiv 2408.00714, section 4 and appendix C), whose tracker SAM 3 took over; names of
tensors as under `tracker_model.` in facebook/sam3. Dropout, which only training knows, is left out.
"""

import math
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam3TrackerVideoConfig

from sam3_agent.model.tracker import Part
from sam3_agent.model.tracking.bank import Reach

LONGEST = 15
"""Frames of age that pointers are scaled by: one less than facebook/sam3 looks at.

Meta's code takes the number of frames where a video has fewer than 16; a constant is the same for a video whose length
is not known yet.
"""


class MemoryParts(nn.Module):
    """Tensors under `tracker_model.` in facebook/sam3 beside the parts for clicks, by the same names.

    `tracking_point` is the project's own: the vector of the padding point while tracking. Where a checkpoint has none,
    it is that of clicks (`not_a_point_embed`), as in facebook/sam3; weights that have their own can learn to track
    without changing what clicks read.
    """

    def __init__(self, config: Sam3TrackerVideoConfig) -> None:
        super().__init__()
        values = cast(Any, config)
        width, narrow = int(values.vision_config.fpn_hidden_size), int(values.memory_encoder_output_channels)
        self.memory_attention = MemoryAttention(config)
        self.memory_encoder = MemoryEncoder(config)
        self.memory_temporal_positional_encoding = nn.Parameter(torch.zeros(values.num_maskmem, 1, 1, narrow))
        self.no_object_pointer = nn.Parameter(torch.zeros(1, width))
        self.object_pointer_proj = _Pointer(width)
        self.temporal_positional_encoding_projection_layer = nn.Linear(width, narrow)
        self.occlusion_spatial_embedding_parameter = nn.Parameter(torch.zeros(1, narrow))
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.tracking_point = nn.Parameter(torch.zeros(1, width))
        self.reach = Reach(
            int(values.num_maskmem), int(values.max_object_pointers_in_encoder), int(values.max_cond_frame_num)
        )
        self._scale = float(values.sigmoid_scale_for_mem_enc)
        self._shift = float(values.sigmoid_bias_for_mem_enc)
        self._width, self._narrow = width, narrow
        self._grids: dict[tuple[int, int, int, torch.device], Tensor] = {}
        self.part: Part | None = None
        """See `Tracker.part`."""

    def condition(
        self,
        coarse: Tensor,
        maps: Tensor,
        ages: Tensor,
        pointers: Tensor,
        pointer_ages: Tensor,
        span: int = LONGEST,
        looked: Tensor | None = None,
    ) -> Tensor:
        """(P, C, g, g) features of a frame, conditioned on what is remembered of P objects.

        Args:
            coarse: (1, C, g, g) of the frame, or (P, C, g, g).
            maps: (P, M, g * g, D) maps of earlier frames.
            ages: (M,) frames since each map, or (P, M); 0 for a conditioning frame, whatever its age.
            pointers: (P, K, C) of earlier frames.
            pointer_ages: (K,) frames since each pointer, or (P, K) where objects differ in them.
            span: age that counts as 1; see LONGEST.
            looked: what `look` gives for `coarse`, where several calls are about one frame.
        """
        rows, columns = coarse.shape[-2:]
        count = len(maps)
        place = self._grid(self._narrow, rows, columns, coarse.device)  # (g * g, D)
        time = self.memory_temporal_positional_encoding[ages - 1][..., 0, 0, :]  # (M, D) or (P, M, D); 0: the last row
        where = (place + time[..., None, :]).flatten(-3, -2)  # (M * g * g, D) or (P, M * g * g, D)
        since = age_sines(pointer_ages.float() / span, self._width).to(pointers.dtype)
        since = self.temporal_positional_encoding_projection_layer(since)  # (K, D) or (P, K, D)
        pieces: Tensor = cast(Any, pointers).unflatten(2, (-1, self._narrow)).flatten(1, 2)  # (P, K * C / D, D)
        since = since.repeat_interleave(self._width // self._narrow, dim=-2)  # (K * C / D, D) or (P, K * C / D, D)
        maps, pieces = maps.flatten(1, 2).to(coarse.dtype), pieces.to(coarse.dtype)
        values = torch.cat([maps, pieces], dim=1)  # (P, L, D)
        keys = torch.cat([maps + where.to(coarse.dtype), pieces + since.to(coarse.dtype)], dim=1)
        looked = self.look(coarse) if looked is None else looked
        found = self.memory_attention(looked, (rows, columns), keys, values, pieces.shape[1])  # (P, g * g, C)
        return found.transpose(1, 2).unflatten(2, (rows, columns)).expand(count, -1, -1, -1)

    def look(self, coarse: Tensor) -> Tensor:
        """(1 or P, g * g, C) of a frame before anything is remembered: the same for all objects."""
        rows, columns = coarse.shape[-2:]
        return self.memory_attention.look(coarse, self._grid(self._width, rows, columns, coarse.device))

    def encode(self, coarse: Tensor, shares: Tensor, present: Tensor) -> Tensor:
        """(P, g * g, D) maps of P masks on a frame.

        Args:
            coarse: (1, C, g, g) of the frame, or (P, C, g, g).
            shares: (P, 16g, 16g) from 0 (outside) to 1.
            present: (P,) bool, whether the object is there at all.
        """
        masks = (shares * self._scale + self._shift)[:, None].to(coarse.dtype)
        maps = self.memory_encoder(coarse, masks).flatten(2).transpose(1, 2)  # (P, g * g, D)
        absent = (~present).to(maps.dtype)[:, None, None]
        return maps + absent * self.occlusion_spatial_embedding_parameter

    def pointer(self, tokens: Tensor, present: Tensor) -> Tensor:
        """(P, C) pointers of (P, C) mask tokens; of an absent object the vector that says so."""
        there = present.to(tokens.dtype)[:, None]
        return there * self.object_pointer_proj(tokens) + (1 - there) * self.no_object_pointer

    def _grid(self, channels: int, rows: int, columns: int, device: torch.device) -> Tensor:
        if self.part is not None and (rows, columns) != (self.part.whole, self.part.whole):
            whole: Tensor = cast(Any, self._grid(channels, self.part.whole, self.part.whole, device)).unflatten(
                0, (self.part.whole, -1)
            )
            shown = whole[self.part.top : self.part.top + rows, self.part.left : self.part.left + columns]
            return shown.flatten(0, 1)
        key = (channels, rows, columns, device)
        if key not in self._grids:
            with torch.inference_mode(mode=False):  # kept for calls that learn, whoever asks first
                self._grids[key] = grid_sines(channels, rows, columns, device)
        return self._grids[key]


class _Pointer(nn.Module):
    """Three linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj_in = nn.Linear(width, width)
        self.layers = nn.ModuleList([nn.Linear(width, width)])
        self.proj_out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(P, C) to (P, C)."""
        return self.proj_out(F.relu(self.layers[0](F.relu(self.proj_in(x)))))


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


OWN_PLACE = 0.1
"""Weight of a place's own position in the queries."""


class MemoryAttention(nn.Module):
    """Conditions the features of one frame on the memories of P objects."""

    def __init__(self, config: Sam3TrackerVideoConfig) -> None:
        super().__init__()
        values = cast(Any, config)
        self.layers = nn.ModuleList([_Layer(values) for _ in range(values.memory_attention_num_layers)])
        self.layer_norm = nn.LayerNorm(values.memory_attention_hidden_size)
        self._head = values.memory_attention_hidden_size // (
            values.memory_attention_downsample_rate * values.memory_attention_num_attention_heads
        )
        self._theta = float(values.rope_parameters["rope_theta"])
        self._turns: dict[tuple[int, int, torch.device], Tensor] = {}

    def look(self, places: Tensor, own: Tensor) -> Tensor:
        """(1 or P, g * g, C) places that have looked at each other, as far as no memory is needed.

        Args:
            places: (1, C, g, g) features of the frame that all objects are on, or (P, C, g, g).
            own: (g * g, C) encoding of the places.
        """
        rows, columns = places.shape[-2:]
        x = places.flatten(2).transpose(1, 2)  # (1 or P, g * g, C)
        x = x + OWN_PLACE * own.to(x.dtype)
        return cast(Any, self.layers[0]).look(x, self._rotations((rows, columns), x.device))

    def forward(self, looked: Tensor, grid: tuple[int, int], keys: Tensor, values: Tensor, pointers: int) -> Tensor:
        """(P, g * g, C) conditioned places of P objects.

        Args:
            looked: of `look`.
            grid: (rows, columns) of the places.
            keys: (P, L, D) memory tokens with their positions; the maps first, then the pointers.
            values: (P, L, D) memory tokens.
            pointers: how many of the L are tokens of pointers, which have no place to be turned by.
        """
        turns, x = self._rotations(grid, looked.device), looked
        for number, layer in enumerate(self.layers):
            x = x if number == 0 else cast(Any, layer).look(x, turns)
            x = layer(x, keys, values, turns, pointers)
        return self.layer_norm(x)

    def _rotations(self, grid: tuple[int, int], device: torch.device) -> Tensor:
        rows, columns = grid
        key = (rows, columns, device)
        if key not in self._turns:
            with torch.inference_mode(mode=False):  # kept for calls that learn, whoever asks first
                self._turns[key] = rotations(self._head, rows, columns, self._theta, device)
        return self._turns[key]


class _Layer(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        width, wide = config.memory_attention_hidden_size, config.memory_attention_feed_forward_hidden_size
        self.self_attn = _Attention(config, width)
        self.cross_attn_image = _Attention(config, config.memory_encoder_output_channels)
        self.linear1 = nn.Linear(width, wide)
        self.linear2 = nn.Linear(wide, width)
        self.layer_norm1 = nn.LayerNorm(width)
        self.layer_norm2 = nn.LayerNorm(width)
        self.layer_norm3 = nn.LayerNorm(width)

    def look(self, x: Tensor, turns: Tensor) -> Tensor:
        """Places (1 or P, g * g, C) to the same shape: they look at each other."""
        seen = self.layer_norm1(x)
        return x + self.self_attn(seen, seen, seen, turns, 0)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, turns: Tensor, pointers: int) -> Tensor:
        """Places (1 or P, g * g, C) that have looked at each other to (P, g * g, C): they look at the memories."""
        x = x + self.cross_attn_image(self.layer_norm2(x), keys, values, turns, pointers)
        return x + self.linear2(F.relu(self.linear1(self.layer_norm3(x))))


class _Attention(nn.Module):
    def __init__(self, config: Any, width_of_keys: int) -> None:
        super().__init__()
        width = config.memory_attention_hidden_size
        inner = width // config.memory_attention_downsample_rate
        self.heads = int(config.memory_attention_num_attention_heads)
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width_of_keys, inner)
        self.v_proj = nn.Linear(width_of_keys, inner)
        self.o_proj = nn.Linear(inner, width)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, turns: Tensor, unturned: int) -> Tensor:
        """(P, N, C) from (1 or P, N, C) queries; the last `unturned` of the L keys have no place."""
        query = rotate(self._split(self.q_proj(x)), turns)  # (1 or P, heads, N, d)
        key, value = self._split(self.k_proj(keys)), self._split(self.v_proj(values))  # (P, heads, L, d)
        turned = key.shape[2] - unturned
        maps = turned // query.shape[2]
        apart: Tensor = cast(Any, key[:, :, :turned]).unflatten(2, (maps, -1))
        placed = rotate(apart, turns).flatten(2, 3)
        key = torch.cat([placed, key[:, :, turned:]], dim=2) if unturned else placed
        query = query.expand(len(key), -1, -1, -1)
        found = F.scaled_dot_product_attention(query, key, value)  # (P, heads, N, d)
        return self.o_proj(found.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(P, L, heads * d) to (P, heads, L, d)."""
        return cast(Any, x).unflatten(2, (self.heads, -1)).transpose(1, 2)


TEMPERATURE = 10000.0


def grid_sines(channels: int, rows: int, columns: int, device: torch.device) -> Tensor:
    """(rows * columns, channels) float32: half of the channels tell of y, half of x (DETR, arXiv 2005.12872).

    Places count from 1 and are scaled to 2 pi, as in SAM 2 (arXiv 2408.00714).
    """
    half = channels // 2
    scale = TEMPERATURE ** (2 * (torch.arange(half, device=device) // 2) / half)  # (half,)

    def sines(count: int) -> Tensor:
        place = torch.arange(1, count + 1, dtype=torch.float32, device=device) / (count + 1e-6) * 2 * math.pi
        angle = place[:, None] / scale  # (count, half)
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], dim=-1).flatten(1)

    y = sines(rows)[:, None].expand(-1, columns, -1)
    x = sines(columns)[None].expand(rows, -1, -1)
    return torch.cat([y, x], dim=-1).flatten(0, 1)


def age_sines(ages: Tensor, channels: int) -> Tensor:
    """(..., K, channels) sines, then cosines, of (..., K) ages (shares of the longest)."""
    half = channels // 2
    scale = TEMPERATURE ** (2 * (torch.arange(half, device=ages.device) // 2) / half)
    angle = ages[..., None] / scale
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def rotations(channels: int, rows: int, columns: int, theta: float, device: torch.device) -> Tensor:
    """(rows * columns, channels / 2) complex numbers of size 1: half of the channels turn with x, the others with y.

    Axial RoPE on neighbouring pairs of channels (arXiv 2403.13298).
    """
    half = channels // 2
    speed = theta ** -(torch.arange(0, half, 2, dtype=torch.float32, device=device) / half)  # (half / 2,)
    x = torch.arange(columns, dtype=torch.float32, device=device)[:, None] * speed
    y = torch.arange(rows, dtype=torch.float32, device=device)[:, None] * speed
    angle = torch.cat([x[None].expand(rows, -1, -1), y[:, None].expand(-1, columns, -1)], dim=-1).flatten(0, 1)
    return torch.complex(angle.cos(), angle.sin())  # (rows * columns, channels / 2)


def rotate(values: Tensor, turns: Tensor) -> Tensor:
    """Turn each pair of channels of (..., N, channels); computed in float32, given back in the type of the values.

    A pair is a complex number, and one multiplication turns it: a seventh of the time that sums of copies take.
    """
    pairs = torch.view_as_complex(cast(Any, values.float()).unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).to(values.dtype)
