"""Fills with smooth edges, for people: the colors of what is under them are not the objects' own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sam3_agent.render.picture import Mark
from sam3_agent.render.view import View, patch_of

Color = tuple[int, int, int]
PALETTE: tuple[Color, ...] = (
    (255, 45, 85),
    (0, 122, 255),
    (255, 204, 0),
    (0, 199, 130),
    (175, 82, 222),
    (255, 128, 0),
    (0, 199, 230),
)
_FINE = 2
"""Samples along each side of a picture pixel: four are enough for an edge without steps."""
_SMOOTHING = 1.5
"""Picture pixels (image pixels where the image is enlarged) by which a drawn edge may leave that of its mask.

Masks of low resolution that were enlarged waver by 1 to 2 pixels; more smoothing would round the points of stars.
"""
_MARGIN = 12
_OPACITY = (0.2, 0.45)
"""Of a fill deep inside and at the edge. With one opacity for both, .5 makes a yellow house green, and .3 is lost on
colorful objects at 200 px.
"""
_FADING = 9.0
"""Picture pixels (of 800) in which a fill fades by a factor of e."""
_FAINT = 0.55
_ROOMY = 0.3
"""Share of its object that a tag may cover; a larger one goes beside it."""


@dataclass(frozen=True, slots=True)
class Fill:
    """A mark with the distance of each picture pixel near it from its edge, negative inside."""

    mark: Mark
    color: Color
    distance: NDArray[np.float32]
    """(h, w) picture pixels, at (top, left) of the picture."""
    top: int
    left: int

    @property
    def deepest(self) -> tuple[int, int]:
        """(x, y) in the picture of the pixel furthest from the edge, where a tag hides least of the outline."""
        row, column = np.unravel_index(int(np.argmin(self.distance)), self.distance.shape)
        return (self.left + int(column), self.top + int(row))

    def fits(self, size: tuple[int, int]) -> bool:
        """Whether a tag of (width, height) at the deepest pixel lies on the object and leaves most of it open."""
        depth = -float(self.distance.min())
        inside = float((self.distance < 0).sum())
        return depth >= 0.75 * size[1] and depth >= 0.4 * size[0] and size[0] * size[1] <= _ROOMY * inside


def draw_fills(canvas: NDArray[np.uint8], marks: Sequence[Mark], view: View) -> list[Fill]:
    """Fill and outline marks on an (H, W, 3) canvas, the largest first, and return how; faint ones get a thin line."""
    fills: list[Fill] = []
    for mark in marks:
        found = _fill_of(mark, view)
        if found is not None:
            color = _color_beside(_mean_color(canvas, found), [fill.color for fill in fills if not fill.mark.faint])
            fills.append(replace(found, color=color))
    unit = max(1.0, max(canvas.shape[:2]) / 800)
    for fill in sorted(fills, key=lambda fill: -int((fill.distance < 0).sum())):
        if fill.mark.faint:
            _blend(canvas, fill, _band(fill.distance, 0, unit) * _FAINT, (255, 255, 255))
            continue
        _blend(canvas, fill, _band(fill.distance, -math.inf, 0) * _opacity(fill.distance / unit), fill.color)
        for start, stop, color in ((-0.5, 2.75, fill.color), (2.75, 4, (255, 255, 255))):
            line = _band(fill.distance, start * unit, stop * unit)
            _blend(canvas, fill, line * _dashes(fill) if fill.mark.dashed else line, color)
    return fills


def draw_tag(image: Image.Image, corner: tuple[int, int], size: tuple[int, int], text: str, color: Color,
             font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> None:  # fmt: skip
    """Write a text on a rounded ground of a color, black or white, whichever reads better."""
    scale, (width, height) = 4, size
    ground = Image.new("L", (width * scale, height * scale))
    ImageDraw.Draw(ground).rounded_rectangle((0, 0, width * scale - 1, height * scale - 1), height * scale * 0.3, 255)
    image.paste(color, corner, ground.resize(size, Image.Resampling.BOX))
    middle = (corner[0] + width / 2, corner[1] + height / 2)
    ImageDraw.Draw(image).text(middle, text, fill=_ink(color), font=font, anchor="mm")


def _ink(color: Color) -> Color:
    """Black on light colors, white on dark ones (luma of ITU-R BT.601)."""
    luma = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    return (0, 0, 0) if luma > 150 else (255, 255, 255)


def _fill_of(mark: Mark, view: View) -> Fill | None:
    import cv2  # 0.1 s, and most pictures have no fills

    fine = View(view.window, view.scale * _FINE, view.width * _FINE, view.height * _FINE)
    patch = patch_of(mark.rle, fine, _MARGIN * _FINE)
    if patch is None:
        return None
    top, left = patch.top // _FINE, patch.left // _FINE
    before = (patch.top - top * _FINE, patch.left - left * _FINE)
    after = tuple(-(start + side) % _FINE for start, side in zip(before, patch.mask.shape, strict=True))
    mask = np.pad(patch.mask, tuple(zip(before, after, strict=True))).astype(np.uint8)  # sides are multiples of _FINE
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    raw = np.where(mask > 0, 0.5 - inside, outside - 0.5).astype(np.float32) / _FINE
    reach = _SMOOTHING * max(1.0, view.scale)
    smooth = np.asarray(cv2.GaussianBlur(raw, (0, 0), reach * _FINE), dtype=np.float32)
    distance = np.clip(smooth, raw - reach, raw + reach)
    height, width = mask.shape[0] // _FINE, mask.shape[1] // _FINE
    distance = distance.reshape(height, _FINE, width, _FINE).mean(axis=(1, 3))  # (height, width)
    return Fill(mark, PALETTE[0], distance.astype(np.float32), top, left)


def _band(distance: NDArray[np.float32], start: float, stop: float) -> NDArray[np.float32]:
    """(h, w) share of each pixel that lies between two distances from the edge."""
    return (np.clip(distance - start + 0.5, 0, 1) * np.clip(stop - distance + 0.5, 0, 1)).astype(np.float32)


def _opacity(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) strongest at the edge, so that the object's own color stays readable in the middle of it."""
    deep, near = _OPACITY
    return (deep + (near - deep) * np.exp(np.minimum(distance, 0) / _FADING)).astype(np.float32)


