"""Placement of a scene's objects, as boxes, before anything is painted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent.scenes.shapes import RING_HOLE
from sam3_agent.scenes.silhouettes import Silhouette

CANDIDATES = 48
SHRINKS = (1.0, 0.86, 0.74)
OVERLAPPING = 0.2
CUT_BY_BORDER = 0.07
INSIDE_RING = 0.6
TIGHTEST = 0.9
"""The least share of the room in a ring that an object inside takes."""
BIG_RING = 0.5
ROOM_FOR_BIG_RING = 12
"""The most objects among which a ring may be drawn large enough to hold another."""
SHORTEST_EXTENT = 27.0
"""The least shorter side of an object's bounds in pixels: some more than 24, since sharp tips fade."""
LEAST_SHARE = 0.125
"""The least longer side of an object, as a fraction of the image's shorter side."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Object `index` with its longer side `size` pixels, its bounds' center at (x, y) and their `width`, `height`."""

    index: int
    x: float
    y: float
    size: float
    width: float
    height: float


@dataclass(slots=True)
class Layout:
    """The placements so far in an image of `width` x `height` pixels; grows as objects are placed."""

    width: int
    height: int
    placed: list[Placement]

    def overlaps(self, centers: NDArray[np.float64], width: float, height: float, but: int = -1) -> NDArray[np.float64]:
        """(N,) how far bounds at `centers` (N, 2) reach into placed ones, but number `but`: 0 = not at all."""
        others = [p for number, p in enumerate(self.placed) if number != but]
        if not others:
            return np.zeros(len(centers))
        table = np.array([(p.x, p.y, p.width, p.height) for p in others])
        depth_x = (table[:, 2] + width) * 0.48 - np.abs(centers[:, :1] - table[:, 0])
        depth_y = (table[:, 3] + height) * 0.48 - np.abs(centers[:, 1:] - table[:, 1])
        depth = np.minimum(depth_x, depth_y).clip(0.0)  # (N, placed)
        return depth.max(axis=1)


def place_objects(
    nouns: Sequence[str], silhouettes: Sequence[Silhouette], layout: Layout, least: int, rng: np.random.Generator
) -> None:
    """Fill `layout` with one placement an object, the larger first; skips what does not fit beyond `least` objects."""
    sizes = draw_sizes(silhouettes, layout.width, layout.height, rng)
    if len(nouns) <= ROOM_FOR_BIG_RING:
        for index in (number for number, noun in enumerate(nouns) if noun == "ring" and rng.random() < BIG_RING):
            sizes[index] = max(sizes[index], min(layout.width, layout.height) * rng.uniform(0.38, 0.52))
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        silhouette, size = silhouettes[index], float(sizes[index])
        place = _inside_ring(index, nouns, silhouette, layout, rng)
        place = place or _special(index, silhouette, size, layout, rng)
        place = place or _free(index, silhouette, size, layout, len(layout.placed) < least, rng)
        if place is not None:
            layout.placed.append(place)


