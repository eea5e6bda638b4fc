"""One object painted on its own small transparent patch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from sam3_agent.scenes.palette import RGB, light_on, shade_of
from sam3_agent.scenes.parts import Role
from sam3_agent.scenes.pattern import draw_pattern
from sam3_agent.scenes.silhouettes import Silhouette

Ink = int | tuple[int, int, int, int]

PAD = 2
OPAQUE = 255


@dataclass(frozen=True, slots=True)
class Coat:
    """How body, pattern and dark parts are painted; `outline` is (colour, width as a fraction of the size) or None."""

    tint: RGB
    second: RGB
    pattern: str
    dark: RGB
    outline: tuple[RGB, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A painted patch, mode RGBA; `mask` is (h, w) bool, alpha >= 128; `area` is its pixels."""

    patch: Image.Image
    mask: NDArray[np.bool_]
    area: int


def paint_sprite(silhouette: Silhouette, size: float, coat: Coat, rng: np.random.Generator) -> Sprite:
    """`silhouette` with its longer side `size` pixels, drawn at two to four times the size and reduced.

    The large drawing is premultiplied (mode RGBa): opaque or all zero, so that reducing it mixes no colour in.
    """
    factor = 4 if size <= 32 else 3 if size <= 72 else 2
    width, height = (math.ceil(side * size) + 2 * PAD for side in silhouette.extent)
    canvas = (width * factor, height * factor)
    centre = (canvas[0] / 2.0, canvas[1] / 2.0)
    parts: list[tuple[Role, list[float]]] = [
        (part.role, (part.points * (size * factor) + centre).ravel().tolist()) for part in silhouette.parts
    ]
    large = Image.new("RGBa", canvas)
    _fill(large, parts, {"body": (*coat.tint, OPAQUE), "hole": (0, 0, 0, 0)})
    if coat.pattern != "plain":
        body = large.getchannel("a")
        _fill(body, parts, {"detail": 0, "dark": 0, "light": 0})
        tone = draw_pattern(coat.pattern, body, size * factor, rng)
        large.paste((*coat.second, OPAQUE), (0, 0), tone.convert("1", dither=Image.Dither.NONE))
    tones = {"detail": shade_of(coat.tint), "dark": coat.dark, "light": light_on(coat.tint)}
    _fill(large, parts, {role: (*tone, OPAQUE) for role, tone in tones.items()})
    if coat.outline is not None:
        ink, share = coat.outline
        solid = large.getchannel("a").convert("1", dither=Image.Dither.NONE)
        large.paste((*ink, OPAQUE), (0, 0), _rim(solid, round(max(1.0, share * size) * factor)))
    patch = large.reduce(factor).convert("RGBA")
    mask = np.asarray(patch.getchannel("A")) >= 128
    return Sprite(patch, mask, int(np.count_nonzero(mask)))


def _fill(image: Image.Image, parts: Sequence[tuple[Role, list[float]]], inks: Mapping[str, Ink]) -> None:
    """Paint, in order, the `parts` (role, flat xy points in pixels) whose role has an ink."""
    draw = ImageDraw.Draw(image)
    for role, points in parts:
        if role in inks:
            draw.polygon(points, fill=inks[role])


def _rim(mask: Image.Image, width: int) -> Image.Image:
    """The pixels of `mask` (mode 1) within about `width` of its edge."""
    inner = mask
    slant = round(width * 0.7)
    straight = ((width, 0), (-width, 0), (0, width), (0, -width))
    for x, y in (*straight, *((x, y) for x in (-slant, slant) for y in (-slant, slant))):
        inner = ImageChops.logical_and(inner, ImageChops.offset(mask, x, y))
    return ImageChops.logical_xor(mask, inner)
