"""Outlines that hide no color of the object: a black and a white line just outside of it."""

import numpy as np
from numpy.typing import NDArray

from sam3_agent.render.view import Patch

MARGIN = 4
"""Picture pixels around a mask that an outline may use."""
_DASH = 9


def draw_outline(canvas: NDArray[np.uint8], patch: Patch, *, dashed: bool = False, thin: bool = False) -> None:
    """Draw around a patch into an (H, W, 3) canvas: black next to the object, then white, then a thin black.

    A thin outline is one pixel of black and one of white.
    """
    inner = grow(patch.mask)
    middle = grow(inner) if thin else grow(grow(inner))
    outer = middle if thin else grow(middle)
    for ring, level in ((outer & ~middle, 0), (middle & ~inner, 255), (inner & ~patch.mask, 0)):
        line = ring & _dashes(outer & ~patch.mask) if dashed else ring
        rows, columns = np.nonzero(line)
        rows, columns = rows + patch.top, columns + patch.left
        height, width = canvas.shape[:2]
        seen = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        canvas[rows[seen], columns[seen]] = level


def grow(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and every pixel that touches it by a side."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def _dashes(ring: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Every other dash of a ring, counted by the angle about its middle so that dashes are equally long."""
    rows, columns = np.nonzero(ring)
    angle = np.arctan2(rows - ring.shape[0] / 2, columns - ring.shape[1] / 2)
    place = np.empty(len(rows), dtype=np.intp)
    place[np.argsort(angle, kind="stable")] = np.arange(len(rows))
    dashes = max(4, round(len(rows) / (2 * MARGIN * _DASH)))
    on = (place * 2 * dashes // max(len(rows), 1)) % 2 == 0
    result = np.zeros_like(ring)
    result[rows[on], columns[on]] = True
    return result
