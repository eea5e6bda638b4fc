"""The pictures of the demo: the scene, each answer under its question, all of them on one sheet."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sam3_agent.render import Mark, Picture, draw_picture, viewer_page
from sam3_agent.scenes import Scene
from sam3_agent.types import Instance

_STRIP = 76
_GAP = 14
_SHEET = (14, 16, 20)
_DARK = (26, 29, 36)
_WHITE = (245, 246, 248)
_QUIET = (160, 166, 178)
_RIGHT = (96, 200, 130)
_WRONG = (235, 105, 95)
_REST = 0.42
"""Brightness of what is not meant."""
_CELL = 640


def scene_picture(scene: Scene) -> Image.Image:
    """The scene as it was drawn, under a title."""
    words = f"{len(scene.objects)} objects, every mask known"
    return _titled(Image.fromarray(scene.image), "a scene, drawn by the program", words, _QUIET)


def answer_picture(
    scene: Scene, question: str, verdict: str, instances: Sequence[Instance], *, right: bool
) -> Image.Image:
    """The scene with the found masks marked and the rest dimmed, under the question and the verdict."""
    found = np.zeros((scene.height, scene.width), dtype=np.bool_)
    for instance in instances:
        found |= instance.mask
    marks = [Mark(instance.id, instance.rle, instance.box) for instance in instances]
    longest = max(scene.width, scene.height)
    picture = draw_picture(_dimmed(scene.image, found), marks, style="marks", longest=longest).image
    return _titled(picture, f"“{question}”", verdict, _RIGHT if right else _WRONG)


def answer_page(scene: Scene, instances: Sequence[Instance]) -> str:
    """The scene with the found masks as one HTML document, for any browser."""
    picture = Picture(Image.fromarray(scene.image), "", 1.0)
    return viewer_page(picture, [instance.to_json() for instance in instances])


def overview(cells: Sequence[Image.Image]) -> Image.Image:
    """All pictures, two beside each other."""
    small = [cell.resize((_CELL, round(cell.height * _CELL / cell.width)), Image.Resampling.LANCZOS) for cell in cells]
    height = max(cell.height for cell in small)
    rows = (len(small) + 1) // 2
    sheet = Image.new("RGB", (2 * _CELL + 3 * _GAP, rows * height + (rows + 1) * _GAP), _SHEET)
    for index, cell in enumerate(small):
        sheet.paste(cell, (_GAP + index % 2 * (_CELL + _GAP), _GAP + index // 2 * (height + _GAP)))
    return sheet


def _dimmed(pixels: NDArray[np.uint8], bright: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(H, W, 3), dark and nearly grey outside the (H, W) bright part, whose colours stay exactly as they are."""
    grey = pixels.mean(axis=2, keepdims=True)  # (H, W, 1)
    dim = ((0.35 * pixels + 0.65 * grey) * _REST).astype(np.uint8)
    return np.where(bright[..., None], pixels, dim)


def _titled(picture: Image.Image, title: str, line: str, colour: tuple[int, int, int]) -> Image.Image:
    canvas = Image.new("RGB", (picture.width, picture.height + _STRIP), _DARK)
    canvas.paste(picture, (0, _STRIP))
    draw = ImageDraw.Draw(canvas)
    room = picture.width - 32
    draw.text((16, 12), title, fill=_WHITE, font=_fitting(title, 25, room))
    draw.ellipse((17, 51, 27, 61), fill=colour)
    draw.text((36, 46), line, fill=colour, font=_fitting(line, 17, room - 20))
    return canvas


def _fitting(text: str, size: int, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The built-in font, smaller where the text would be too long."""
    while size > 9 and ImageFont.load_default(size).getlength(text) > width:
        size -= 1
    return ImageFont.load_default(size)
