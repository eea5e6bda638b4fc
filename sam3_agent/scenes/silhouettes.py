"""The silhouette of any noun: its parts, turned, mirrored and stretched a little."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sam3_agent.scenes.everyday_shapes import THING_DRAWERS
from sam3_agent.scenes.parts import Part
from sam3_agent.scenes.shapes import SHAPE_DRAWERS
from sam3_agent.scenes.unnamed_shapes import is_unnamed, unnamed_parts, unnamed_turns

FULL_TURN = 180.0
JITTER_TURN = 15.0
TURNS: dict[str, float] = {
    "circle": FULL_TURN,
    "ring": FULL_TURN,
    "star": FULL_TURN,
    "key": FULL_TURN,
    "arrow": FULL_TURN,
    "heart": 25.0,
    "square": 9.0,
    "diamond": 9.0,
    "cross": 12.0,
    "triangle": 12.0,
    "house": 10.0,
}
"""Noun -> the largest turn either way, degrees; other nouns turn by up to JITTER_TURN."""


@dataclass(frozen=True, slots=True, eq=False)
class Silhouette:
    """The parts of one object, scaled so that the longer side of their bounds is 1 and centerd on (0, 0).

    `extent` is (width, height) of the bounds, the larger of them 1. Holes never reach past the bodies around them.
    """

    parts: tuple[Part, ...]
    extent: tuple[float, float]


@cache
def _template(noun: str, variant: int) -> tuple[Part, ...]:
    """The upright parts of `noun`; raises ValueError for a noun that has no drawing."""
    if noun in SHAPE_DRAWERS:
        return SHAPE_DRAWERS[noun]()
    if noun in THING_DRAWERS:
        return THING_DRAWERS[noun](variant)
    if is_unnamed(noun):
        return unnamed_parts(noun, variant)
    raise ValueError(f"expected a noun of the vocabulary, got {noun!r}")


def draw_silhouette(noun: str, rng: np.random.Generator) -> Silhouette:
    """One random silhouette of `noun`."""
    template = _template(noun, int(rng.integers(2)))
    limit = FULL_TURN if is_unnamed(noun) and unnamed_turns(noun) else TURNS.get(noun, JITTER_TURN)
    turn = math.radians(rng.uniform(-limit, limit))
    stretch = rng.uniform(0.93, 1.08)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = math.cos(turn), math.sin(turn)
    matrix: NDArray[np.float64] = np.array([[mirror * stretch * cos, mirror * stretch * sin], [-sin, cos]])
    points = np.concatenate([part.points for part in template]) @ matrix  # (N, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = 1.0 / float((high - low).max())
    points = (points - (low + high) / 2.0) * scale
    parts: list[Part] = []
    start = 0
    for part in template:
        end = start + len(part.points)
        parts.append(Part(part.role, points[start:end]))
        start = end
    width, height = (high - low) * scale
    return Silhouette(tuple(parts), (float(width), float(height)))
