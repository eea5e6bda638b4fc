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
from sam3_agent.scenes.silhouettes import Silhouette

LEAST_COVER = 0.2
MOST_COVER = 0.42
TRIES = 4


def draw_pattern(name: str, mask: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    """Paint where within `mask` the second tone goes; both mode L, 0 or 255; `size` is the object's, in pixels of
    `mask`.

    Draws anew, at most TRIES times, until the second tone covers a fair part of `mask` but never most of it.
    """
    body = np.asarray(mask)[::4, ::4] > 0
    amount = max(1, int(np.count_nonzero(body)))
    best, least = mask, math.inf
    for _ in range(TRIES):
        tone = Image.new("L", mask.size)
        _DRAWERS[name](ImageDraw.Draw(tone), mask.size, size, rng)
        cover = np.count_nonzero(np.asarray(tone)[::4, ::4][body]) / amount
        excess = max(LEAST_COVER - cover, cover - MOST_COVER, 0.0)
        if excess < least:
            best, least = tone, excess
        if excess == 0.0:
            break
    return ImageChops.darker(best, mask)


def _turned(corners: NDArray[np.float64], canvas: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """(..., 2) xy about the origin -> turned by one random angle and moved to the middle of the canvas."""
    angle = rng.uniform(0.0, math.pi)
    cos, sin = math.cos(angle), math.sin(angle)
    return corners @ np.array([[cos, sin], [-sin, cos]]) + (canvas[0] / 2.0, canvas[1] / 2.0)


def _draw_stripes(draw: ImageDraw.ImageDraw, canvas: tuple[int, int], size: float, rng: np.random.Generator) -> None:
    """Three to five parallel bands."""
    period = size * rng.uniform(0.24, 0.33)
    reach = math.hypot(*canvas) / 2.0
    starts = np.arange(-reach, reach, period) + rng.uniform(0.0, period)
    x0, x1 = starts, starts + 0.4 * period
    low, high = np.full_like(starts, -reach), np.full_like(starts, reach)
    bands = np.stack(
        (np.stack((x0, low), 1), np.stack((x1, low), 1), np.stack((x1, high), 1), np.stack((x0, high), 1)), 1
    )
    for band in _turned(bands, canvas, rng):  # (4, 2)
        draw.polygon(band.ravel().tolist(), fill=255)


def _lattice(canvas: tuple[int, int], period: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(N, 2) xy about the origin: a square lattice that covers the canvas, at a random phase."""
    half = math.ceil(math.hypot(*canvas) / 2.0 / period) + 1
    steps = np.arange(-half, half + 1, dtype=np.float64)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return (grid + rng.random(2)) * period


def _draw_dots(draw: ImageDraw.ImageDraw, canvas: tuple[int, int], size: float, rng: np.random.Generator) -> None:
    """Round dots on a square lattice."""
    period = size * rng.uniform(0.25, 0.31)
    radius = 0.32 * period
    for x, y in _turned(_lattice(canvas, period, rng), canvas, rng).tolist():
        if -radius < x < canvas[0] + radius and -radius < y < canvas[1] + radius:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)


def _draw_checks(draw: ImageDraw.ImageDraw, canvas: tuple[int, int], size: float, rng: np.random.Generator) -> None:
    """Squares on every second field of a board."""
    cell = size * rng.uniform(0.16, 0.2)
    centers = _lattice(canvas, 2.0 * cell, rng)
    centers = np.concatenate((centers, centers + cell))
    half = 0.46 * cell
    corners = np.array([(-half, -half), (half, -half), (half, half), (-half, half)])
    fields = _turned(centers[:, None, :] + corners, canvas, rng)  # (N, 4, 2)
    low, high = fields.min(axis=1), fields.max(axis=1)
    seen = (high > 0).all(axis=1) & (low < canvas).all(axis=1)
    for field in fields[seen].reshape(-1, 8).tolist():
        draw.polygon(field, fill=255)


_DRAWERS = {"striped": _draw_stripes, "dotted": _draw_dots, "checkered": _draw_checks}


Ink = int | tuple[int, int, int, int]

PAD = 2
OPAQUE = 255


@dataclass(frozen=True, slots=True)
class Coat:
    """Tones of body, pattern and dark parts; `outline` is (color, width as a fraction of the size) or None."""

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

    The large drawing is premultiplied (mode RGBa): opaque or all zero, so that reducing it mixes no color in.
    """
    factor = 4 if size <= 32 else 3 if size <= 72 else 2
    width, height = (math.ceil(side * size) + 2 * PAD for side in silhouette.extent)
    canvas = (width * factor, height * factor)
    center = (canvas[0] / 2.0, canvas[1] / 2.0)
    parts: list[tuple[Role, list[float]]] = [
        (part.role, (part.points * (size * factor) + center).ravel().tolist()) for part in silhouette.parts
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
