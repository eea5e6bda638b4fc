"""Mask logits to run-length encodings on the device that holds them, so that only runs cross the bus.

The same arithmetic as `upsample`, in torch and for all masks of a prompt together. There the processor's cache decides
(a band of columns at a time); here the number of kernel launches and of waits for the device does: the extents of all
masks are fetched in one wait, then all masks that fit into BUFFER are expanded, and their edges fetched in another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from sam3_agent.model.mask_rle import Ints, reach, weights_of, without_pairs

BUFFER = 1 << 27
"""Output pixels whose flags are held at a time, over all masks: 134 MB. Floats are held for one mask."""


@dataclass(frozen=True, slots=True)
class _Region:
    """The output rows and columns that the positive logits of one mask can reach."""

    number: int
    rows: slice
    columns: slice

    @property
    def cells(self) -> int:
        """Flags that the region takes: each column has a wall above and below."""
        return (self.rows.stop - self.rows.start + 2) * (self.columns.stop - self.columns.start)


def to_edges(logits: torch.Tensor, height: int, width: int, *, buffer: int = BUFFER) -> list[Ints]:
    """Find where each mask `bilinear(logits) > 0` of (K, h, w) float32 logits changes at (height, width), column-major.

    `upsample.rle_of_edges` turns them into run lengths, on the host and in any thread.
    """
    found: list[Ints] = [np.zeros(0, dtype=np.int64)] * len(logits)
    for group in _groups(_regions(logits, height, width), buffer):
        flags = torch.cat([_changes(logits[r.number], r, height, width) for r in group])
        places = torch.nonzero(flags).squeeze(1).cpu().numpy()  # the one wait of the group
        start = 0
        for region in group:
            low, high = np.searchsorted(places, (start, start + region.cells - 1))
            found[region.number] = _in_image(places[low:high] - start, region, height)
            start += region.cells - 1
    return found


def _regions(logits: torch.Tensor, height: int, width: int) -> list[_Region]:
    """Regions of the masks that have any, all extents fetched at once."""
    inside = logits > 0
    rows, columns = inside.any(2), inside.any(1)  # (K, h), (K, w)
    extents = torch.stack([_first(rows), _last(rows), _first(columns), _last(columns), rows.any(1).long()], dim=1)
    regions: list[_Region] = []
    source_h, source_w = logits.shape[1:]
    fetched: list[list[int]] = cast(Any, extents).cpu().tolist()
    for number, (top, bottom, left, right, some) in enumerate(fetched):
        if some:
            rows_, columns_ = reach(top, bottom, source_h, height), reach(left, right, source_w, width)
            if rows_.start < rows_.stop and columns_.start < columns_.stop:
                regions.append(_Region(number, rows_, columns_))
    return regions


def _groups(regions: Sequence[_Region], buffer: int) -> Iterator[list[_Region]]:
    group: list[_Region] = []
    held = 0
    for region in regions:
        if group and held + region.cells > buffer:
            yield group
            group, held = [], 0
        group.append(region)
        held += region.cells
    if group:
        yield group


def _changes(plane: torch.Tensor, region: _Region, height: int, width: int) -> torch.Tensor:
    """(cells - 1,) bool in column-major order: does the mask change between a cell and the next one?"""
    device = plane.device
    upper, lower, weight = _on_device(plane.shape[0], height, region.rows, device)
    left, right, share = _on_device(plane.shape[1], width, region.columns, device)
    # Across first, then down, transposed: columns lie one after the other, as COCO's runs go.
    strip = plane[:, left] * (1 - share) + plane[:, right] * share  # (h, columns)
    strip = strip.T.contiguous()  # (columns, h)
    values = strip[:, upper] * (1 - weight) + strip[:, lower] * weight  # (columns, rows)
    walled = torch.nn.functional.pad(values > 0, (1, 1)).flatten()  # (cells,)
    return walled[1:] != walled[:-1]


def _in_image(places: Ints, region: _Region, height: int) -> Ints:
    """Column-major places in the image of changes in a region; a run that goes on over a column's foot is joined."""
    column, row = np.divmod(places, region.rows.stop - region.rows.start + 2)
    return without_pairs((column + region.columns.start) * height + row + region.rows.start)


def _on_device(
    source: int, size: int, part: slice, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    low, high, weight = (torch.from_numpy(v).to(device) for v in weights_of(source, size, part))  # pyright: ignore[reportUnknownMemberType]
    return low, high, weight


def _first(flags: torch.Tensor) -> torch.Tensor:
    return flags.long().argmax(1)


def _last(flags: torch.Tensor) -> torch.Tensor:
    return flags.shape[1] - 1 - flags.flip(1).long().argmax(1)
