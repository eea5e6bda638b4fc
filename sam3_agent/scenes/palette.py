"""The tones that an object of a named color is painted with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sam3_agent.scenes.rng import pick
from sam3_agent.scenes.vocabulary import COLORS

RGB = tuple[int, int, int]

SECOND_TONES: dict[str, tuple[RGB, ...]] = {
    "red": ((104, 4, 12),),
    "orange": ((146, 62, 0), (255, 212, 150)),
    "yellow": ((168, 128, 0),),
    "green": ((6, 78, 28), (158, 230, 168)),
    "blue": ((8, 26, 104), (146, 196, 255)),
    "purple": ((56, 8, 84), (208, 156, 238)),
    "pink": ((255, 232, 242), (198, 62, 128)),
    "white": ((122, 122, 126), (176, 176, 180)),
    "black": ((104, 104, 108), (156, 156, 160)),
}
"""Color -> what its stripes, dots and checks may be painted with."""

NEAR = 80.0
"""RGB distance under which an object does not stand out from what is behind it."""
LARGEST_SHARE_NEAR = 0.25
"""The share of the background that may be near an object's color."""


def draw_tint(color: str, rng: np.random.Generator) -> RGB:
    """A random tint of `color` that cannot be taken for another name."""
    strength = 6 if color in ("white", "black") else 10
    shift = rng.integers(-strength, strength + 1, size=3)
    return clip_rgb(np.array(COLORS[color]) + shift)


def draw_second_tone(color: str, behind: NDArray[np.uint8], rng: np.random.Generator) -> RGB:
    """The second tone of a pattern on an object of `color`: a random one that stands out from `behind`, (..., 3)."""
    tones = SECOND_TONES[color]
    clear = [tone for tone in tones if not is_hidden(tone, behind)] or tones
    return pick(clear, rng)


def shade_of(tint: RGB) -> RGB:
    """The darker tone (lighter, for black) of the details of an object painted with `tint`."""
    if sum(tint) < 150:
        return (84, 84, 88)
    return clip_rgb(np.array(tint) * 0.66)


def dark_on(tint: RGB, behind: NDArray[np.uint8]) -> RGB:
    """Near black for wheels, models and sticks; grey when the object is black, or when black would not stand out.

    `behind` is (..., 3): sticks and legs must stand out from it, models need only differ from `tint`.
    """
    greys = ((112, 112, 116), (168, 168, 172)) if sum(tint) < 150 else ((34, 30, 32), (140, 140, 144))
    return greys[1] if is_hidden(greys[0], behind) else greys[0]


def light_on(tint: RGB) -> RGB:
    """Near white for windows; light blue when the object itself is white."""
    return (150, 190, 220) if sum(tint) > 660 else (228, 240, 248)


def distance(tint: RGB, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Euclidean RGB distance of `tint` to `pixels`, (..., 3) -> (...)."""
    difference = pixels.astype(np.float64)
    difference -= tint
    return np.sqrt(np.einsum("...c,...c->...", difference, difference))


def is_hidden(tint: RGB, pixels: NDArray[np.uint8]) -> bool:
    """Whether `tint` is near too many of `pixels`, (..., 3)."""
    near = np.count_nonzero(distance(tint, pixels) < NEAR)
    return int(near) * 3 > LARGEST_SHARE_NEAR * pixels.size


def clip_rgb(values: NDArray[np.float64] | NDArray[np.int64]) -> RGB:
    """`values`, (3,), rounded and clipped to 0-255."""
    red, green, blue = (min(255, max(0, round(float(value)))) for value in values)
    return (red, green, blue)
