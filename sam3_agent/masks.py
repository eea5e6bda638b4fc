"""Pure mask arithmetic on COCO run-length encodings.

Everything here works on `Rle` values; a bitmap exists only where a caller asks for one. Counts are COCO's compressed
column-major runs (pycocotools `maskApi.c`), kept as `str` so that they go into JSON as they are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
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
"""Of one mask, untrusted ones and a video's volume included (517 frames of 1080p): its bitmap takes a GiB."""
MOST_OUTLINE = 8_000_000
"""Pixels around untrusted polygons: pycocotools takes 60 bytes for each. Grass in a 4K photograph has some 500,000."""
_MARGIN = 100
"""Pixels that corners may lie further out than one side of the image, for the sake of tiny images."""
_MOST_BITS = 35
"""Of a compressed run, 5 a character: enough for MOST_PIXELS and a sign."""
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
        """Give the COCO form: {"size": [h, w], "counts": "..."}."""
        return {"size": list(self.size), "counts": self.counts}

    def to_coco(self) -> dict[str, Any]:
        """Give the form that pycocotools takes: counts as bytes."""
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
    """Give a mask of that size without a pixel."""
    return encode(np.zeros((height, width), dtype=bool))


def area(rle: Rle) -> int:
    """Count the pixels in the mask."""
    return int(_coco.area(rle.to_coco()))


def box(rle: Rle) -> Box:
    """Give the tight xyxy box of the mask; all zeros when it is empty."""
    x, y, w, h = (float(v) for v in _coco.toBbox(rle.to_coco()))
    return (x, y, x + w, y + h)


def boxes(rles: Sequence[Rle]) -> NDArray[np.float64]:
    """Give (N, 4) tight xyxy boxes; all zeros for an empty mask."""
    if not rles:
        return np.zeros((0, 4))
    table = np.asarray(_coco.toBbox([rle.to_coco() for rle in rles]), dtype=np.float64)  # (N, 4) x, y, width, height
    table[:, 2:] += table[:, :2]
    return table


def area_in(rle: Rle, window: Window) -> int:
    """Give the pixels of the mask that lie in a window of its image; reads runs, decodes nothing."""
    x0, y0, x1, y1 = window
    column, top, bottom = _pieces(rle)
    inside = np.minimum(bottom, y1) - np.maximum(top, y0)
    return int(inside[(column >= x0) & (column < x1)].clip(0).sum())


@dataclass(frozen=True, slots=True)
class Parts:
    """Connected parts of a mask (pixels that touch by a side or a corner), largest first."""

    areas: tuple[int, ...]
    """Pixels of each."""
    main_box: Box
    """Tight xyxy box of the largest; all zeros for an empty mask."""


@lru_cache(maxsize=4096)
def parts_of(rle: Rle) -> Parts:
    """Count the connected parts of a mask; kept, as pictures and texts ask for the same ones again."""
    column, top, bottom = _pieces(rle)
    if column.size == 0:
        return Parts((), (0.0, 0.0, 0.0, 0.0))
    label = _connected(column, top, bottom, rle.size[0])
    areas = np.bincount(label, bottom - top)
    order = np.argsort(-areas, kind="stable")
    main = label == order[0]
    x, x_last = int(column[main].min()), int(column[main].max())
    box = (float(x), float(top[main].min()), float(x_last + 1), float(bottom[main].max()))
    return Parts(tuple(int(areas[i]) for i in order), box)


def main_part(rle: Rle) -> Rle:
    """The largest connected part of a mask; an empty mask as it is."""
    if len(parts_of(rle).areas) < 2:
        return rle
    column, top, bottom = _pieces(rle)
    label = _connected(column, top, bottom, rle.size[0])
    main = label == np.argmax(np.bincount(label, bottom - top))
    return _from_pieces(column[main], top[main], bottom[main], rle.size)


