"""Mask logits to COCO's compressed run lengths, wholly on the device: few launches, two waits.

`in_triton` is the fast version. `in_torch` gives the same bytes wherever torch runs: where Triton is absent, on Apple's
GPUs, and as what the kernels are tested against.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from sam3_agent.masks import Rle
from sam3_agent.model.cuda.transfer import fetch
from sam3_agent.model.mask_rle import rle_of_edges
from sam3_agent.model.mask_rle_gpu import to_edges

MaskCoder = Callable[[torch.Tensor, int, int], list[Rle]]
"""(K, h, w) float32 logits, height, width -> K masks."""

FIRST_ROOM = 1 << 18
"""Changes that there is room for at first: 100 masks of a photograph have some 60,000."""
CHARACTERS_A_RUN = 2
"""Bytes that are set aside for each change at first; 1.0 were measured for 100 masks of a photograph."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """Shapes by which the kernels cut their work; any values give the same bytes. Powers of two."""

    columns: int = 32
    rows: int = 32
    runs: int = 512
    """Runs that a program codes at a time."""
    groups: int = 8
    """Programs that share the runs of one mask."""
    warps: int = 4


def in_torch(logits: torch.Tensor, height: int, width: int) -> list[Rle]:
    """The masks `bilinear(logits) > 0` at (height, width): changes found on the device, bytes made on the host."""
    return [rle_of_edges(edges, height, width) for edges in to_edges(logits, height, width)]


def in_triton(logits: torch.Tensor, height: int, width: int, tiles: Tiles | None = None) -> list[Rle]:
    """The same bytes as `in_torch` by Triton kernels.

    The number of changes is not known before they are found, so the buffers are guessed; where the guess was too small
    all is done again with room enough.

    Raises:
        ImportError: Triton is not there.
    """
    if not len(logits):
        return []
    room, chars = FIRST_ROOM, CHARACTERS_A_RUN * FIRST_ROOM
    while True:
        text, fetched = _coded(logits.contiguous(), height, width, room, chars, tiles or Tiles())
        runs, *stops = fetched
        if runs <= room and stops[-1] <= chars:
            break
        room, chars = max(room, runs), max(chars, stops[-1], CHARACTERS_A_RUN * runs)
    data = fetch(text[: stops[-1]]).numpy().tobytes().decode("ascii")  # the second wait
    return [Rle((height, width), data[a:b]) for a, b in zip([0, *stops], stops, strict=False)]


def _coded(
    logits: torch.Tensor, height: int, width: int, room: int, chars: int, tiles: Tiles
) -> tuple[torch.Tensor, list[int]]:
    """(chars,) bytes on the device; the number of runs, then where each mask's bytes stop, on the host.

    Figures beyond the room are right for the runs, and for the bytes a lower bound.
    """
    from sam3_agent.model.cuda import mask_kernels

    kernels = cast(Any, mask_kernels)
    count, h, w = logits.shape
    device = logits.device
    launch: Any = {"num_warps": tiles.warps, "enable_fp_fusion": False}
    scale = (float(np.float32(h) / np.float32(height)), float(np.float32(w) / np.float32(width)))
    reach = torch.empty(count, 4, dtype=torch.int32, device=device)
    counts = torch.zeros(count * width, dtype=torch.int32, device=device)
    places = torch.empty(room, dtype=torch.int64, device=device)
    sizes = torch.zeros(room, dtype=torch.int32, device=device)
    text = torch.empty(chars, dtype=torch.uint8, device=device)
    wide = 1 << max(0, w - 1).bit_length()
    kernels.extents[(count,)](logits, reach, h, w, height, width, WIDE=wide, ROWS=min(16, tiles.rows), **launch)
    grid = (count, -(-width // tiles.columns))
    shape = (room, h, w, height, width, *scale)
    tile: Any = {"COLUMNS": tiles.columns, "ROWS": tiles.rows, **launch}
    kernels.scan[grid](logits, reach, counts, counts, places, *shape, WRITE=False, **tile)
    ends = counts.cumsum(0, dtype=torch.int64)
    kernels.scan[grid](logits, reach, counts, ends, places, *shape, WRITE=True, **tile)
    grid = (count, tiles.groups)
    block: Any = {"BLOCK": tiles.runs, "GROUPS": tiles.groups, "num_warps": tiles.warps}
    kernels.run_lengths[grid](places, ends, sizes, room, width, height * width, **block)
    stops = sizes.cumsum(0, dtype=torch.int64)
    kernels.characters[grid](places, ends, stops, text, room, chars, width, height * width, **block)
    last = ends.view(count, width)[:, -1] + torch.arange(count, device=device)  # where each mask's last run stands
    told = torch.cat([last[-1:] + 1, stops[last.clamp(max=room - 1)]])
    return text, cast(list[int], cast(Any, fetch(told)).tolist())  # the first wait
