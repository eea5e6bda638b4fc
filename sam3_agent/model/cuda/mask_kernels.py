# type: ignore  # kernels are Triton's language, which only looks like Python
"""Triton kernels from mask logits to COCO's compressed run lengths; importing this imports Triton.

A mask is `bilinear(logits) > 0` at output size. Three steps, each over all masks of a call: `extents` bounds the output
places that positive logits can reach; `scan` counts, and in a second run writes, the column-major places at which each
mask changes; `run_lengths` and `characters` turn those into COCO's bytes (pycocotools' maskApi.c, rleToString). All
arithmetic is float32 in the order of torch's own kernel: launch with `enable_fp_fusion=False`, or edges move.

`TRITON_INTERPRET=1` runs all of it on a CPU.
"""

from functools import partial

import triton
import triton.language as tl

# Compiled once for all sizes: by itself Triton makes a kernel anew where a number happens to be 1 or divisible by 16.
_jit = partial(triton.jit, do_not_specialize=["h", "w", "height", "width", "room", "chars", "size"])


@_jit
def extents(logits, found, h, w, height, width, WIDE: tl.constexpr, ROWS: tl.constexpr):
    """(K, 4) int32 first row, end row, first column, end column that positive (K, h, w) logits can reach.

    May be a few places too wide, never too narrow; all zeros where no logit is positive. One program a mask; WIDE is a
    power of two from w on.
    """
    k = tl.program_id(0)
    plane = logits + k.to(tl.int64) * h * w
    columns = tl.arange(0, WIDE)
    held = tl.zeros((WIDE,), tl.int32)
    top = h
    bottom = -1
    for start in range(0, h, ROWS):
        rows = start + tl.arange(0, ROWS)
        there = (rows[:, None] < h) & (columns[None, :] < w)
        inside = (tl.load(plane + rows[:, None] * w + columns[None, :], mask=there, other=-1.0) > 0).to(tl.int32)
        held = tl.maximum(held, tl.max(inside, axis=0))
        across = tl.max(inside, axis=1)
        top = tl.minimum(top, tl.min(tl.where(across > 0, rows, h), axis=0))
        bottom = tl.maximum(bottom, tl.max(tl.where(across > 0, rows, -1), axis=0))
    left = tl.min(tl.where(held > 0, columns, w), axis=0)
    right = tl.max(tl.where(held > 0, columns, -1), axis=0)
    some = bottom >= 0
    down = height / h
    over = width / w
    r0 = tl.floor((top - 1).to(tl.float32) * down).to(tl.int32) - 1
    r1 = tl.ceil((bottom + 2).to(tl.float32) * down).to(tl.int32) + 1
    c0 = tl.floor((left - 1).to(tl.float32) * over).to(tl.int32) - 1
    c1 = tl.ceil((right + 2).to(tl.float32) * over).to(tl.int32) + 1
    tl.store(found + k * 4, tl.where(some, tl.maximum(r0, 0), 0))
    tl.store(found + k * 4 + 1, tl.where(some, tl.minimum(r1, height), 0))
    tl.store(found + k * 4 + 2, tl.where(some, tl.maximum(c0, 0), 0))
    tl.store(found + k * 4 + 3, tl.where(some, tl.minimum(c1, width), 0))


@triton.jit
def _value(plane, h, w, row, column, down, over, mask):
    """The resized logit at output places: across first, then down, as torch does it."""
    y = tl.maximum(down * (row.to(tl.float32) + 0.5) - 0.5, 0.0)
    x = tl.maximum(over * (column.to(tl.float32) + 0.5) - 0.5, 0.0)
    y0 = tl.minimum(y.to(tl.int32), h - 1)
    x0 = tl.minimum(x.to(tl.int32), w - 1)
    y1 = tl.minimum(y0 + 1, h - 1)
    x1 = tl.minimum(x0 + 1, w - 1)
    wy = y - y0.to(tl.float32)
    wx = x - x0.to(tl.float32)
    a = tl.load(plane + y0 * w + x0, mask=mask, other=-1.0)
    b = tl.load(plane + y0 * w + x1, mask=mask, other=-1.0)
    c = tl.load(plane + y1 * w + x0, mask=mask, other=-1.0)
    d = tl.load(plane + y1 * w + x1, mask=mask, other=-1.0)
    upper = a * (1 - wx) + b * wx
    lower = c * (1 - wx) + d * wx
    return upper * (1 - wy) + lower * wy


