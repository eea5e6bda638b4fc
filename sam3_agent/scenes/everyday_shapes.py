"""The twelve everyday things, as parts in the unit box; `variant` (0 or 1) picks one of two drawings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sam3_agent.scenes.parts import Part, arc, box, curve, ellipse, polygon


def house(variant: int) -> tuple[Part, ...]:
    """A wall, a wide pitched roof, a chimney, a door; a window or two."""
    roof = polygon("detail", (-0.56, -0.06), (0.0, -0.54), (0.56, -0.06))
    wall = (box("detail", 0.2, -0.52, 0.36, -0.12), box("body", -0.44, -0.1, 0.44, 0.5), roof)
    if variant == 0:
        return (*wall, box("dark", -0.12, 0.14, 0.12, 0.5))
    return (*wall, box("dark", -0.32, 0.12, -0.08, 0.5), box("light", 0.1, 0.1, 0.32, 0.3))


def tree(variant: int) -> tuple[Part, ...]:
    """A crown on a dark trunk: a cloud of leaves, or a fir of three tiers."""
    trunk = box("dark", -0.09, 0.1, 0.09, 0.54)
    if variant == 0:
        crown = ((-0.24, -0.02, 0.22), (0.24, -0.02, 0.22), (0.0, -0.26, 0.28), (0.0, 0.0, 0.24))
        return (*(ellipse("body", x, y, r) for x, y, r in crown), box("dark", -0.09, 0.2, 0.09, 0.54))
    tiers = ((-0.54, 0.2, -0.2), (-0.34, 0.3, 0.02), (-0.14, 0.42, 0.26))
    return (*(polygon("body", (0.0, top), (half, low), (-half, low)) for top, half, low in tiers), _below(trunk, 0.26))


def _below(part: Part, y: float) -> Part:
    """`part` with everything above `y` pushed down to it."""
    return Part(part.role, np.maximum(part.points, (-np.inf, y)))


def car(variant: int) -> tuple[Part, ...]:
    """A low body with a cabin, windows and two dark wheels; variant 1 has the cabin at the back."""
    shift = -0.1 * variant
    cabin = polygon("body", (-0.28 + shift, 0.0), (-0.18 + shift, -0.3), (0.18 + shift, -0.3), (0.32 + shift, 0.0))
    pane = polygon("light", (-0.2 + shift, -0.02), (-0.13 + shift, -0.21), (0.13, -0.21), (0.22 + shift, -0.02))
    low = polygon("body", (-0.54, 0.2), (-0.54, -0.02), (-0.46, -0.06), (0.46, -0.04), (0.54, 0.04), (0.54, 0.2))
    return (cabin, low, pane, ellipse("dark", -0.28, 0.2, 0.15), ellipse("dark", 0.28, 0.2, 0.15))


def boat(variant: int) -> tuple[Part, ...]:
    """A hull with a mast and one sail, or two."""
    hull = polygon("body", (-0.54, 0.18), (0.54, 0.18), (0.34, 0.5), (-0.34, 0.5))
    sail = polygon("body", (0.06, -0.5), (0.46, 0.08), (0.06, 0.08))
    mast = box("dark", -0.04, -0.54, 0.03, 0.2)
    if variant == 0:
        return (hull, sail, mast)
    return (hull, sail, polygon("body", (-0.07, -0.34), (-0.07, 0.08), (-0.36, 0.08)), mast)


def fish(variant: int) -> tuple[Part, ...]:
    """An oval that looks right, with a forked tail, fins and a model."""
    body = ellipse("body", 0.1, 0.0, 0.42, 0.27 + 0.05 * variant)
    tail = polygon("body", (-0.2, 0.0), (-0.54, -0.34), (-0.42, 0.0), (-0.54, 0.34))
    fin = polygon("detail", (-0.1, -0.22), (0.06, -0.42), (0.22, -0.22))
    side = polygon("detail", (0.08, 0.02), (-0.14, -0.1), (-0.14, 0.16))
    return (body, tail, fin, side, ellipse("light", 0.33, -0.06, 0.085), ellipse("dark", 0.35, -0.06, 0.05))


def bird(variant: int) -> tuple[Part, ...]:
    """A bird that looks right: round head, dark beak, wing, tail up, two thin legs."""
    lift = -0.1 * variant
    body = curve("body", arc(0.0, 0.06, 0.34, 0.24, -60.0, 180.0, 24), np.array([(-0.56, -0.26), (-0.3, -0.1)]))
    head = ellipse("body", 0.24, -0.22, 0.18)
    wing = polygon("detail", (0.14, 0.0), (-0.34, -0.12 + 2 * lift), (-0.3, 0.12 + lift), (-0.06, 0.2))
    beak = polygon("dark", (0.39, -0.3), (0.6, -0.19), (0.39, -0.12))
    legs = (box("dark", -0.1, 0.26, -0.03, 0.5), box("dark", 0.08, 0.26, 0.15, 0.5))
    return (body, head, wing, beak, *legs, ellipse("dark", 0.28, -0.26, 0.05))


def cat(variant: int) -> tuple[Part, ...]:
    """A sitting cat: two pointed ears, a face, a tail that curls up at the side."""
    outer, inner = arc(0.2, 0.2, 0.34, 0.3, 125.0, -40.0, 16), arc(0.2, 0.2, 0.2, 0.17, -40.0, 125.0, 16)
    body = ellipse("body", -0.08, 0.26, 0.27, 0.26)
    head = ellipse("body", -0.12, -0.14, 0.27, 0.23)
    ears = (
        polygon("body", (-0.4, -0.54), (-0.12, -0.32), (-0.38, -0.1)),
        polygon("body", (0.16, -0.54), (-0.12, -0.32), (0.14, -0.1)),
    )
    segmenters = (ellipse("dark", -0.22, -0.17, 0.045, 0.06), ellipse("dark", -0.02, -0.17, 0.045, 0.06))
    nose = polygon("dark", (-0.16, -0.07), (-0.08, -0.07), (-0.12, -0.02))
    belly = (ellipse("detail", -0.1, 0.32, 0.12, 0.16),) if variant else ()
    return (curve("body", outer, inner), body, head, *ears, *belly, *segmenters, nose)


def cup(variant: int) -> tuple[Part, ...]:
    """A mug with a handle at the right; variant 1 narrows towards the foot."""
    foot = 0.26 if variant == 0 else 0.16
    handle = (ellipse("body", 0.24, 0.02, 0.29, 0.26), ellipse("hole", 0.25, 0.02, 0.17, 0.14))
    side = polygon("body", (-0.46, -0.4), (0.22, -0.4), (foot - 0.12, 0.46), (-foot - 0.12, 0.46))
    return (*handle, side, ellipse("body", -0.12, -0.38, 0.34, 0.1), ellipse("dark", -0.12, -0.38, 0.27, 0.06))


def umbrella(variant: int) -> tuple[Part, ...]:
    """An open dome with a scalloped edge above a dark stick that ends in a hook."""
    dome = arc(0.0, 0.06, 0.56, 0.52, 180.0, 360.0, 32)
    scallops = (arc(x, 0.06, 0.14, 0.1, 0.0, -180.0, 8) for x in (0.42, 0.14, -0.14, -0.42))
    hook = curve("dark", arc(0.12, 0.36, 0.16, 0.18, 180.0, 0.0, 16), arc(0.12, 0.36, 0.08, 0.1, 0.0, 180.0, 12))
    panel = polygon("detail", (0.0, -0.44), (0.14, 0.0), (-0.14, 0.0))
    stick = (box("dark", -0.04, -0.02, 0.04, 0.36), box("dark", -0.03, -0.54, 0.03, -0.42))
    return (curve("body", dome, *scallops), *((panel,) if variant else ()), *stick, hook)


def key(variant: int) -> tuple[Part, ...]:
    """A bow with a hole, a shaft to the right and two or three teeth."""
    bow = (ellipse("body", -0.27, 0.0, 0.29, 0.29), ellipse("hole", -0.3, 0.0, 0.13, 0.13))
    shaft = box("body", -0.06, -0.095, 0.55, 0.095)
    places = (0.41, 0.17) if variant == 0 else (0.45, 0.28, 0.11)
    width = 0.14 if variant == 0 else 0.1
    return (*bow, shaft, *(box("body", x, 0.0, x + width, 0.29) for x in places))


def flower(variant: int) -> tuple[Part, ...]:
    """Five or six round petals around a dark heart, on a stem with leaves."""
    count = 5 + variant
    angles = np.radians(-90.0 + 360.0 / count * np.arange(count))
    petals = [ellipse("body", 0.22 * float(np.cos(a)), -0.18 + 0.22 * float(np.sin(a)), 0.155) for a in angles]
    stem = box("dark", -0.035, 0.1, 0.035, 0.54)
    leaves = (
        polygon("dark", (0.0, 0.48), (0.12, 0.28), (0.3, 0.24), (0.2, 0.42)),
        polygon("dark", (0.0, 0.48), (-0.12, 0.28), (-0.3, 0.24), (-0.2, 0.42)),
    )
    return (*petals, ellipse("body", 0.0, -0.18, 0.2), stem, *leaves, ellipse("dark", 0.0, -0.18, 0.11))


def lamp(variant: int) -> tuple[Part, ...]:
    """A table lamp: a flared shade, a thin dark stem, a broad foot."""
    top = 0.2 if variant == 0 else 0.26
    shade = polygon("body", (-top, -0.52), (top, -0.52), (0.45, 0.08), (-0.45, 0.08))
    foot = polygon("body", (-0.1, 0.38), (0.1, 0.38), (0.3, 0.54), (-0.3, 0.54))
    return (shade, foot, box("dark", -0.05, 0.08, 0.05, 0.4))


THING_DRAWERS: dict[str, Callable[[int], tuple[Part, ...]]] = {
    "house": house,
    "tree": tree,
    "car": car,
    "boat": boat,
    "fish": fish,
    "bird": bird,
    "cat": cat,
    "cup": cup,
    "umbrella": umbrella,
    "key": key,
    "flower": flower,
    "lamp": lamp,
}
