"""A window -> overlapping tiles."""

import math

from sam3_agent.masks import Window


def grid(window: Window, side: int, overlap: int) -> list[Window]:
    """Tiles of one size that cover the window, row by row; neighbours share at least `overlap` pixels.

    A tile is `side` pixels wide and high, or as much of it as the window has.
    """
    x0, y0, x1, y1 = window
    width, height = min(side, x1 - x0), min(side, y1 - y0)
    rows, columns = _starts(y0, y1, height, overlap), _starts(x0, x1, width, overlap)
    return [(x, y, x + width, y + height) for y in rows for x in columns]


def _starts(start: int, stop: int, side: int, overlap: int) -> list[int]:
    """Where tiles begin, spread evenly."""
    free = stop - start - side
    if free <= 0:
        return [start]
    steps = math.ceil(free / (side - overlap))
    return [start + free * step // steps for step in range(steps + 1)]
