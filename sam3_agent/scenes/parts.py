"""A part of a silhouette: one polygon in a unit box, with the role that says how it is painted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal["body", "detail", "dark", "light", "hole"]
"""body: the object's color and pattern; detail: a shade of that color; dark, light: fixed; hole: cut out of what is
below it in the mask."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One filled polygon; later parts lie on top of earlier ones.

    `points` is (N, 2) xy in a box from about -0.5 to 0.5, x to the right and y down.
    """

    role: Role
    points: NDArray[np.float64]


def polygon(role: Role, *points: tuple[float, float]) -> Part:
    """A polygon through `points`, xy in the unit box."""
    return Part(role, np.array(points, dtype=np.float64))


def box(role: Role, x0: float, y0: float, x1: float, y1: float) -> Part:
    """An axis-aligned rectangle, xyxy in the unit box."""
    return polygon(role, (x0, y0), (x1, y0), (x1, y1), (x0, y1))


def arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float, count: int = 24) -> NDArray[np.float64]:
    """(count, 2) xy points on an ellipse from angle `start` to `end`, degrees clockwise from the right."""
    angle: NDArray[np.float64] = np.linspace(math.radians(start), math.radians(end), count)
    return np.stack((cx + rx * np.cos(angle), cy + ry * np.sin(angle)), axis=1)


def ellipse(role: Role, cx: float, cy: float, rx: float, ry: float | None = None) -> Part:
    """An ellipse with center (cx, cy) and radii rx, ry (a circle without ry), in the unit box."""
    return Part(role, arc(cx, cy, rx, rx if ry is None else ry, 0.0, 351.0, 40))


def curve(role: Role, *pieces: NDArray[np.float64]) -> Part:
    """A polygon through the points of `pieces`, each (N, 2), one after another."""
    return Part(role, np.concatenate(pieces))
