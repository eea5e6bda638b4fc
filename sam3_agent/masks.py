"""Pure mask arithmetic on COCO run-length encodings.

Everything here works on `Rle` values; a bitmap exists only where a caller asks for one. Counts are COCO's compressed
column-major runs (pycocotools `maskApi.c`), kept as `str` so that they go into JSON as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco  # pyright: ignore[reportMissingTypeStubs]

from sam3_agent.errors import InputError

Box = tuple[float, float, float, float]
"""Absolute xyxy pixels; x1 and y1 are exclusive edges."""
Window = tuple[int, int, int, int]
"""Whole-pixel xyxy part of an image; x1 and y1 are exclusive edges."""

_coco = cast(Any, coco)

MOST_PIXELS = 1 << 30
"""Of one mask, a video's volume included: 1165 frames of 720p, 517 of 1080p. Runs in pycocotools have 32 bits."""
_SAMPLE_BY_RUNS = 200_000
"""More grid points than this are read faster from a decoded bitmap."""


@dataclass(frozen=True, slots=True)
class Rle:
    """One boolean mask as COCO compressed run-length encoding."""

    size: tuple[int, int]
    """(height, width) in pixels."""
    counts: str

    def __repr__(self) -> str:
        height, width = self.size
        return f"Rle({height} high, {width} wide, {len(self.counts)} characters)"

    def to_json(self) -> dict[str, Any]:
        """The COCO form: {"size": [h, w], "counts": "..."}."""
        return {"size": list(self.size), "counts": self.counts}

    def to_coco(self) -> dict[str, Any]:
        """The form that pycocotools takes: counts as bytes."""
        return {"size": list(self.size), "counts": self.counts.encode("ascii")}


def encode(mask: NDArray[np.bool_]) -> Rle:
    """Encode a (H, W) bool mask."""
    if mask.ndim != 2:
        raise InputError(f"a mask must have shape (H, W), got {mask.shape}")
    coded = _coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return _from_coco(coded)


def decode(rle: Rle) -> NDArray[np.bool_]:
    """Decode to a (H, W) bool mask."""
    return _coco.decode(rle.to_coco()).astype(bool)


def empty(height: int, width: int) -> Rle:
    """A mask of that size without a pixel."""
    return encode(np.zeros((height, width), dtype=bool))


def area(rle: Rle) -> int:
    """Pixels in the mask."""
    return int(_coco.area(rle.to_coco()))


def box(rle: Rle) -> Box:
    """The tight xyxy box of the mask; all zeros when it is empty."""
    x, y, w, h = (float(v) for v in _coco.toBbox(rle.to_coco()))
    return (x, y, x + w, y + h)


def boxes(rles: Sequence[Rle]) -> NDArray[np.float64]:
    """(N, 4) tight xyxy boxes; all zeros for an empty mask."""
    if not rles:
        return np.zeros((0, 4))
    table = np.asarray(_coco.toBbox([rle.to_coco() for rle in rles]), dtype=np.float64)  # (N, 4) x, y, width, height
    table[:, 2:] += table[:, :2]
    return table


def area_in(rle: Rle, window: Window) -> int:
    """Pixels of the mask that lie in a window of its picture; reads runs, decodes nothing."""
    x0, y0, x1, y1 = window
    column, top, bottom = _pieces(rle)
    inside = np.minimum(bottom, y1) - np.maximum(top, y0)
    return int(inside[(column >= x0) & (column < x1)].clip(0).sum())


def iou(first: Sequence[Rle], second: Sequence[Rle]) -> NDArray[np.float64]:
    """(len(first), len(second)) intersection over union; two empty masks give 0."""
    return _overlap(first, second, crowd=False)


def containment(inner: Sequence[Rle], outer: Sequence[Rle]) -> NDArray[np.float64]:
    """(len(inner), len(outer)) share of each inner mask that lies in each outer one (0 for an empty inner mask)."""
    return _overlap(inner, outer, crowd=True)


