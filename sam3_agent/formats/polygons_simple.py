"""Masks as polygons without holes."""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Polygon = Sequence[tuple[float, float]]
"""(x, y) pixels in order; closed by itself."""

_Ring = NDArray[np.int32]
"""(N, 2) x, y."""


def polygons_of(mask: NDArray[np.bool_]) -> list[Polygon]:
    """Give one polygon per connected part (8-connected) of a (H, W) mask, whose outline and fill are exactly that part.

    Formats of simple polygons cannot say "hole", so each hole is cut open: the outline walks over a bridge to the hole,
    around it, and back over the same bridge. Bridges run straight left from a hole and so stay in the part.
    """
    contours, hierarchy = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return []
    rings = [np.asarray(contour, dtype=np.int32).reshape(-1, 2) for contour in contours]
    # (N, 4): next, previous, first child, parent; a parent of -1 marks an outer contour.
    parents = [int(row[3]) for row in np.asarray(hierarchy).reshape(-1, 4)]
    polygons: list[Polygon] = []
    for number, parent in enumerate(parents):
        if parent == -1:
            holes = [rings[child] for child, mother in enumerate(parents) if mother == number]
            polygons.append([(int(x), int(y)) for x, y in _cut_open(rings[number], holes)])
    return polygons


def _cut_open(outline: _Ring, holes: Sequence[_Ring]) -> _Ring:
    """Give the outline with every hole spliced in.

    Whatever lies left of a hole's leftmost pixel, outline or another hole, reaches further left than that hole does;
    so taken from left to right, each hole finds its left neighbor in the walk already.
    """
    if not holes:
        return outline
    walk = _every_pixel(outline)
    on_walk = np.zeros((int(walk[:, 1].max()) + 1, int(walk[:, 0].max()) + 1), dtype=bool)  # (H, W)
    on_walk[walk[:, 1], walk[:, 0]] = True
    for hole in sorted((_every_pixel(hole) for hole in holes), key=lambda ring: int(ring[:, 0].min())):
        landing = int(hole[:, 0].argmin())
        x, y = hole[landing].tolist()
        pier = (int(np.flatnonzero(on_walk[y, : x + 1])[-1]), y)
        at = int((walk == pier).all(axis=1).argmax())
        around = np.concatenate([hole[landing:], hole[: landing + 1]])  # from the landing to the landing
        walk = np.concatenate([walk[: at + 1], around, walk[at:]])
        on_walk[hole[:, 1], hole[:, 0]] = True
    return _corners(walk)


def _every_pixel(ring: _Ring) -> _Ring:
    """Give the ring with the pixels between its corners filled in: bridges may start anywhere on it."""
    closed = np.concatenate([ring, ring[:1]])
    parts = [ring[:1]]
    for a, b in pairwise(closed):
        steps = int(np.abs(b - a).max())
        if steps:
            along = np.arange(1, steps + 1)[:, None]  # (steps, 1)
            parts.append((a + (b - a) // steps * along).astype(np.int32))
    filled = np.concatenate(parts)
    return filled[:-1] if len(filled) > 1 else filled


def _corners(ring: _Ring) -> _Ring:
    """Give the ring without points in the middle of a straight run; turning points of a bridge stay."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    straight = (before == after).all(axis=1)
    return ring[~straight] if not straight.all() else ring
