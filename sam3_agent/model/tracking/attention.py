"""Memory attention: the places of a frame look at each other, then at what is remembered of the object.

The design is that of SAM 2 (arXiv 2408.00714, section 4 and appendix C), whose tracker SAM 3 took over; names of
tensors as under `tracker_model.memory_attention` in facebook/sam3. Dropout, which only training knows, is left out.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam3TrackerVideoConfig

from sam3_agent.model.tracking.positions import rotate, rotations

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
        self._turns: dict[tuple[int, int, torch.device], tuple[Tensor, Tensor]] = {}

    def forward(self, places: Tensor, own: Tensor, keys: Tensor, values: Tensor, pointers: int) -> Tensor:
        """(P, g * g, C) conditioned places of P objects.

        Args:
            places: (1, C, g, g) features of the frame that all objects are on, or (P, C, g, g).
            own: (g * g, C) encoding of the places.
            keys: (P, L, D) memory tokens with their positions; the maps first, then the pointers.
            values: (P, L, D) memory tokens.
            pointers: how many of the L are tokens of pointers, which have no place to be turned by.
        """
        turns = self._rotations(*places.shape[-2:], places.device)
        x = places.flatten(2).transpose(1, 2)  # (1 or P, g * g, C)
        x = x + OWN_PLACE * own.to(x.dtype)
        for layer in self.layers:
            x = layer(x, keys, values, turns, pointers)
        return self.layer_norm(x)

    def _rotations(self, rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
        key = (rows, columns, device)
        if key not in self._turns:
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

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, turns: tuple[Tensor, Tensor], pointers: int) -> Tensor:
        """Places (1 or P, g * g, C) to (P, g * g, C); what is the same for all objects is computed once."""
        seen = self.layer_norm1(x)
        x = x + self.self_attn(seen, seen, seen, turns, 0)
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

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, turns: tuple[Tensor, Tensor], unturned: int) -> Tensor:
        """(P, N, C) from (1 or P, N, C) queries; the last `unturned` of the L keys have no place."""
        cosines, sines = turns
        query = rotate(self._split(self.q_proj(x)), cosines, sines)  # (1 or P, heads, N, d)
        key, value = self._split(self.k_proj(keys)), self._split(self.v_proj(values))  # (P, heads, L, d)
        turned = key.shape[2] - unturned
        maps = turned // query.shape[2]
        placed = rotate(key[:, :, :turned].unflatten(2, (maps, -1)), cosines, sines).flatten(2, 3)
        key = torch.cat([placed, key[:, :, turned:]], dim=2) if unturned else placed
        query = query.expand(len(key), -1, -1, -1)
        found = F.scaled_dot_product_attention(query, key, value)  # (P, heads, N, d)
        return self.o_proj(found.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(P, L, heads * d) to (P, heads, L, d)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)
