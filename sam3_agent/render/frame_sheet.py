"""Sheet of frames: one cell a frame with its number and its marks, for whoever cannot watch a video."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sam3_agent.render.draw import draw_labels, label_font
from sam3_agent.render.outline import MARGIN, draw_outline
from sam3_agent.render.picture import Mark, Picture
from sam3_agent.render.view import paint, patch_of, view_of

MOST_FRAMES = 16
"""Cells on one sheet; AgentRVOS found 16 frames better than 8, 32 and 64 (arXiv 2603.23489)."""
_LETTERS = 1 / 36
"""Of the sheet's longer side: 28 pixels of 1024, which are still 11 when a host shrinks the sheet to 400."""
_GAP = 6
_GROUND = (225, 225, 225)


@dataclass(frozen=True, slots=True)
class FrameCell:
    """A frame to show."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB; not kept."""
    title: str
    """"120  4.0 s"."""
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class _Grid:
    columns: int
    rows: int
    width: int
    height: int
    bar: int

    def corner(self, number: int) -> tuple[int, int]:
        """x, y of a cell's bar."""
        row, column = divmod(number, self.columns)
        return _GAP + column * (self.width + _GAP), _GAP + row * (self.bar + self.height + _GAP)

    @property
    def size(self) -> tuple[int, int]:
        """Of the sheet."""
        return self.columns * (self.width + _GAP) + _GAP, self.rows * (self.bar + self.height + _GAP) + _GAP


def draw_frame_sheet(cells: Iterable[FrameCell], count: int, size: tuple[int, int], *, longest: int) -> Picture:
    """Draw `count` frames of `size` (width, height) as they come, so that one at a time is held.

    The picture's scale is that of the frames in it: picture pixels per frame pixel.
    """
    letters = max(12, round(longest * _LETTERS))
    grid = _grid(count, size, longest, math.ceil(letters * 1.4))
    sheet = Image.new("RGB", grid.size, _GROUND)
    draw = ImageDraw.Draw(sheet)
    font = label_font(letters)
    for number, cell in zip(range(count), cells, strict=False):
        x, y = grid.corner(number)
        draw.text((x + 2, y + grid.bar - 3), cell.title, fill="black", font=font, anchor="ls")
        sheet.paste(_drawn(cell, max(grid.width, grid.height), letters), (x, y + grid.bar))
    scale = grid.width / size[0]
    return Picture(sheet, f"{count} frames, each at scale {scale:.3g}", scale)


def _drawn(cell: FrameCell, longest: int, letters: int) -> Image.Image:
    height, width = cell.pixels.shape[:2]
    view = view_of((0, 0, width, height), longest, fill=True)
    canvas = paint(cell.pixels, view)
    found = [(mark, patch) for mark in cell.marks if (patch := patch_of(mark.rle, view, MARGIN)) is not None]
    for mark, patch in sorted(found, key=lambda item: (not item[0].faint, -int(item[1].mask.sum()))):
        draw_outline(canvas, patch, dashed=mark.dashed, thin=mark.faint)
    image = Image.fromarray(canvas)
    draw_labels(image, [(mark.label, patch) for mark, patch in found if mark.label and not mark.faint], (), letters)
    return image


def _grid(count: int, size: tuple[int, int], longest: int, bar: int) -> _Grid:
    """The number of columns that makes the cells largest on a sheet of at most `longest` a side."""
    grids: list[_Grid] = []
    for columns in range(1, count + 1):
        rows = math.ceil(count / columns)
        room = ((longest - _GAP) // columns - _GAP, (longest - _GAP) // rows - _GAP - bar)
        scale = min(room[0] / size[0], room[1] / size[1], 8.0)
        if scale > 0:
            view = view_of((0, 0, *size), max(1, int(max(size) * scale)), fill=True)
            grids.append(_Grid(columns, rows, view.width, view.height, bar))
    return max(grids, key=lambda grid: (grid.width, -grid.size[0] * grid.size[1]))