def overlaps(rles: Sequence[Rle]) -> list[tuple[int, int, int]]:
    """(i, j, pixels in common) of every pair i < j of masks that have any, in order; all masks of one size.

    Only masks whose boxes meet are compared, so a thousand small masks cost a fraction of the `iou` table.
    """
    table = boxes(rles)
    order = np.argsort(table[:, 0], kind="stable")
    left = table[order, 0]
    found: list[tuple[int, int, int]] = []
    for rank, index in enumerate(cast(list[int], order.tolist())):
        near = order[rank + 1 : np.searchsorted(left, table[index, 2], "left")]
        near = near[(table[near, 1] < table[index, 3]) & (table[near, 3] > table[index, 1])]
        others = cast(list[int], near.tolist())
        share = _overlap([rles[index]], [rles[other] for other in others], crowd=True)[0]  # (others,)
        common = np.rint(share * area(rles[index])).astype(np.int64)
        found += [(min(index, other), max(index, other), int(n)) for other, n in zip(others, common, strict=True) if n]
    return sorted(found)


def union(masks: Sequence[Rle]) -> Rle:
    """Pixels in any of the masks (at least one, all of one size)."""
    return _merge(masks, intersect=False)


def intersect(masks: Sequence[Rle]) -> Rle:
    """Pixels in all of the masks (at least one, all of one size)."""
    return _merge(masks, intersect=True)


def subtract(first: Rle, *others: Rle) -> Rle:
    """Pixels of the first mask that are in none of the others."""
    _same_size((first, *others))
    left = decode(first)
    for other in others:
        left &= ~decode(other)
    return encode(left)


def place(rle: Rle, height: int, width: int, x: int, y: int) -> Rle:
    """Put a mask of a crop, whose left top corner is (x, y), back into a picture of (height, width).

    Works on runs: a small mask costs the same in a picture of any size.
    """
    h, w = rle.size
    if x < 0 or y < 0 or x + w > width or y + h > height:
        raise InputError(f"a {w}x{h} crop at ({x}, {y}) does not fit into {width}x{height}")
    column, top, bottom = _pieces(rle)
    start, stop = (column + x) * height + y + top, (column + x) * height + y + bottom
    return _from_spans(start, stop, (height, width))


def beside(rles: Sequence[Rle]) -> Rle:
    """Masks of one size side by side, as one mask: runs go down the columns, so those of each follow those before.

    So the masks of a video's frames become one mask of its volume, whose area, IoU and union are those of the video.

    Raises:
        InputError: there is no mask, or they are of different sizes or of more pixels than runs can count.
    """
    if not rles:
        raise InputError("at least one mask is needed")
    _same_size(rles)
    height, width = rles[0].size
    if height * width * len(rles) > MOST_PIXELS:
        raise InputError(f"{len(rles)} masks of {width}x{height} are more pixels than one mask can have")
    starts, stops = zip(*(_spans(rle, index * height * width) for index, rle in enumerate(rles)), strict=True)
    return _from_spans(np.concatenate(starts), np.concatenate(stops), (height, width * len(rles)))


def split(rle: Rle, parts: int) -> list[Rle]:
    """The masks that `beside` put together: `parts` of one width each, from left to right.

    Raises:
        InputError: the width is no multiple of it.
    """
    height, width = rle.size
    if parts < 1 or width % parts:
        raise InputError(f"a mask {width} pixels wide has no {parts} parts of one width")
    side = width // parts
    start, stop = _spans(rle, 0)
    found: list[Rle] = []
    for index in range(parts):
        low, high = index * side * height, (index + 1) * side * height
        inside = slice(int(np.searchsorted(stop, low, "right")), int(np.searchsorted(start, high, "left")))
        first, last = np.maximum(start[inside], low) - low, np.minimum(stop[inside], high) - low
        found.append(_from_spans(first, last, (height, side)))
    return found


