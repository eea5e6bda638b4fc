"""Mask logits to run-length encodings at original size, without a bitmap.

The mask is `bilinear(logits) > 0`, resized as logits (as Meta does; resizing probabilities moves the edge). It equals
`torch.nn.functional.interpolate(..., mode="bilinear", align_corners=False) > 0` on the whole image to the bit. Only the
rows and columns that positive logits can reach are computed, a band of columns at a time, and a band leaves nothing but
the places where the mask changes: COCO's runs go column by column.
"""

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.masks import Rle

BAND = 1 << 17
"""Pixels computed at a time: half a MiB of float32, so that a band stays in the processor's cache."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


def to_rle(logits: Floats, height: int, width: int) -> Rle:
    """The mask of (h, w) logits at (height, width), as COCO RLE; empty where no logit is positive."""
    return rle_of_edges(_edges(logits, height, width), height, width)


def rle_of_edges(edges: Ints, height: int, width: int) -> Rle:
    """COCO RLE of the ascending column-major places at which a mask changes, the first one from outside to inside."""
    if not len(edges):
        return masks.empty(height, width)
    last = [] if edges[-1] == height * width else [height * width]
    counts = np.diff(np.concatenate(([0], edges, last)).astype(np.int64))
    return masks.from_runs(counts.tolist(), height, width)


def without_pairs(edges: Ints) -> Ints:
    """Edges without pairs at one place: a run that goes on from one column's foot to the next one's head."""
    same = np.flatnonzero(edges[1:] == edges[:-1])
    return np.delete(edges, np.concatenate((same, same + 1)))


def reach(first: int, last: int, source: int, size: int) -> slice:
    """The output places that source places first..last can touch: none where a short side samples other places."""
    low, high, _ = weights_of(source, size, slice(0, size))
    start, stop = int(np.searchsorted(high, first, "left")), int(np.searchsorted(low, last, "right"))
    return slice(start, max(start, stop))


def weights_of(source: int, size: int, part: slice) -> tuple[Ints, Ints, Floats]:
    """For output places: the two source places and the weight of the second, in torch's own float32 arithmetic."""
    scale = np.float32(source) / np.float32(size)
    center = scale * (np.arange(part.start, part.stop, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    center = np.maximum(center, np.float32(0))
    low = np.minimum(center.astype(np.int64), source - 1)
    return low, np.minimum(low + 1, source - 1), (center - low.astype(np.float32)).astype(np.float32)


def _edges(logits: Floats, height: int, width: int) -> Ints:
    """Column-major places at which the mask changes, the first one from outside to inside."""
    down, across = np.nonzero(logits > 0)
    if not len(down):
        return np.zeros(0, dtype=np.int64)
    rows = reach(int(down.min()), int(down.max()), logits.shape[0], height)
    columns = reach(int(across.min()), int(across.max()), logits.shape[1], width)
    if rows.start == rows.stop or columns.start == columns.stop:
        return np.zeros(0, dtype=np.int64)
    upper, lower, weight = weights_of(logits.shape[0], height, rows)
    left, right, share = weights_of(logits.shape[1], width, columns)
    step = max(1, BAND // len(upper))
    changes: list[Ints] = []
    for start in range(0, len(left), step):
        part = slice(start, start + step)
        # Across first, then down: the order of torch's own kernel.
        strip = logits[:, left[part]] * (1 - share[part]) + logits[:, right[part]] * share[part]  # (h, columns)
        values = strip[upper] * (1 - weight)[:, None] + strip[lower] * weight[:, None]  # (rows, columns)
        changes.append(_column_edges(values > 0, columns.start + start, rows.start, height))
    return without_pairs(np.concatenate(changes))


def _column_edges(inside: Flags, first_column: int, first_row: int, height: int) -> Ints:
    """Edges of (rows, columns) flags in column-major order: every column opens and closes by itself."""
    rows, columns = inside.shape
    walled = np.zeros((rows + 2, columns), dtype=np.bool_)
    walled[1:-1] = inside
    places = np.flatnonzero(walled[1:] != walled[:-1])
    row, column = np.divmod(places, columns)
    return np.sort((column + first_column) * height + row + first_row)