@triton.jit
def _joins(plane, h, w, height, width, down, over, column, r0, r1, c0, c1):
    """Whether a run comes in over each column's head from the left, and goes on over its foot to the right."""
    whole = (r0 == 0) & (r1 == height)
    zero = column * 0
    left = (column > c0) & (column < c1) & whole
    right = (column >= c0) & (column + 1 < c1) & whole
    comes = (_value(plane, h, w, zero + (height - 1), column - 1, down, over, left) > 0) & left
    goes = (_value(plane, h, w, zero, column + 1, down, over, right) > 0) & right
    return comes, goes


@triton.jit
def _changes(plane, h, w, height, down, over, r, c, r0, r1, c0, c1, comes, goes):
    """int32 flags: where the mask differs from the row above; a run that goes on over a foot is one run."""
    here = (r < r1) & (c >= c0) & (c < c1)
    inside = (_value(plane, h, w, r, c, down, over, here) > 0) & here
    above = (r > r0) & (r <= r1) & (c >= c0) & (c < c1)
    prior = (_value(plane, h, w, r - 1, c, down, over, above) > 0) & above
    change = (inside != prior) & (r <= r1)
    return (change & ~((r == 0) & comes[None, :]) & ~((r == height) & goes[None, :])).to(tl.int32)


# fmt: off
@_jit
def scan(logits, reach, counts, ends, places, room, h, w, height, width, down, over,
         WRITE: tl.constexpr, COLUMNS: tl.constexpr, ROWS: tl.constexpr):
    """Count the changes of every column of every mask, or, to WRITE, put their places where the counts say.

    `logits` (K, h, w) float32; `reach` (K, 4) of `extents`; `counts` (K * width) int32 changes in each column, written
    unless WRITE; `ends` (K * width) int64 their running sum, read with WRITE; `places` (room,) int64 column-major
    places in order, written with WRITE; `down` and `over` are h / height and w / width in float32. A program does
    COLUMNS of one mask, ROWS at a time.
    """
    k = tl.program_id(0)
    block = tl.program_id(1)
    r0 = tl.load(reach + k * 4)
    r1 = tl.load(reach + k * 4 + 1)
    c0 = tl.load(reach + k * 4 + 2)
    c1 = tl.load(reach + k * 4 + 3)
    if (block * COLUMNS < c1) & (block * COLUMNS + COLUMNS > c0):
        plane = logits + k.to(tl.int64) * h * w
        column = block * COLUMNS + tl.arange(0, COLUMNS)
        mine = (column >= c0) & (column < c1)
        slot = k.to(tl.int64) * width + column
        seen = tl.zeros((COLUMNS,), tl.int32)
        start = tl.zeros((COLUMNS,), tl.int64)
        if WRITE:
            start = tl.load(ends + slot, mask=mine, other=0) - tl.load(counts + slot, mask=mine, other=0)
        comes, goes = _joins(plane, h, w, height, width, down, over, column, r0, r1, c0, c1)
        for top in range(r0, r1 + 1, ROWS):
            r = tl.broadcast_to((top + tl.arange(0, ROWS))[:, None], (ROWS, COLUMNS))
            c = tl.broadcast_to(column[None, :], (ROWS, COLUMNS))
            flag = _changes(plane, h, w, height, down, over, r, c, r0, r1, c0, c1, comes, goes)
            if WRITE:
                at = start[None, :] + seen[None, :] + tl.cumsum(flag, axis=0) - 1
                tl.store(places + at, c.to(tl.int64) * height + r, mask=(flag > 0) & (at < room))
            seen += tl.sum(flag, axis=0)
        if not WRITE:
            tl.store(counts + slot, seen, mask=mine)
