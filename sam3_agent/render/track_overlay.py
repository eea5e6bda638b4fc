"""Tracks drawn on a frame, for people who watch a video: a color and a tag an id, the same in every frame."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from sam3_agent import masks
from sam3_agent.masks import Box, Rle
from sam3_agent.render.fill import Color, draw_tag
from sam3_agent.render.outline import grow

_OPACITY = 0.35
_GOLDEN = 0.618034
"""Of a turn between the hues of neighbouring numbers, so that any few of them in a row are far apart."""
_LINE = 1 / 400
"""Width of the outline as a share of the frame's longer side."""
_LETTERS = 1 / 45
"""Height of the letters, likewise."""


@dataclass(frozen=True, slots=True)
class TrackMark:
    """One track in one frame."""

    number: int
    """Decides the color."""
    label: str
    rle: Rle
    box: Box


def track_color(number: int) -> Color:
    """RGB of a track; bright, and unlike that of the numbers around it."""
    hue = (0.02 + number * _GOLDEN) % 1.0
    light = 0.5 if number % 2 else 0.62
    red, green, blue = colorsys.hls_to_rgb(hue, light, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_tracks(pixels: NDArray[np.uint8], marks: Sequence[TrackMark]) -> NDArray[np.uint8]:
    """(H, W, 3) frame with its tracks filled and outlined, the largest first, tags above all of them."""
    canvas = pixels.copy()
    height, width = canvas.shape[:2]
    line = max(1, round(max(height, width) * _LINE))
    for mark in sorted(marks, key=lambda mark: -masks.area(mark.rle)):
        _fill(canvas, mark, line)
    if not marks:
        return canvas
    image = Image.fromarray(canvas)
    font = ImageFont.load_default(max(11, round(max(height, width) * _LETTERS)))
    for mark in marks:
        _tag(image, mark, font)
    return np.asarray(image, dtype=np.uint8)


def _fill(canvas: NDArray[np.uint8], mark: TrackMark, line: int) -> None:
    height, width = canvas.shape[:2]
    x0, y0, x1, y1 = (round(v) for v in mark.box)
    top, left = max(y0 - line, 0), max(x0 - line, 0)
    rows, columns = slice(top, min(y1 + line, height)), slice(left, min(x1 + line, width))
    inside = masks.sample(mark.rle, np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop))
    around = inside
    for _ in range(line):
        around = grow(around)
    color = np.array(track_color(mark.number), dtype=np.float32)
    part = canvas[rows, columns]
    part[inside] = np.rint(part[inside] * (1 - _OPACITY) + color * _OPACITY).astype(np.uint8)
    part[around & ~inside] = color.astype(np.uint8)


def _tag(image: Image.Image, mark: TrackMark, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> None:
    """Write a label above the box, or inside at its top where there is no room above; it moves with the box only."""
    left, top, right, bottom = font.getbbox(mark.label)
    size = (round(right - left) + 8, round(bottom - top) + 6)
    x0, y0, x1, _ = mark.box
    x = min(max(round((x0 + x1 - size[0]) / 2), 0), max(image.width - size[0], 0))
    y = round(y0) - size[1] - 2
    draw_tag(image, (x, y if y >= 0 else max(round(y0), 0)), size, mark.label, track_color(mark.number), font)
