"""Shapes without a name: silhouettes that no word of the vocabulary means, for training on examples alone.

A model that is shown examples of 24 nouns only reads an example as one of those nouns; what it has never seen, it takes
for the most alike. Unnamed shapes are of endless kinds, so that an example has to be compared. No family draws a cog
wheel (lobes are round and at most six) or an hourglass (outlines have no waist, and nothing has two plates): benchmarks
teach these two as new.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sam3_agent.scenes.parts import Part, box, ellipse, polygon
from sam3_agent.scenes.rng import pick

Points = NDArray[np.float64]
"""(N, 2) xy"""
PREFIX = "unnamed-"
KINDS = 1 << 31
TURNING = 0.5
"""Share of the kinds that lie at any angle."""
SLIMMEST = 0.38
"""Least shorter side of a shape, relative to its longer one."""
WARP = 0.06
"""Distance by which the points of the second drawing of a kind are bent, relative to the shape."""
TRIES = 20


def unnamed_noun(kind: int) -> str:
    """Name, which no phrase uses, of the kind of a number from 0 to KINDS - 1."""
    return f"{PREFIX}{kind}"


def is_unnamed(noun: str) -> bool:
    """Whether a noun is the name of an unnamed shape's kind."""
    return noun.startswith(PREFIX)


@cache
def unnamed_turns(noun: str) -> bool:
    """Whether shapes of that kind lie at any angle."""
    return _rng(noun, 1).random() < TURNING


@cache
def unnamed_parts(noun: str, variant: int) -> tuple[Part, ...]:
    """Parts of an unnamed shape in the unit box; the drawings 0 and 1 of a kind differ by a slight bend."""
    rng = _rng(noun, 0)
    parts: tuple[Part, ...] = ()
    for _ in range(TRIES):
        parts = _unit(pick(_FAMILIES, rng)(rng))
        if _extent(parts).min() >= SLIMMEST:
            break
    return _bent(parts, _rng(noun, 2)) if variant else parts


def _rng(noun: str, purpose: int) -> np.random.Generator:
    return np.random.default_rng([int(noun.removeprefix(PREFIX)), purpose])


def _blob(rng: np.random.Generator) -> tuple[Part, ...]:
    """A closed curve of a few random harmonics, with or without a hole."""
    waves = [(k, rng.uniform(0.0, 1.0) / k, rng.uniform(0, 2 * np.pi)) for k in range(2, 6)]
    angle = _angles(64)
    bumps = np.sum([height * np.cos(k * angle + shift) for k, height, shift in waves], axis=0)
    return _round(1 + bumps / np.abs(bumps).max() * rng.uniform(0.3, 0.65), angle, rng)


def _lobes(rng: np.random.Generator) -> tuple[Part, ...]:
    """Three, four or six equal lobes, round or pointed outward; five are a star."""
    count, depth, sharp = pick((3, 4, 6), rng), rng.uniform(0.25, 0.5), rng.uniform(0.6, 2.2)
    angle = _angles(96)
    wave = (0.5 + 0.5 * np.cos(count * angle)) ** sharp
    return _round(1 - depth + 2 * depth * wave, angle, rng)


def _round(radius: Points, angle: Points, rng: np.random.Generator) -> tuple[Part, ...]:
    body = Part("body", np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1))
    inside = float(radius.min())
    kind = rng.random()
    if kind < 0.3:
        return (body, ellipse("hole", 0.0, 0.0, inside * rng.uniform(0.4, 0.75)))
    if kind < 0.5:
        return (body, ellipse(pick(("dark", "light", "detail"), rng), 0.0, 0.0, inside * rng.uniform(0.35, 0.7)))
    return (body,)


def _corners(rng: np.random.Generator) -> tuple[Part, ...]:
    """A polygon of five to eight corners around its middle, one of them pushed in."""
    count = int(rng.integers(5, 9))
    angle = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * 2 * np.pi / count
    radius = rng.uniform(0.55, 1.0, count)
    radius[0] = rng.uniform(0.2, 0.4)
    return (Part("body", np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)),)