def sample(rle: Rle, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
    """The mask at a grid of pixels: (len(rows), len(columns)) bool.

    Reads the runs, so that a thumbnail of a small mask in a 4K picture costs microseconds, not a decoded bitmap.
    """
    height, _ = rle.size
    if rows.size * columns.size > _SAMPLE_BY_RUNS:
        return decode(rle)[np.ix_(rows, columns)]
    ends = np.cumsum(_runs(rle))  # (R,) flat column-major position after each run; odd runs are inside
    flat = columns[:, None] * height + rows[None, :]  # (columns, rows): ascending, which searchsorted likes
    return (np.searchsorted(ends, flat, side="right") % 2 == 1).T


def from_json(value: dict[str, Any]) -> Rle:
    """Read {"size": [h, w], "counts": str | bytes | list of uncompressed runs}.

    Raises:
        InputError: the value is not a COCO RLE.
    """
    try:
        height, width = (int(v) for v in value["size"])
        counts = value["counts"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"not a COCO RLE: expected size [h, w] and counts, got {value!r:.120}") from error
    if isinstance(counts, list):
        return _from_coco(_coco.frPyObjects({"size": [height, width], "counts": counts}, height, width))
    return Rle((height, width), counts.decode("ascii") if isinstance(counts, bytes) else str(counts))


def _from_coco(coded: dict[str, Any]) -> Rle:
    height, width = coded["size"]
    return Rle((int(height), int(width)), coded["counts"].decode("ascii"))


def _runs(rle: Rle) -> NDArray[np.int64]:
    """(R,) run lengths, outside first (maskApi.c rleFrString: 5 bits a character, each run less the one 2 before)."""
    codes = np.frombuffer(rle.counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    if codes.size == 0:
        return np.zeros(0, dtype=np.int64)
    last = (codes & 0x20) == 0
    starts = np.concatenate(([0], np.flatnonzero(last)[:-1] + 1))
    place = np.arange(codes.size) - np.repeat(starts, np.diff(np.append(starts, codes.size)))
    runs = np.add.reduceat((codes & 0x1F) << (5 * place), starts)
    negative = (codes[last] & 0x10) != 0
    runs[negative] -= np.int64(1) << (5 * (place[last][negative] + 1))
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _spans(rle: Rle, offset: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(R,) flat column-major positions where the runs inside the mask begin and end, moved by an offset."""
    ends = np.cumsum(_runs(rle)) + offset
    start, stop = ends[0:-1:2], ends[1::2]
    return start[start < stop], stop[start < stop]


def _from_spans(start: NDArray[np.int64], stop: NDArray[np.int64], size: tuple[int, int]) -> Rle:
    """The mask with the runs from `start` to `stop`, which are in order; runs that touch become one."""
    height, width = size
    apart = start[1:] != stop[:-1]  # a piece that reaches a column's foot goes on from the next one's head
    first, last = np.append(True, apart)[: start.size], np.append(apart, True)[: start.size]
    edges = np.stack([start[first], stop[last]], axis=1).ravel()  # where the mask begins and ends, in turn
    rest = height * width - (int(edges[-1]) if edges.size else 0)
    counts = np.append(np.diff(edges, prepend=0), [rest] if rest else []).astype(np.int64)
    return _from_coco(_coco.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width))


def _pieces(rle: Rle) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The runs inside the mask, cut at the ends of columns: (C,) column, first row, row after the last; in order."""
    height, _ = rle.size
    start, stop = _spans(rle, 0)
    first = start // height
    number = (stop - 1) // height - first + 1  # columns that each run touches
    run = np.repeat(np.arange(start.size), number)
    column = first[run] + np.arange(run.size) - np.repeat(np.cumsum(number) - number, number)
    return column, np.maximum(start[run] - column * height, 0), np.minimum(stop[run] - column * height, height)


def _overlap(first: Sequence[Rle], second: Sequence[Rle], *, crowd: bool) -> NDArray[np.float64]:
    if not first or not second:
        return np.zeros((len(first), len(second)))
    _same_size((*first, *second))
    flags = [int(crowd)] * len(second)
    result = _coco.iou([m.to_coco() for m in first], [m.to_coco() for m in second], flags)
    return np.nan_to_num(np.asarray(result, dtype=np.float64))


def _merge(masks: Sequence[Rle], *, intersect: bool) -> Rle:
    if not masks:
        raise InputError("at least one mask is needed")
    _same_size(masks)
    return _from_coco(_coco.merge([m.to_coco() for m in masks], intersect=intersect))


def _same_size(masks: Sequence[Rle]) -> None:
    sizes = {m.size for m in masks}
    if len(sizes) > 1:
        raise InputError(f"masks must be of one size, got {sorted(sizes)}")
