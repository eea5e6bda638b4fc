"""Appearance of the objects of one scene, so that each stands out from what is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent.scenes.object_sampling import Character
from sam3_agent.scenes.palette import RGB, dark_on, distance, draw_second_tone, draw_tint, is_hidden
from sam3_agent.scenes.placement import Layout, Placement
from sam3_agent.scenes.rng import pick
from sam3_agent.scenes.silhouettes import Silhouette
from sam3_agent.scenes.sprite import Coat, Sprite, paint_sprite
from sam3_agent.scenes.vocabulary import COLORS

INKS: tuple[RGB, ...] = ((16, 16, 18), (250, 250, 250))
SAMPLE_STEPS = (-0.55, -0.3, 0.0, 0.3, 0.55)


@dataclass(frozen=True, slots=True)
class Look:
    """The manner of a scene: strength of shadows 0-1, the ink of outlines on all objects or None, their width."""

    shadow: float
    ink: RGB | None
    line: float


def draw_look(flat: bool, rng: np.random.Generator) -> Look:
    """A random manner; flat scenes have no shadows, and some are line art."""
    line = rng.uniform(0.02, 0.035)
    if flat:
        return Look(0.0, INKS[0] if rng.random() < 0.4 else None, line)
    shadow = rng.uniform(0.2, 0.5) if rng.random() < 0.3 else 0.0
    ink = pick(INKS, rng) if rng.random() < 0.2 else None
    return Look(shadow, ink, line)


def hidden_colors(background: Image.Image) -> frozenset[str]:
    """The colors that would not stand out from a good part of `background`."""
    pixels = np.asarray(background)
    height, width = pixels.shape[:2]
    sample = pixels[height // 16 :: height // 8, width // 16 :: width // 8]
    return frozenset(color for color, tint in COLORS.items() if is_hidden(tint, sample))


def dress(
    cast: Sequence[Character],
    silhouettes: Sequence[Silhouette],
    layout: Layout,
    background: Image.Image,
    look: Look,
    rng: np.random.Generator,
) -> list[Sprite]:
    """One sprite a placement, in their order."""
    pixels = np.asarray(background)
    sprites: list[Sprite] = []
    for place in layout.placed:
        character = cast[place.index]
        tint = draw_tint(character.color, rng)
        behind = _behind(pixels, place)
        second = draw_second_tone(character.color, behind, rng)
        faint = is_hidden(tint, behind) or (character.pattern != "plain" and is_hidden(second, behind))
        ink = look.ink
        if faint or (ink is None and _touches_alike(place, layout, cast)):
            ink = _ink_for(tint, behind)
        coat = Coat(tint, second, character.pattern, dark_on(tint, behind), None if ink is None else (ink, look.line))
        sprites.append(paint_sprite(silhouettes[place.index], place.size, coat, rng))
    return sprites


def _behind(pixels: NDArray[np.uint8], place: Placement) -> NDArray[np.uint8]:
    """(h, w, 3) a coarse sample of the background behind and around `place`."""
    height, width = pixels.shape[:2]
    x = [min(width - 1, max(0, int(place.x + place.width * step))) for step in SAMPLE_STEPS]
    y = [min(height - 1, max(0, int(place.y + place.height * step))) for step in SAMPLE_STEPS]
    return pixels[y][:, x]


def _touches_alike(place: Placement, layout: Layout, cast: Sequence[Character]) -> bool:
    """Whether the bounds of an object of the same color reach into those of `place`."""
    return any(
        other is not place
        and cast[other.index].color == cast[place.index].color
        and abs(other.x - place.x) < (other.width + place.width) / 2.0
        and abs(other.y - place.y) < (other.height + place.height) / 2.0
        for other in layout.placed
    )


def _ink_for(tint: RGB, behind: NDArray[np.uint8]) -> RGB:
    """The ink that stands out best from both `tint` and the background."""
    return max(
        INKS,
        key=lambda ink: min(float(distance(ink, behind).mean()), float(distance(ink, np.array(tint, dtype=np.uint8)))),
    )
