"""The twelve plain shapes, as parts in the unit box."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sam3_agent.scenes.parts import Part, arc, box, curve, ellipse, polygon


def circle() -> tuple[Part, ...]:
    """A disc."""
    return (ellipse("body", 0.0, 0.0, 0.5),)


def square() -> tuple[Part, ...]:
    """A square that stands on a side."""
    return (box("body", -0.46, -0.46, 0.46, 0.46),)


def triangle() -> tuple[Part, ...]:
    """A triangle that points up."""
    return (polygon("body", (0.0, -0.5), (0.54, 0.44), (-0.54, 0.44)),)


def star() -> tuple[Part, ...]:
    """A five-pointed star with thin points."""
    angle = np.radians(-90.0 + 36.0 * np.arange(10))
    radius = np.where(np.arange(10) % 2 == 0, 0.54, 0.215)
    return (Part("body", np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)),)


def ring() -> tuple[Part, ...]:
    """An annulus whose hole shows what lies behind."""
    return (ellipse("body", 0.0, 0.0, 0.5), ellipse("hole", 0.0, 0.0, RING_HOLE / 2))


def cross() -> tuple[Part, ...]:
    """A plus sign with arms of one length."""
    return (box("body", -0.5, -0.17, 0.5, 0.17), box("body", -0.17, -0.5, 0.17, 0.5))


def heart() -> tuple[Part, ...]:
    """A heart with a deep notch."""
    t = np.linspace(0.0, 2.0 * np.pi, 48, endpoint=False)
    x = 16.0 * np.sin(t) ** 3
    y = -(13.0 * np.cos(t) - 5.0 * np.cos(2 * t) - 2.0 * np.cos(3 * t) - np.cos(4 * t))
    return (Part("body", np.stack((x / 32.0, (y - 2.5) / 30.0), axis=1)),)


def diamond() -> tuple[Part, ...]:
    """A tall rhombus that stands on a point."""
    return (polygon("body", (0.0, -0.54), (0.36, 0.0), (0.0, 0.54), (-0.36, 0.0)),)


def crescent() -> tuple[Part, ...]:
    """A strongly curved moon, open to the right."""
    outer = arc(0.08, 0.0, 0.5, 0.5, 50.0, 310.0, 36)
    inner = arc(0.26, 0.0, 0.38, 0.385, 275.0, 85.0, 28)
    return (curve("body", outer, inner),)


def arrow() -> tuple[Part, ...]:
    """An arrow that points right, with a broad head."""
    return (
        polygon(
            "body",
            (-0.52, -0.13),
            (0.04, -0.13),
            (0.04, -0.38),
            (0.54, 0.0),
            (0.04, 0.38),
            (0.04, 0.13),
            (-0.52, 0.13),
        ),
    )


def bolt() -> tuple[Part, ...]:
    """A flash of lightning."""
    return (
        polygon(
            "body",
            (0.02, -0.54),
            (0.36, -0.54),
            (0.14, -0.14),
            (0.38, -0.14),
            (-0.26, 0.54),
            (-0.06, 0.04),
            (-0.34, 0.04),
        ),
    )


def drop() -> tuple[Part, ...]:
    """A drop of water, pointed at the top."""
    bottom = arc(0.0, 0.2, 0.33, 0.33, -25.0, 205.0, 32)
    left = np.array([(-0.16, -0.17), (-0.05, -0.38), (0.0, -0.56)])
    return (curve("body", bottom, left, left[-2::-1] * (-1.0, 1.0)),)


RING_HOLE = 0.56
"""Diameter of the hole of a ring, as a fraction of the ring's."""

SHAPE_DRAWERS: dict[str, Callable[[], tuple[Part, ...]]] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "star": star,
    "ring": ring,
    "cross": cross,
    "heart": heart,
    "diamond": diamond,
    "crescent": crescent,
    "arrow": arrow,
    "bolt": bolt,
    "drop": drop,
}
