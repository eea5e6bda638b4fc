"""Many objects side by side: a contact sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sam3_agent import masks
from sam3_agent.render.outline import MARGIN, draw_outline
from sam3_agent.render.picture import Mark
from sam3_agent.render.view import Window, paint, patch_of, view_of

MOST = 36
"""Cells on one sheet."""
_LARGEST_CELL = 320
_BAR = 20
_GAP = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """Square cells of `cell` pixels, each under a bar for its label."""

    columns: int
    rows: int
    cell: int

    @property
    def width(self) -> int:
        """Of the sheet, pixels."""
        return self.columns * (self.cell + _GAP) + _GAP

    @property
    def height(self) -> int:
        """Of the sheet, pixels."""
        return self.rows * (self.cell + _BAR + _GAP) + _GAP


def layout_of(count: int, longest: int) -> Layout:
    """The layout for `count` cells on a sheet whose sides are at most `longest`."""
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cell = min(_LARGEST_CELL, (longest - _GAP) // columns - _GAP, (longest - _GAP) // rows - _GAP - _BAR)
    return Layout(columns, rows, cell)


def draw_sheet(pixels: NDArray[np.uint8], marks: Sequence[Mark], layout: Layout) -> Image.Image:
    """One cell a mark: the object outlined in its own surroundings, its label above it."""
    columns, cell = layout.columns, layout.cell
    sheet = Image.new("RGB", (layout.width, layout.height), (225, 225, 225))
    draw = ImageDraw.Draw(sheet)
    for index, mark in enumerate(marks):
        x = _GAP + index % columns * (cell + _GAP)
        y = _GAP + index // columns * (cell + _BAR + _GAP)
        draw.text((x + 2, y + 1), mark.label, fill="black", font=ImageFont.load_default(15))
        picture = _cell(pixels, mark, cell)
        sheet.paste(picture, (x + (cell - picture.width) // 2, y + _BAR + (cell - picture.height) // 2))
    return sheet


def _cell(pixels: NDArray[np.uint8], mark: Mark, side: int) -> Image.Image:
    view = view_of(surroundings(mark, pixels.shape[1], pixels.shape[0]), side, fill=True)
    canvas = paint(pixels, view)
    patch = patch_of(mark.rle, view, MARGIN)
    if patch is not None:
        draw_outline(canvas, patch, dashed=mark.dashed)
    return Image.fromarray(canvas)


def surroundings(mark: Mark, width: int, height: int, share: float = 0.25) -> Window:
    """The box of a mark with some of its surroundings, within the image."""
    x0, y0, x1, y1 = masks.box(mark.rle)
    if x0 == x1:
        x0, y0, x1, y1 = mark.box
    margin = max(4.0, share * max(x1 - x0, y1 - y0))
    return (
        max(0, math.floor(x0 - margin)),
        max(0, math.floor(y0 - margin)),
        min(width, math.ceil(x1 + margin)),
        min(height, math.ceil(y1 + margin)),
    )
