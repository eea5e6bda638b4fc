"""Encodings of place and time: sines on a grid, rotations in attention, sines of how long ago."""

import math

import torch
from torch import Tensor

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


def rotations(channels: int, rows: int, columns: int, theta: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines, (rows * columns, channels) each: half of the channels turn with x, the others with y.

    Axial RoPE on neighbouring pairs of channels (arXiv 2403.13298).
    """
    half = channels // 2
    speed = theta ** -(torch.arange(0, half, 2, dtype=torch.float32, device=device) / half)  # (half / 2,)
    x = torch.arange(columns, dtype=torch.float32, device=device)[:, None] * speed
    y = torch.arange(rows, dtype=torch.float32, device=device)[:, None] * speed
    angle = torch.cat([x[None].expand(rows, -1, -1), y[:, None].expand(-1, columns, -1)], dim=-1).flatten(0, 1)
    angle = angle.repeat_interleave(2, dim=-1)  # (rows * columns, channels)
    return angle.cos(), angle.sin()


def rotate(values: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn each pair of channels of (..., N, channels); computed in float32, given back in the type of the values."""
    wide = values.float()
    turned = torch.stack([-wide[..., 1::2], wide[..., 0::2]], dim=-1).flatten(-2)
    return (wide * cosines + turned * sines).to(values.dtype)
