"""A picture -> overlapping tiles."""

import math

from sam3_agent.masks import Window


def grid(picture: Window, side: int, overlap: int, part: Window | None = None) -> list[Window]:
    """Tiles of one size that cover the picture, row by row; neighbours share at least `overlap` pixels.

    A tile is `side` pixels wide and high, or as much of it as the picture has. With `part`, only the tiles of the same
    grid that are needed there: what has its centre in the part and is no larger than `overlap` is whole in one of them.
    """
    x0, y0, x1, y1 = picture
    left, top, right, bottom = part or picture
    width, height = min(side, x1 - x0), min(side, y1 - y0)
    rows = _starts(y0, y1, height, overlap, (top, bottom))
    columns = _starts(x0, x1, width, overlap, (left, right))
    return [(x, y, x + width, y + height) for y in rows for x in columns]


def _starts(start: int, stop: int, side: int, overlap: int, part: tuple[int, int]) -> list[int]:
    """Where tiles begin, spread evenly; of them, those whose middle (all but half an overlap a side) meets the part."""
    free = stop - start - side
    if free <= 0:
        return [start]
    steps = math.ceil(free / (side - overlap))
    starts = [start + free * step // steps for step in range(steps + 1)]
    half = overlap / 2
    return [
        s for s in starts if (s == starts[-1] or s + side - half > part[0]) and (s == starts[0] or s + half < part[1])
    ]