def draw_sizes(
    silhouettes: Sequence[Silhouette], width: int, height: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(N,) longer sides in pixels: large when the objects are few, and never too small to be recognized."""
    count, short, mean = len(silhouettes), min(width, height), math.sqrt(width * height)
    low = min(0.3, max(0.12, 0.5 / math.sqrt(count)))
    high = min(0.55, max(low + 0.05, 0.86 / math.sqrt(count)))
    sizes = (low + (high - low) * rng.random(count) ** 1.4) * mean
    floors = np.array([least_size(silhouette, width, height) for silhouette in silhouettes])
    return np.maximum(np.minimum(sizes, 0.6 * short), floors)


def least_size(silhouette: Silhouette, width: int, height: int) -> float:
    """The least longer side, in pixels, at which `silhouette` may be drawn."""
    return max(SHORTEST_EXTENT / min(silhouette.extent), LEAST_SHARE * min(width, height))


def _at(index: int, x: float, y: float, size: float, silhouette: Silhouette) -> Placement:
    """A placement with the bounds of `silhouette` at `size`."""
    return Placement(index, x, y, size, size * silhouette.extent[0], size * silhouette.extent[1])


def _inside_ring(
    index: int, nouns: Sequence[str], silhouette: Silhouette, layout: Layout, rng: np.random.Generator
) -> Placement | None:
    """Sometimes: a place in the hole of a ring that is large enough and still empty."""
    diagonal = math.hypot(*silhouette.extent)
    for ring in layout.placed:
        room = RING_HOLE * min(ring.width, ring.height) * 0.95 / diagonal
        floor = max(SHORTEST_EXTENT / min(silhouette.extent), 0.11 * min(layout.width, layout.height)) / TIGHTEST
        if nouns[ring.index] != "ring" or room < floor or rng.random() > INSIDE_RING:
            continue
        place = _at(index, ring.x, ring.y, room * rng.uniform(TIGHTEST, 1.0), silhouette)
        empty = all(
            other is ring or math.hypot(other.x - ring.x, other.y - ring.y) > other.size for other in layout.placed
        )
        if empty:
            return place
    return None


def _special(
    index: int, silhouette: Silhouette, size: float, layout: Layout, rng: np.random.Generator
) -> Placement | None:
    """Sometimes: a place that is cut by the border or overlaps one other object."""
    kind = rng.random()
    if kind < CUT_BY_BORDER:
        return _over_border(index, silhouette, size, layout, rng)
    if kind < CUT_BY_BORDER + OVERLAPPING and layout.placed:
        partner = int(rng.integers(len(layout.placed)))
        other = layout.placed[partner]
        angle = rng.uniform(0.0, 2.0 * math.pi, size=8)
        reach = (size + other.size) * 0.5 * rng.uniform(0.55, 0.85, size=8)
        centers = np.stack((other.x + reach * np.cos(angle), other.y + reach * np.sin(angle)), axis=1)
        place = _at(index, 0.0, 0.0, size, silhouette)
        half = np.array((place.width, place.height)) / 2.0
        fits = ((centers >= half) & (centers <= np.array((layout.width, layout.height)) - half)).all(axis=1)
        fits &= layout.overlaps(centers, place.width, place.height, partner) == 0.0
        if fits.any():
            x, y = centers[int(fits.argmax())].tolist()
            return _at(index, x, y, size, silhouette)
    return None


def _over_border(
    index: int, silhouette: Silhouette, size: float, layout: Layout, rng: np.random.Generator
) -> Placement | None:
    """A place of which 10-30 % of the width or height lies outside the image, touching no other object."""
    place = _at(index, 0.0, 0.0, size, silhouette)
    out = rng.uniform(0.2, 0.38, size=8)
    along = rng.uniform(0.2, 0.8, size=8)
    side = rng.integers(4, size=8)
    near_x, near_y = place.width * (0.5 - out), place.height * (0.5 - out)
    x = np.where(side == 0, near_x, np.where(side == 1, layout.width - near_x, along * layout.width))
    y = np.where(side == 2, near_y, np.where(side == 3, layout.height - near_y, along * layout.height))
    centers = np.stack((x, y), axis=1)
    fits = layout.overlaps(centers, place.width, place.height) == 0.0
    if not fits.any():
        return None
    chosen_x, chosen_y = centers[int(fits.argmax())].tolist()
    return _at(index, chosen_x, chosen_y, size, silhouette)


def _free(
    index: int, silhouette: Silhouette, size: float, layout: Layout, must: bool, rng: np.random.Generator
) -> Placement | None:
    """A place that touches no other object, smaller if need be; with `must`, the least overlapping one."""
    floor = least_size(silhouette, layout.width, layout.height)
    for shrink in SHRINKS:
        place = _at(index, 0.0, 0.0, max(floor, size * shrink), silhouette)
        low = np.array((place.width, place.height)) / 2.0
        centers = low + rng.random((CANDIDATES, 2)) * np.maximum((layout.width, layout.height) - 2.0 * low, 0.0)
        overlap = layout.overlaps(centers, place.width, place.height)
        best = int(overlap.argmin())
        if overlap[best] == 0.0 or (must and shrink == SHRINKS[-1]):
            x, y = centers[best].tolist()
            return _at(index, x, y, place.size, silhouette)
    return None