def clipped(rle: Rle, window: Window) -> Rle:
    """Cut a mask to a window of its image."""
    height, width = rle.size
    x0, y0, x1, y1 = window
    inside = np.zeros((height, width), dtype=bool)
    inside[max(y0, 0) : y1, max(x0, 0) : x1] = True
    return intersect([rle, encode(inside)])


def _connected(
    column: NDArray[np.int64], top: NDArray[np.int64], bottom: NDArray[np.int64], height: int
) -> NDArray[np.int64]:
    """(C,) number of the connected part that each piece of a column belongs to; pieces in order."""
    # here: importing the package must not import scipy
    from scipy.sparse import coo_array, csgraph  # pyright: ignore[reportMissingTypeStubs]

    key = height + 2  # keeps the rows of neighboring columns apart, one row of slack on each side
    first = np.searchsorted(column * key + bottom, (column + 1) * key + top)
    last = np.searchsorted(column * key + top, (column + 1) * key + bottom, side="right")
    number = np.maximum(last - first, 0)
    left = np.repeat(np.arange(column.size), number)
    right = np.arange(left.size) - np.repeat(np.cumsum(number) - number, number) + np.repeat(first, number)
    links = coo_array((np.ones(left.size, dtype=bool), (left, right)), shape=(column.size, column.size))
    labels: Any = cast(Any, csgraph).connected_components(links, directed=False)[1]
    return np.asarray(labels, dtype=np.int64)


def iou(first: Sequence[Rle], second: Sequence[Rle]) -> NDArray[np.float64]:
    """Give (len(first), len(second)) intersection over union; two empty masks give 0."""
    return _overlap(first, second, crowd=False)


def containment(inner: Sequence[Rle], outer: Sequence[Rle]) -> NDArray[np.float64]:
    """Give (len(inner), len(outer)) share of each inner mask that lies in each outer one; 0 for an empty one."""
    return _overlap(inner, outer, crowd=True)


def overlaps(rles: Sequence[Rle]) -> list[tuple[int, int, int]]:
    """Give (i, j, pixels in common) of every pair i < j of masks that have any, in order; all masks of one size.

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
    """Give the pixels in any of the masks (at least one, all of one size)."""
    return _merge(masks, intersect=False)


def intersect(masks: Sequence[Rle]) -> Rle:
    """Give the pixels in all of the masks (at least one, all of one size)."""
    return _merge(masks, intersect=True)


def subtract(first: Rle, *others: Rle) -> Rle:
    """Give the pixels of the first mask that are in none of the others."""
    _same_size((first, *others))
    left = decode(first)
    for other in others:
        left &= ~decode(other)
    return encode(left)


def place(rle: Rle, height: int, width: int, x: int, y: int) -> Rle:
    """Put a mask of a crop, whose left top corner is (x, y), back into an image of (height, width).

    Works on runs: a small mask costs the same in an image of any size.
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
    """Give the masks that `beside` put together; raises InputError when the width is no multiple of `parts`."""
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


def _from_pieces(
    column: NDArray[np.int64], top: NDArray[np.int64], bottom: NDArray[np.int64], size: tuple[int, int]
) -> Rle:
    """Make the mask of pieces of columns in order, as `_pieces` gives them."""
    return _from_spans(column * size[0] + top, column * size[0] + bottom, size)


