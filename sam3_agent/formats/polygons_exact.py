"""Masks as polygons along the edges of pixels, with parts and holes kept.

Corners lie on the pixel grid, moved INSET into the object. So readers that fill by area (pycocotools) and readers that
cut coordinates to whole pixels and paint the border too (OpenCV, Pillow) all get exactly the mask back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

INSET = 0.05
"""Pixels; pycocotools rounds to fifths of a pixel, others cut fractions off."""

BRIDGE = 0.25
"""Place of a bridge within its row: neither cutting nor rounding takes it out of its row."""

Ring = NDArray[np.float64]
"""(N, 2) x, y; closed by itself; each side is horizontal or vertical, and the object lies right of it."""
_Key = tuple[int, int, int]
"""x, y and direction: 0 right, 1 down, 2 left, 3 up."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One 4-connected part of a mask."""

    outer: Ring
    holes: tuple[Ring, ...]

    @property
    def ring(self) -> Ring:
        """The outline with every hole cut open by a bridge of no width, for formats that have no holes."""
        return _bridged(self.outer, self.holes)


def parts_of(mask: NDArray[np.bool_]) -> list[Part]:
    """Give the parts of a (H, W) mask, the largest first."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return []
    corner = np.array([columns[0], rows[0]], dtype=np.float64)
    crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    _, numbers = cv2.connectedComponents(crop.astype(np.uint8), connectivity=4)
    outers: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for ring, pixel in _rings(crop):
        number = int(np.asarray(numbers)[pixel])
        moved = ring + corner
        if signed_area(ring) > 0:
            outers[number] = moved
        else:
            holes.setdefault(number, []).append(moved)
    parts = [Part(outer, tuple(holes.get(number, ()))) for number, outer in outers.items()]
    return sorted(parts, key=lambda part: -signed_area(part.outer))


def inset(ring: Ring, far: float = INSET) -> Ring:
    """Give the ring, moved INSET into the object; bridges, which run inside a row, keep their row.

    Sides at the right and at the bottom are moved `far`: with more than a half, rounding their coordinates gives the
    last pixel inside as cutting them does.
    """
    onward, back = np.roll(ring, -1, axis=0) - ring, ring - np.roll(ring, 1, axis=0)
    along = np.sign(np.where(onward != 0, onward, back))  # (N, 2): which way the sides at each corner run
    on_grid = ring[:, 1] % 1 == 0
    inward = np.stack([-along[:, 1], along[:, 0] * on_grid], axis=1)  # (N, 2): -1 at the right and at the bottom
    return ring + inward * np.where(inward < 0, far, INSET)


def joined(parts: Sequence[Part], far: float = INSET) -> Ring:
    """Give all parts as one ring, inset: each is tied to the nearest one before by a line of no width."""
    return tied([inset(part.ring, far) for part in parts])


def tied(rings: Sequence[Ring]) -> Ring:
    """Give rings as one: each is tied to the nearest one before by a line of no width."""
    walk = rings[0]
    for ring in rings[1:]:
        apart = ((walk[:, None] - ring[None]) ** 2).sum(axis=2)  # (walk, ring)
        at, to = (int(v) for v in np.unravel_index(int(apart.argmin()), apart.shape))
        walk = np.concatenate([walk[: at + 1], ring[to:], ring[: to + 1], walk[at:]])
    return walk


def signed_area(ring: Ring) -> float:
    """Positive for an outline, negative for a hole."""
    x, y = ring[:, 0], ring[:, 1]
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _rings(crop: NDArray[np.bool_]) -> list[tuple[Ring, tuple[int, int]]]:
    """List every closed line of sides, with the (row, column) of a pixel of the object beside it."""
    sides = _sides(crop)
    rings: list[tuple[Ring, tuple[int, int]]] = []
    while sides:
        key = next(iter(sides))
        corners: list[tuple[int, int]] = []
        pixel = (0, 0)
        while key in sides:
            x, y, way = key
            end = sides.pop(key)
            corners.append((x, y))
            if way == 0:
                pixel = (y, x)
            elif way == 2:
                pixel = (y - 1, x - 1)
            tight = (*end, (way + 1) % 4)  # where two parts meet in a corner, each keeps to itself
            key = tight if tight in sides else (*end, (way + 3) % 4)
        rings.append((np.array(corners, dtype=np.float64), pixel))
    return rings


def _sides(crop: NDArray[np.bool_]) -> dict[_Key, tuple[int, int]]:
    """List every straight side between inside and outside, by where it begins -> where it ends."""
    wide = np.pad(crop, 1)
    inside, above, before = wide[1:, 1:], wide[:-1, 1:], wide[1:, :-1]
    sides: dict[_Key, tuple[int, int]] = {}
    for y, x0, x1 in _runs(inside & ~above):
        sides[(x0, y, 0)] = (x1, y)
    for y, x0, x1 in _runs(above & ~inside):
        sides[(x1, y, 2)] = (x0, y)
    for x, y0, y1 in _runs((before & ~inside).T):
        sides[(x, y0, 1)] = (x, y1)
    for x, y0, y1 in _runs((inside & ~before).T):
        sides[(x, y1, 3)] = (x, y0)
    return sides


def _runs(lines: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Give (line, start, stop) of every run of True along the lines."""
    change = np.diff(np.pad(lines, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    line, start = np.nonzero(change == 1)
    _, stop = np.nonzero(change == -1)
    return list(zip(line.tolist(), start.tolist(), stop.tolist(), strict=True))


def _bridged(outer: Ring, holes: Sequence[Ring]) -> Ring:
    """Give the outline with every hole spliced in, from left to right, each tied to what lies left of it."""
    walk = outer
    for hole in sorted(holes, key=lambda ring: float(ring[:, 0].min())):
        at = int(np.lexsort((hole[:, 1], hole[:, 0]))[0])  # the upper end of the hole's leftmost side
        x, y = float(hole[at, 0]), float(hole[at, 1]) + BRIDGE
        ends = np.roll(walk, -1, axis=0)
        low, high = np.minimum(walk[:, 1], ends[:, 1]), np.maximum(walk[:, 1], ends[:, 1])
        left = (walk[:, 0] == ends[:, 0]) & (low < y) & (y < high) & (walk[:, 0] < x)
        side = int(np.where(left, walk[:, 0], -np.inf).argmax())
        pier, landing = np.array([[walk[side, 0], y]]), np.array([[x, y]])
        down = hole[(at + 1) % len(hole), 0] == x  # whether the ring leaves that corner along the leftmost side
        start = at + 1 if down else at
        around = np.roll(hole, -start, axis=0)
        walk = np.concatenate([walk[: side + 1], pier, landing, around, landing, pier, walk[side + 1 :]])
    return walk