def _mirrored_outline(rng: np.random.Generator) -> tuple[Part, ...]:
    """An outline that is the same left and right, of three to six widths; nowhere a waist."""
    count = int(rng.integers(3, 7))
    y = np.linspace(-0.5, 0.5, count)
    width = rng.uniform(0.08, 0.5, count)
    for place in range(1, count - 1):
        width[place] = max(width[place], 0.75 * min(width[place - 1], width[place + 1]))
    right = np.stack((width, y), axis=1)
    parts = (Part("body", np.concatenate((right, right[::-1] * (-1.0, 1.0)))),)
    return (*parts, _spot(right[count // 2 - 1 : count // 2 + 1], rng)) if rng.random() < 0.3 else parts


def _spot(right: Points, rng: np.random.Generator) -> Part:
    x, y = right.mean(axis=0).tolist()
    return ellipse(pick(("dark", "light", "hole"), rng), 0.0, y, 0.5 * x)


def _strokes(rng: np.random.Generator) -> tuple[Part, ...]:
    """Thick strokes between three to five points of a grid, as of a letter that nobody writes."""
    points = rng.permutation(9)[: int(rng.integers(3, 6))]
    nodes = np.stack((points % 3 - 1.0, points // 3 - 1.0), axis=1) * 0.42
    thick = rng.uniform(0.09, 0.16)
    parts = [_stroke(a, b, thick) for a, b in itertools.pairwise(nodes)]
    return (*parts, *(ellipse("body", float(x), float(y), thick * rng.uniform(1.0, 1.5)) for x, y in nodes))


def _stroke(a: Points, b: Points, thick: float) -> Part:
    along = (b - a) / np.hypot(*(b - a))
    across = np.array((-along[1], along[0])) * thick
    return Part("body", np.stack((a + across, b + across, b - across, a - across)))


def _assembly(rng: np.random.Generator) -> tuple[Part, ...]:
    """Two to four boxes, discs and triangles that touch; half of them the same left and right."""
    parts = [_primitive(0.0, 0.0, rng)]
    for _ in range(int(rng.integers(1, 4))):
        low, high = parts[-1].points.min(axis=0), parts[-1].points.max(axis=0)
        angle = rng.uniform(0, 2 * np.pi)
        x, y = ((low + high) / 2 + (high - low) / 2 * (np.cos(angle), np.sin(angle))).tolist()
        parts.append(_primitive(x, y, rng))
    if rng.random() < 0.5:
        parts += [Part(part.role, part.points * (-1.0, 1.0)) for part in parts[1:]]
    if rng.random() < 0.4:
        low, high = parts[0].points.min(axis=0), parts[0].points.max(axis=0)
        x, y = ((low + high) / 2).tolist()
        parts.append(ellipse(pick(("dark", "light", "detail"), rng), x, y, float((high - low).min()) * 0.28))
    return tuple(parts)


def _primitive(x: float, y: float, rng: np.random.Generator) -> Part:
    wide, high = rng.uniform(0.12, 0.36, 2).tolist()
    role = "detail" if rng.random() < 0.2 else "body"
    kind = int(rng.integers(3))
    if kind == 0:
        return box(role, x - wide, y - high, x + wide, y + high)
    if kind == 1:
        return ellipse(role, x, y, wide, high)
    tip = -1.0 if rng.random() < 0.5 else 1.0
    return polygon(role, (x - wide, y - tip * high), (x + wide, y - tip * high), (x, y + tip * high))


_FAMILIES: tuple[Callable[[np.random.Generator], tuple[Part, ...]], ...] = (
    _blob,
    _lobes,
    _corners,
    _mirrored_outline,
    _strokes,
    _assembly,
)


def _angles(count: int) -> Points:
    return np.linspace(0.0, 2 * np.pi, count, endpoint=False)


def _bounds(parts: Sequence[Part]) -> tuple[Points, Points]:
    points = np.concatenate([part.points for part in parts])
    return points.min(axis=0), points.max(axis=0)


def _extent(parts: Sequence[Part]) -> Points:
    """(2,) width and height."""
    low, high = _bounds(parts)
    return high - low


def _unit(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts with the middle of their bounds at (0, 0) and a longer side of 1."""
    low, high = _bounds(parts)
    return tuple(Part(part.role, (part.points - (low + high) / 2) / (high - low).max()) for part in parts)


def _bent(parts: Sequence[Part], rng: np.random.Generator) -> tuple[Part, ...]:
    shift = rng.uniform(0, 2 * np.pi, 2)
    return tuple(
        Part(part.role, part.points + WARP * np.sin(2 * np.pi * part.points[:, ::-1] + shift)) for part in parts
    )