def sample(rle: Rle, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Give the mask at a grid of pixels: (len(rows), len(columns)) bool.

    Reads the runs, so that a thumbnail of a small mask in a 4K image costs microseconds, not a decoded bitmap.
    """
    height, _ = rle.size
    if rows.size * columns.size > _SAMPLE_BY_RUNS:
        return decode(rle)[np.ix_(rows, columns)]
    ends = np.cumsum(_runs(rle.counts))  # (R,) flat column-major position after each run; odd runs are inside
    flat = columns[:, None] * height + rows[None, :]  # (columns, rows): ascending, which searchsorted likes
    return (np.searchsorted(ends, flat, side="right") % 2 == 1).T


def from_json(value: object, size: tuple[int, int] | None = None) -> Rle:
    """Read untrusted {"size": [h, w], "counts": str | bytes | list of uncompressed runs}.

    Everything is checked before a decoder sees it: pycocotools trusts its input, and runs that are longer than the
    image make it write outside its buffer or never return. `size` is the (height, width) that the mask must have.

    Raises:
        InputError: the value is no COCO RLE, or its runs do not fill exactly its size.
    """
    given: Mapping[str, object] = cast(Any, value) if isinstance(value, Mapping) else {}
    if not {"size", "counts"} <= given.keys():
        raise InputError(f"not a COCO RLE: expected size [h, w] and counts, got {value!r:.120}")
    height, width = _checked_size(given["size"])
    if size is not None and (height, width) != size:
        raise InputError(f"an RLE of size {[height, width]} on an image of size {list(size)}")
    counts = given["counts"]
    if isinstance(counts, str | bytes):
        return Rle((height, width), _checked_text(counts, height, width))
    runs = _whole_numbers(counts)
    if int(runs.min()) < 0:
        raise InputError(f"a run of {int(runs.min())} pixels in {width}x{height}")
    _check_filled(int(runs.astype(np.float64).sum()), height, width)
    return from_runs(runs.tolist(), height, width)


def from_runs(runs: Sequence[int], height: int, width: int) -> Rle:
    """Encode run lengths of our own making, outside first, column-major; nothing is checked: see `from_json`."""
    return _from_coco(_coco.frPyObjects({"size": [height, width], "counts": list(runs)}, height, width))


def from_polygons(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> Rle:
    """Fill untrusted polygons (x0, y0, x1, y1, ... pixels) as pycocotools does, and unite them.

    Corners may lie outside of the image of `size` (height, width), by as much as its longer side.

    Raises:
        InputError: one is no polygon, or reaches so far out that filling it would take for ever or crash.
    """
    height, width = _checked_size(size)
    rings = [_checked_polygon(polygon, max(height, width)) for polygon in polygons]
    if not rings:
        raise InputError("at least one polygon is needed")
    length = sum(float(np.abs(np.roll(ring, -1, axis=0) - ring).max(axis=1).sum()) for ring in rings)
    if length > MOST_OUTLINE:
        raise InputError(f"an outline of {length:.0f} pixels is too long; at most {MOST_OUTLINE} are filled")
    coded: list[dict[str, Any]] = _coco.frPyObjects([ring.ravel().tolist() for ring in rings], height, width)
    return union([_from_coco(part) for part in coded])


def from_box(box: Box, size: tuple[int, int]) -> Rle:
    """Fill an untrusted xyxy box, cut at the edges of the image of `size` (height, width) and rounded to its pixels.

    A box thinner than a pixel takes the pixels that it lies in; one outside of the image gives an empty mask.

    Raises:
        InputError: a side is no finite number.
    """
    height, width = _checked_size(size)
    if not all(math.isfinite(side) for side in box):
        raise InputError(f"a box needs four finite numbers, got {list(box)!r:.120}")
    x0, x1 = _pixels_between(box[0], box[2], width)
    y0, y1 = _pixels_between(box[1], box[3], height)
    if x0 >= x1 or y0 >= y1:
        return empty(height, width)
    return place(encode(np.ones((y1 - y0, x1 - x0), dtype=bool)), height, width, x0, y0)


def _pixels_between(low: float, high: float, size: int) -> tuple[int, int]:
    """First and last + 1 of the pixels between two places along a side."""
    low, high = max(low, 0.0), min(high, float(size))
    if low >= high:
        return 0, 0
    start, stop = round(low), round(high)
    return (start, stop) if start < stop else (min(int(low), size - 1), min(int(low), size - 1) + 1)


def _checked_size(value: object) -> tuple[int, int]:
    sides = cast(Sequence[object], value) if isinstance(value, list | tuple) else ()
    whole = [int(side) for side in sides if isinstance(side, int | float) and 1 <= side < 2**53 and side == int(side)]
    if len(whole) != 2 or len(sides) != 2:
        raise InputError(f"a size is [height, width] in whole pixels, got {value!r:.120}")
    height, width = whole
    if height * width > MOST_PIXELS:
        raise InputError(f"a mask of {width}x{height} pixels is too large; at most {MOST_PIXELS} can be held")
    return height, width


def _whole_numbers(value: object) -> NDArray[np.int64]:
    """Give (N,) of a list of whole numbers below 2^53, which floats such as 3.0 may be, too."""
    listed: Any = cast(Any, value) if isinstance(value, list | tuple | np.ndarray) else cast(Any, [])
    try:
        numbers: NDArray[Any] = np.asarray(listed)
    except (ValueError, OverflowError) as error:
        raise InputError(f"expected a list of whole numbers, got {value!r:.120}") from error
    usable = numbers.ndim == 1 and numbers.size and numbers.dtype.kind in "iuf"
    if not usable or not bool((np.abs(numbers) < 2.0**53).all() and (numbers == np.floor(numbers)).all()):
        raise InputError(f"expected a list of whole numbers, got {value!r:.120}")
    return numbers.astype(np.int64)


def _checked_text(counts: str | bytes, height: int, width: int) -> str:
    """Compressed counts whose runs fill the size, read digit by digit as maskApi.c rleFrString does.

    A plain loop: it takes a third of the time of numpy at the 250 characters of a usual mask.
    """
    data = counts.encode("utf-8", "surrogatepass") if isinstance(counts, str) else counts
    runs: list[int] = []
    run = shift = filled = 0
    for character in data:
        code = character - 48
        if not 0 <= code < 64 or shift >= _MOST_BITS:
            raise InputError(f"compressed counts are runs in characters from '0' to 'o', got {counts!r:.60}")
        run |= (code & 0x1F) << shift
        shift += 5
        if code < 0x20:  # the last digit of a run, whose upper bit is the sign
            run -= (1 << shift) if code & 0x10 else 0
            run += runs[-2] if len(runs) > 2 else 0
            if run < 0:
                raise InputError(f"a run of {run} pixels in {width}x{height}")
            runs.append(run)
            filled += run
            run = shift = 0
    if shift or not runs:
        raise InputError(f"compressed counts are empty or cut off: {counts!r:.60}")
    _check_filled(filled, height, width)
    return data.decode("ascii")


def _check_filled(filled: int, height: int, width: int) -> None:
    if filled != height * width:
        raise InputError(f"its runs fill {filled} pixels, not the {height * width} of {width}x{height}")


def _checked_polygon(polygon: Sequence[float], far: int) -> NDArray[np.float64]:
    """Give (N, 2) x, y of at least three corners, none further than `far` outside of a square image of that side."""
    try:
        values = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"a polygon is a list of numbers, got {polygon!r:.120}") from error
    if values.ndim != 1 or values.size < 6 or values.size % 2:
        raise InputError(f"a polygon is at least three x, y pairs, got {values.size} numbers")
    outside = ~((values >= -far - _MARGIN) & (values <= 2 * far + _MARGIN))  # of NaN, too
    if outside.any():
        raise InputError(f"a corner at {float(values[outside][0]):g} lies far outside of the image")
    return values.reshape(-1, 2)


def _from_coco(coded: dict[str, Any]) -> Rle:
    height, width = coded["size"]
    return Rle((int(height), int(width)), coded["counts"].decode("ascii"))


def _runs(counts: str) -> NDArray[np.int64]:
    """Give (R,) run lengths, outside first (maskApi.c rleFrString: 5 bits a character, less the run 2 before)."""
    codes = np.frombuffer(counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
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
    ends = np.cumsum(_runs(rle.counts)) + offset
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
    return from_runs(counts.tolist(), height, width)


def _pieces(rle: Rle) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Give the runs inside the mask, cut at the ends of columns: (C,) column, first row, row after the last."""
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
