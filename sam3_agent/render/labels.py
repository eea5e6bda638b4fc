"""Labels beside objects, where they hide least."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sam3_agent.render.view import Patch

Rect = tuple[int, int, int, int]
_PADDING = 3
_REACHES = (5, 14, 28, 46, 70, 100, 140)
"""Distances between an object and its label that are tried, in picture pixels."""
_TOUCHING = 10
_DIRECTIONS = [(math.cos(a * math.pi / 8), math.sin(a * math.pi / 8)) for a in (14, 10, 12, 0, 2, 6, 8, 4, 1, 15, 9, 7)]
"""Up right first, then up left, above, right, ..."""


def draw_labels(image: Image.Image, labelled: Sequence[tuple[str, Patch]]) -> None:
    """Write each label beside its patch, with a leader line where it had to go further away."""
    if not labelled:
        return
    width, height = image.size
    font = _font(max(12, min(18, round(max(image.size) / 60))))
    hidden = _crowding(width, height, [patch for _, patch in labelled])
    taken: list[Rect] = []
    draw = ImageDraw.Draw(image)
    spots: list[tuple[str, Rect]] = []
    for text, patch in sorted(labelled, key=lambda item: int(item[1].mask.sum())):
        left, top, right, bottom = font.getbbox(text)
        size = (math.ceil(right - left) + 2 * _PADDING, math.ceil(bottom - top) + 2 * _PADDING)
        spot = _place(patch.box, size, (width, height), hidden, taken)
        taken.append(spot)
        spots.append((text, spot))
        _draw_leader(draw, spot, patch)
    for text, (x0, y0, x1, y1) in spots:
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill="white", outline="black")
        left, top, _, _ = font.getbbox(text)
        draw.text((x0 + _PADDING - left, y0 + _PADDING - top), text, fill="black", font=font)


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _crowding(width: int, height: int, patches: Sequence[Patch]) -> NDArray[np.float64]:
    """(height + 1, width + 1) integral of how much of an object each pixel is: small objects weigh most."""
    weight = np.zeros((height, width))
    for patch in patches:
        rows, columns = np.nonzero(patch.mask)
        rows, columns = rows + patch.top, columns + patch.left
        seen = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        weight[rows[seen], columns[seen]] += 1 / len(rows)
    return np.pad(weight, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)


def _place(
    box: Rect, size: tuple[int, int], canvas: tuple[int, int], hidden: NDArray[np.float64], taken: Sequence[Rect]
) -> Rect:
    """The rectangle that hides least and lies nearest."""
    best, least = (0, 0, *size), math.inf
    centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    for reach in _REACHES:
        for order, (along_x, along_y) in enumerate(_DIRECTIONS):
            middle_x = centre_x + along_x * ((box[2] - box[0] + size[0]) / 2 + reach)
            middle_y = centre_y + along_y * ((box[3] - box[1] + size[1]) / 2 + reach)
            x0 = round(min(max(middle_x - size[0] / 2, 0), max(canvas[0] - size[0], 0)))
            y0 = round(min(max(middle_y - size[1] / 2, 0), max(canvas[1] - size[1], 0)))
            spot = (x0, y0, x0 + size[0], y0 + size[1])
            clash = sum(_overlap(spot, other) for other in taken)
            cost = 60 * _sum(hidden, spot) + clash + reach / 20 + order / 100
            if cost < least:
                best, least = spot, cost
        if least < 1 + reach / 20:
            break
    return best


def _sum(integral: NDArray[np.float64], rect: Rect) -> float:
    rows, columns = integral.shape
    x0, y0, x1, y1 = (
        min(rect[0], columns - 1),
        min(rect[1], rows - 1),
        min(rect[2], columns - 1),
        min(rect[3], rows - 1),
    )
    return float(integral[y1, x1] - integral[y0, x1] - integral[y1, x0] + integral[y0, x0])


def _overlap(first: Rect, second: Rect) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return float(width * height) if width > 0 and height > 0 else 0.0


def _draw_leader(draw: ImageDraw.ImageDraw, spot: Rect, patch: Patch) -> None:
    """A line from the label to the nearest pixel of its object, unless they nearly touch."""
    rows, columns = np.nonzero(patch.mask)
    rows, columns = rows + patch.top, columns + patch.left
    away_x = np.maximum(np.maximum(spot[0] - columns, columns - spot[2]), 0)
    away_y = np.maximum(np.maximum(spot[1] - rows, rows - spot[3]), 0)
    distance = away_x**2 + away_y**2
    nearest = int(np.argmin(distance))
    if distance[nearest] <= _TOUCHING**2:
        return
    target = (int(columns[nearest]), int(rows[nearest]))
    start = (min(max(target[0], spot[0]), spot[2]), min(max(target[1], spot[1]), spot[3]))
    draw.line((*start, *target), fill="black", width=3)
    draw.line((*start, *target), fill="white", width=1)
