"""View: the part of an image that is shown, and its size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.masks import Box, Rle

Window = tuple[int, int, int, int]
"""Whole-pixel xyxy part of an image."""

_SMALL = 768
_LARGEST_ENLARGEMENT = 8


@dataclass(frozen=True, slots=True)
class View:
    """A window of an image drawn at (width, height) picture pixels."""

    window: Window
    scale: float
    width: int
    height: int

    @property
    def rows(self) -> NDArray[np.intp]:
        """(height,) the image row that each picture row shows."""
        return _sampled(self.window[1], self.window[3], self.height)

    @property
    def columns(self) -> NDArray[np.intp]:
        """(width,) the image column that each picture column shows."""
        return _sampled(self.window[0], self.window[2], self.width)

    def words(self) -> str:
        """Explain how picture pixels become image pixels."""
        x0, y0, x1, y1 = self.window
        part = f"shows x {x0}-{x1}, y {y0}-{y1} at scale {self.scale:.4g}"
        if self.scale == 1 and (x0, y0) == (0, 0):
            return f"{part} (picture pixels are image pixels)"
        along_x = f"picture x / {self.scale:.4g}" + (f" + {x0}" if x0 else "")
        along_y = f"picture y / {self.scale:.4g}" + (f" + {y0}" if y0 else "")
        return f"{part} (image x = {along_x}, image y = {along_y})"


@dataclass(frozen=True, slots=True)
class Patch:
    """A mask as it appears in a view: a bool array at (top, left) of the picture, with an empty margin around it."""

    mask: NDArray[np.bool_]
    top: int
    left: int
    main_rows: tuple[tuple[int, int], tuple[int, int]] | None = None
    """(first, last + 1) row and column of its main part in `mask`; None where that is all of it."""

    @property
    def main(self) -> NDArray[np.bool_]:
        """The mask without the parts that lie outside the box of its main one, where that box is known."""
        if self.main_rows is None:
            return self.mask
        (top, bottom), (left, right) = self.main_rows
        inside = np.zeros_like(self.mask)
        inside[top:bottom, left:right] = self.mask[top:bottom, left:right]
        return inside if inside.any() else self.mask

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Tight xyxy box of the main part in picture pixels."""
        mask = self.main
        ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        return (self.left + int(xs[0]), self.top + int(ys[0]), self.left + int(xs[-1]) + 1, self.top + int(ys[-1]) + 1)


def view_of(window: Window, longest: int, *, fill: bool = False) -> View:
    """A view whose longer side is at most `longest`.

    Small windows are enlarged by whole numbers so that they can be seen at all; with `fill`, by any number up to 8.
    """
    width, height = window[2] - window[0], window[3] - window[1]
    side = max(width, height)
    scale = min(longest / side, float(_LARGEST_ENLARGEMENT))
    if scale >= 1 and not fill:
        scale = float(max(1, min(int(scale), _SMALL // side)))
    return View(window, scale, max(1, round(width * scale)), max(1, round(height * scale)))


def paint(pixels: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """The (height, width, 3) picture of a view of (H, W, 3) pixels."""
    x0, y0, x1, y1 = view.window
    part = Image.fromarray(np.ascontiguousarray(pixels[y0:y1, x0:x1]))
    if part.size == (view.width, view.height):
        return np.array(part)
    if view.scale > 1:
        return np.array(part.resize((view.width, view.height), Image.Resampling.BICUBIC))
    return np.array(part.resize((view.width, view.height), Image.Resampling.LANCZOS, reducing_gap=1.5))


def is_within(rle: Rle, view: View) -> bool:
    """Whether any part of a mask's box lies in the view."""
    x0, y0, x1, y1 = masks.box(rle)
    left, top, right, bottom = view.window
    return x0 < x1 and x1 > left and x0 < right and y1 > top and y0 < bottom


def patch_of(rle: Rle, view: View, margin: int, main_box: Box | None = None) -> Patch | None:
    """A mask at picture resolution with `margin` empty pixels around it; None when it lies outside the view.

    Its main part is what lies in `main_box`, in pixels of the image; None means its largest part.
    """
    x0, y0, x1, y1 = masks.box(rle)
    rows, columns = view.rows, view.columns
    top, bottom = np.searchsorted(rows, (y0, y1))
    left, right = np.searchsorted(columns, (x0, x1))
    if not is_within(rle, view):
        return None
    top, left = min(int(top), view.height - 1), min(int(left), view.width - 1)
    bottom, right = max(int(bottom), top + 1), max(int(right), left + 1)
    inside = masks.sample(rle, rows[top:bottom], columns[left:right])
    if not inside.any():
        inside = np.zeros_like(inside)
        inside[inside.shape[0] // 2, inside.shape[1] // 2] = True  # too thin to be met by the sampling: show a dot
    main_box = main_box or masks.parts_of(rle).main_box
    main = None
    if main_box != (x0, y0, x1, y1):
        up, down = (int(v) - top + margin for v in np.searchsorted(rows, main_box[1::2]))
        near, far = (int(v) - left + margin for v in np.searchsorted(columns, main_box[::2]))
        main = ((max(up, 0), max(down, 0)), (max(near, 0), max(far, 0)))
    return Patch(np.pad(inside, margin), top - margin, left - margin, main)


def _sampled(start: int, stop: int, count: int) -> NDArray[np.intp]:
    return (start + (np.arange(count) + 0.5) * (stop - start) / count).astype(np.intp)
