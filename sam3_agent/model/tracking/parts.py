"""The tensors of a tracker's memory: attention, encoder, pointers, and what stands for absence and for time."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam3TrackerVideoConfig

from sam3_agent.model.tracking.attention import MemoryAttention
from sam3_agent.model.tracking.encoder import MemoryEncoder
from sam3_agent.model.tracking.positions import age_sines, grid_sines

LONGEST = 15
"""Frames of age that pointers are scaled by: one less than facebook/sam3 looks at.

Meta's code takes the number of frames where a video has fewer than 16; a constant is the same for a video whose length
is not known yet.
"""


class MemoryParts(nn.Module):
    """What lies under `tracker_model.` in facebook/sam3 beside the parts for clicks, by the same names.

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
        self.maps = int(values.num_maskmem)
        """Maps that a frame looks at, one conditioning frame included."""
        self.pointers = int(values.max_object_pointers_in_encoder)
        self.conditioning = int(values.max_cond_frame_num)
        self._scale = float(values.sigmoid_scale_for_mem_enc)
        self._shift = float(values.sigmoid_bias_for_mem_enc)
        self._width, self._narrow = width, narrow
        self._grids: dict[tuple[int, int, int, torch.device], Tensor] = {}

    def condition(
        self, coarse: Tensor, maps: Tensor, ages: Tensor, pointers: Tensor, pointer_ages: Tensor, span: int = LONGEST
    ) -> Tensor:
        """(P, C, g, g) features of a frame, conditioned on what is remembered of P objects.

        Args:
            coarse: (1, C, g, g) of the frame, or (P, C, g, g).
            maps: (P, M, g * g, D) maps of earlier frames.
            ages: (M,) frames since each map; 0 for a conditioning frame, whatever its age.
            pointers: (P, K, C) of earlier frames.
            pointer_ages: (K,) frames since each pointer, or (P, K) where objects differ in them.
            span: age that counts as 1; see LONGEST.
        """
        rows, columns = coarse.shape[-2:]
        count = len(maps)
        place = self._grid(self._narrow, rows, columns, coarse.device)  # (g * g, D)
        time = self.memory_temporal_positional_encoding[ages - 1].flatten(1)  # (M, D); 0 means the last row
        where = (place + time[:, None]).flatten(0, 1)  # (M * g * g, D)
        since = age_sines(pointer_ages.float() / span, self._width).to(pointers.dtype)
        since = self.temporal_positional_encoding_projection_layer(since)  # (K, D) or (P, K, D)
        pieces = pointers.unflatten(2, (-1, self._narrow)).flatten(1, 2)  # (P, K * C / D, D)
        since = since.repeat_interleave(self._width // self._narrow, dim=-2)  # (K * C / D, D) or (P, K * C / D, D)
        maps, pieces = maps.flatten(1, 2).to(coarse.dtype), pieces.to(coarse.dtype)
        values = torch.cat([maps, pieces], dim=1)  # (P, L, D)
        keys = torch.cat([maps + where.to(coarse.dtype), pieces + since.to(coarse.dtype)], dim=1)
        own = self._grid(self._width, rows, columns, coarse.device)
        found = self.memory_attention(coarse, own, keys, values, pieces.shape[1])  # (P, g * g, C)
        return found.transpose(1, 2).unflatten(2, (rows, columns)).expand(count, -1, -1, -1)

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
        key = (channels, rows, columns, device)
        if key not in self._grids:
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
