"""An image with masks -> a picture in one of the styles."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.render.labels import draw_labels
from sam3_agent.render.outline import MARGIN, draw_outline
from sam3_agent.render.picture import STYLES, Mark, Picture, Style
from sam3_agent.render.sheet import MOST, draw_sheet, layout_of, surroundings
from sam3_agent.render.view import Patch, View, Window, is_within, paint, patch_of, view_of

LONGEST = 1024
GREY = 128
_CROWDED = 12
"""With more marks than this a picture takes all the room it may, so that labels find a place."""
_FILLS = ((230, 60, 60), (60, 120, 240), (250, 200, 40), (60, 190, 90), (190, 80, 220), (250, 140, 40), (40, 200, 210))


def draw_picture(
    pixels: NDArray[np.uint8],
    marks: Sequence[Mark] = (),
    *,
    style: Style = "marks",
    region: Window | None = None,
    longest: int = LONGEST,
) -> Picture:
    """Marks on (H, W, 3) pixels, or on the `region` of them, with the longer side at most `longest`.

    The pixels must stay as they are: the picture is drawn when its image is first asked for.

    Raises:
        InputError: the style is unknown, or it needs masks and there are none.
    """
    if style not in STYLES:
        raise InputError(f"style must be one of {', '.join(STYLES)}; got {style!r}")
    if style in ("cutout", "contact_sheet") and not marks:
        raise InputError(f"style {style!r} needs mask_ids, and this image has no masks yet; segment something first")
    if style == "contact_sheet":
        return _sheet(pixels, marks, longest)
    window = region or (0, 0, pixels.shape[1], pixels.shape[0])
    if style == "cutout" and region is None:
        window = _around(marks, pixels.shape[1], pixels.shape[0])
    view = view_of(window, longest, fill=len(marks) > _CROWDED)
    shown = [mark for mark in marks if is_within(mark.rle, view)]
    words = f"{_words(style, marks, shown)}; {view.words()}"
    return Picture(lambda: _drawn(pixels, shown, style, view), words, view.scale, (view.width, view.height))


_Found = Sequence[tuple[Mark, Patch]]


def _drawn(pixels: NDArray[np.uint8], marks: Sequence[Mark], style: Style, view: View) -> Image.Image:
    found = [(mark, patch) for mark in marks if (patch := patch_of(mark.rle, view, MARGIN)) is not None]
    image = Image.fromarray(_PAINTERS[style](paint(pixels, view), found))
    if style in ("marks", "fill"):
        draw_labels(image, [(mark.label, patch) for mark, patch in found])
    return image


def _plain(canvas: NDArray[np.uint8], found: _Found) -> NDArray[np.uint8]:
    return canvas


def _outlined(canvas: NDArray[np.uint8], found: _Found) -> NDArray[np.uint8]:
    for mark, patch in sorted(found, key=lambda item: -int(item[1].mask.sum())):
        draw_outline(canvas, patch, dashed=mark.dashed)
    return canvas


def _filled(canvas: NDArray[np.uint8], found: _Found) -> NDArray[np.uint8]:
    for index, (_, patch) in enumerate(found):
        part, inside = _overlapping(canvas, patch)
        part[inside] = (part[inside] * 0.5 + np.array(_FILLS[index % len(_FILLS)]) * 0.5).astype(np.uint8)
    return _outlined(canvas, found)


def _cut_out(canvas: NDArray[np.uint8], found: _Found) -> NDArray[np.uint8]:
    kept = np.full_like(canvas, GREY)
    for _, patch in found:
        target, inside = _overlapping(kept, patch)
        target[inside] = _overlapping(canvas, patch)[0][inside]
    return kept


_PAINTERS: dict[Style, Callable[[NDArray[np.uint8], _Found], NDArray[np.uint8]]] = {
    "plain": _plain,
    "marks": _outlined,
    "outline": _outlined,
    "fill": _filled,
    "cutout": _cut_out,
}


def _overlapping(canvas: NDArray[np.uint8], patch: Patch) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The part of the canvas under a patch (a view, not a copy) with the matching part of its mask."""
    height, width = canvas.shape[:2]
    top, left = max(patch.top, 0), max(patch.left, 0)
    bottom, right = min(patch.top + patch.mask.shape[0], height), min(patch.left + patch.mask.shape[1], width)
    inside = patch.mask[top - patch.top : bottom - patch.top, left - patch.left : right - patch.left]
    return canvas[top:bottom, left:right], inside


def _around(marks: Sequence[Mark], width: int, height: int) -> Window:
    windows = np.array([surroundings(mark, width, height, share=0.08) for mark in marks])
    low, high = windows.min(axis=0), windows.max(axis=0)
    return (int(low[0]), int(low[1]), int(high[2]), int(high[3]))


def _sheet(pixels: NDArray[np.uint8], marks: Sequence[Mark], longest: int) -> Picture:
    shown = marks[:MOST]
    words = f"contact sheet of {', '.join(mark.label for mark in shown)}: each cell is one object with its surroundings"
    if len(marks) > MOST:
        words += f" (the first {MOST} of {len(marks)}; ask for the others by mask_ids)"
    layout = layout_of(len(shown), longest)
    return Picture(
        lambda: draw_sheet(pixels, shown, layout), f"{words}, each at its own scale", 1.0, (layout.width, layout.height)
    )


def _words(style: Style, marks: Sequence[Mark], shown: Sequence[Mark]) -> str:
    if style == "plain" or not marks:
        return "no masks drawn"
    solid = ", ".join(mark.label for mark in shown if not mark.dashed) or "none"
    verb = {"cutout": "cut out on grey", "fill": "filled with colours that are not the objects' own"}.get(
        style, "outlined"
    )
    text = f"{verb}: {solid}"
    dashed = ", ".join(mark.label for mark in shown if mark.dashed)
    return (
        f"{text}; dashed (near misses): {dashed}"
        if dashed and style != "cutout"
        else text + (f", {dashed}" if dashed else "")
    )