# fmt: on


@triton.jit
def _run(places, first, n, j, mask, size):
    """Length of run j of a mask whose n changes stand from `first` on; the last run reaches to the end."""
    stop = tl.load(places + first + j, mask=mask & (j < n), other=0)
    stop = tl.where(j < n, stop, size)
    begin = tl.load(places + first + j - 1, mask=mask & (j > 0), other=0)
    return stop - begin


@triton.jit
def _coded(places, first, n, j, mask, size):
    """Number that COCO writes for run j, and whether it writes any: each run less the one two before, from the 4th on.

    A mask that reaches the last pixel has no run after it.
    """
    length = _run(places, first, n, j, mask, size)
    earlier = _run(places, first, n, j - 2, mask & (j > 2), size)
    coded = tl.where(j > 2, length - earlier, length)
    return coded, mask & ~((j == n) & (length == 0) & (j > 0))


@triton.jit
def _more(rest, character):
    """Whether a run's code goes on after this character: the sign bit decides what "nothing left" is."""
    return tl.where((character & 16) != 0, rest != -1, rest != 0)


@_jit
def run_lengths(places, ends, sizes, room, width, size, BLOCK: tl.constexpr, GROUPS: tl.constexpr):
    """(room,) int32 characters of every run; run j of mask k stands at (its first change) + k + j.

    Args:
        places: of `scan`.
        ends: of `scan`; a mask's changes end at ends[k * width + width - 1].
        sizes: written; zero where no run is.
        room: of `places` and `sizes`.
        width: width of the output.
        size: height * width of the output.
        BLOCK, GROUPS: runs at a time, programs a mask.
    """
    k = tl.program_id(0).to(tl.int64)
    first = tl.load(ends + k * width - 1, mask=k > 0, other=0)
    n = tl.load(ends + k * width + width - 1) - first
    for start in range(tl.program_id(1) * BLOCK, n + 1, GROUPS * BLOCK):
        j = start + tl.arange(0, BLOCK).to(tl.int64)
        at = first + k + j
        mask = (j <= n) & (at < room)
        x, written = _coded(places, first, n, j, mask, size)
        length = tl.zeros((BLOCK,), tl.int32)
        more = written
        for _ in tl.static_range(7):
            length += more.to(tl.int32)
            character = x & 31
            x = x >> 5
            more = more & _more(x, character)
        tl.store(sizes + at, length, mask=mask)


@_jit
def characters(places, ends, stops, text, room, chars, width, size, BLOCK: tl.constexpr, GROUPS: tl.constexpr):
    """Write the characters of every run where the running sum `stops` of their numbers says.

    Args:
        places: of `scan`.
        ends: of `scan`.
        stops: (room,) int64 running sum of `run_lengths`.
        text: (chars,) uint8, written, never beyond `chars`.
        room: of `places` and `stops`.
        chars: of `text`.
        width: width of the output.
        size: height * width of the output.
        BLOCK, GROUPS: runs at a time, programs a mask.
    """
    k = tl.program_id(0).to(tl.int64)
    first = tl.load(ends + k * width - 1, mask=k > 0, other=0)
    n = tl.load(ends + k * width + width - 1) - first
    for start in range(tl.program_id(1) * BLOCK, n + 1, GROUPS * BLOCK):
        j = start + tl.arange(0, BLOCK).to(tl.int64)
        at = first + k + j
        mask = (j <= n) & (at < room)
        x, more = _coded(places, first, n, j, mask, size)
        to = tl.load(stops + at - 1, mask=mask & (at > 0), other=0)
        for _ in tl.static_range(7):
            character = x & 31
            x = x >> 5
            goes_on = _more(x, character)
            coded = (character | tl.where(goes_on, 32, 0)) + 48
            tl.store(text + to, coded.to(tl.uint8), mask=more & (to < chars))
            to += 1
            more = more & goes_on