def _blend(canvas: NDArray[np.uint8], fill: Fill, alpha: NDArray[np.float32], color: Color) -> None:
    rows, columns, part = _overlap(canvas, fill)
    share = alpha[rows, columns, None]
    part[:] = np.rint(part * (1 - share) + np.array(color, dtype=np.float32) * share).astype(np.uint8)


def _overlap(canvas: NDArray[np.uint8], fill: Fill) -> tuple[slice, slice, NDArray[np.uint8]]:
    """Rows and columns of a fill that lie in the canvas, and that part of the canvas (a view)."""
    top, left = max(fill.top, 0), max(fill.left, 0)
    bottom = min(fill.top + fill.distance.shape[0], canvas.shape[0])
    right = min(fill.left + fill.distance.shape[1], canvas.shape[1])
    rows, columns = slice(top - fill.top, bottom - fill.top), slice(left - fill.left, right - fill.left)
    return rows, columns, canvas[top:bottom, left:right]


def _mean_color(canvas: NDArray[np.uint8], fill: Fill) -> NDArray[np.float64]:
    rows, columns, part = _overlap(canvas, fill)
    inside = part[fill.distance[rows, columns] < 0]
    return inside.mean(axis=0) if len(inside) else np.full(3, 128.0)


def _color_beside(own: NDArray[np.float64], used: Sequence[Color]) -> Color:
    """The color of the palette that is used least and lies furthest from the object's own."""
    distance = [float(np.abs(np.array(color) - own).sum()) for color in PALETTE]
    return max(zip(PALETTE, distance, strict=True), key=lambda item: item[1] - 300 * used.count(item[0]))[0]


def _dashes(fill: Fill) -> NDArray[np.float32]:
    """(h, w) 1 on every other stretch of the outline, by the angle about the middle of the mask."""
    rows, columns = np.nonzero(fill.distance < 0)
    height, width = fill.distance.shape
    middle = (float(rows.mean()), float(columns.mean())) if len(rows) else (height / 2, width / 2)
    down = np.arange(height, dtype=np.float64) - middle[0]
    right = np.arange(width, dtype=np.float64) - middle[1]
    angle = np.arctan2(down[:, None], right[None])  # (h, w)
    count = max(6, round((height + width) / 22))
    return (np.floor((angle / (2 * np.pi) + 0.5) * 2 * count) % 2 == 0).astype(np.float32)
