"""An image with masks -> a picture in one of the styles."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sam3_agent.errors import InputError
from sam3_agent.render.fill import Fill, draw_fills, draw_tag
from sam3_agent.render.outline import MARGIN, draw_outline
from sam3_agent.render.picture import STYLES, Mark, Picture, Style
from sam3_agent.render.view import Patch, View, Window, is_within, paint, patch_of, view_of

Rect = tuple[int, int, int, int]
_PADDING = 3
_REACHES = (5, 14, 28, 46, 70, 100, 140)
"""Distances between an object and its label that are tried, in picture pixels."""
_TOUCHING = 10
_DIRECTIONS = [(math.cos(a * math.pi / 8), math.sin(a * math.pi / 8)) for a in (14, 10, 12, 0, 2, 6, 8, 4, 1, 15, 9, 7)]
"""Up right first, then up left, above, right, ..."""


def draw_labels(
    image: Image.Image, labeled: Sequence[tuple[str, Patch]], fills: Sequence[Fill] = (), letters: int = 0
) -> None:
    """Write each label beside the main part of its patch, with a leader line where it had to go further away.

    Letters are `letters` pixels high; 0 chooses by the size of the picture.

    With `fills`, one a label, it stands on the object where there is room for it, on a ground of the fill's color.
    """
    if not labeled:
        return
    width, height = image.size
    usual = max(12, round(max(image.size) / 42)) if fills else max(12, min(18, round(max(image.size) / 60)))
    font = label_font(letters or usual)
    hidden = _crowding(width, height, [patch for _, patch in labeled])
    taken: list[Rect] = []
    draw = ImageDraw.Draw(image)
    spots: list[tuple[str, Rect, Fill | None]] = []
    for index in sorted(range(len(labeled)), key=lambda index: int(labeled[index][1].mask.sum())):
        (text, patch), fill = labeled[index], fills[index] if fills else None
        size = _size(font, text, roomy=fill is not None)
        if fill is not None and fill.fits(size):
            x, y = fill.deepest[0] - size[0] // 2, fill.deepest[1] - size[1] // 2
            spot = (x, y, x + size[0], y + size[1])
        else:
            spot = _place(patch.box, size, (width, height), hidden, taken)
            _draw_leader(draw, spot, patch)
        taken.append(spot)
        spots.append((text, spot, fill))
    for text, (x0, y0, x1, y1), fill in spots:
        if fill is not None:
            draw_tag(image, (x0, y0), (x1 - x0, y1 - y0), text, fill.color, font)
            continue
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill="white", outline="black")
        left, top, _, _ = font.getbbox(text)
        draw.text((x0 + _PADDING - left, y0 + _PADDING - top), text, fill="black", font=font)


def _size(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str, *, roomy: bool) -> tuple[int, int]:
    """Width and height of a label; a roomy one has the same height for every text."""
    left, top, right, bottom = font.getbbox(text)
    if roomy:
        tall = font.getbbox("Mg")
        unit = (tall[3] - tall[1]) / 2
        return math.ceil(right - left + 1.6 * unit), math.ceil(3.2 * unit)
    return math.ceil(right - left) + 2 * _PADDING, math.ceil(bottom - top) + 2 * _PADDING


@lru_cache(maxsize=16)
def label_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The one font of all pictures, letters about `size` pixels high."""
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
    """The rectangle that hides least and lies nearest; nearer rings are good enough when they hide nearly nothing."""
    along = np.array(_DIRECTIONS)[None]  # (1, directions, 2) x, y
    reach = np.array(_REACHES, dtype=np.float64)[:, None]  # (rings, 1)
    center, half = np.array([box[0] + box[2], box[1] + box[3]]) / 2, np.array([box[2] - box[0], box[3] - box[1]]) / 2
    room = np.maximum(np.array(canvas) - size, 0)
    middle = center + along * (half + np.array(size) / 2 + reach[..., None])  # (rings, directions, 2)
    corner = np.rint(np.clip(middle - np.array(size) / 2, 0, room)).astype(np.intp)
    x0, y0, x1, y1 = corner[..., 0], corner[..., 1], corner[..., 0] + size[0], corner[..., 1] + size[1]
    rows, columns = hidden.shape
    left, right = np.minimum(x0, columns - 1), np.minimum(x1, columns - 1)
    top, bottom = np.minimum(y0, rows - 1), np.minimum(y1, rows - 1)
    covered = hidden[bottom, right] - hidden[top, right] - hidden[bottom, left] + hidden[top, left]
    cost = 60 * covered + reach / 20 + np.arange(len(_DIRECTIONS)) / 100  # (rings, directions)
    for other in taken:
        width = np.minimum(x1, other[2]) - np.maximum(x0, other[0])
        height = np.minimum(y1, other[3]) - np.maximum(y0, other[1])
        cost += np.maximum(width, 0) * np.maximum(height, 0)
    enough = np.flatnonzero(np.minimum.accumulate(cost.min(axis=1)) < 1 + reach[:, 0] / 20)
    rings = int(enough[0]) + 1 if enough.size else len(_REACHES)
    ring, direction = divmod(int(np.argmin(cost[:rings])), len(_DIRECTIONS))
    x, y = (int(v) for v in corner[ring, direction])
    return (x, y, x + size[0], y + size[1])


def _draw_leader(draw: ImageDraw.ImageDraw, spot: Rect, patch: Patch) -> None:
    """A line from the label to the nearest pixel of its object's main part, unless they nearly touch."""
    rows, columns = np.nonzero(patch.main)
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
    patch = patch_of(mark.rle, view, MARGIN, mark.main_box)
    if patch is not None:
        draw_outline(canvas, patch, dashed=mark.dashed)
    return Image.fromarray(canvas)


def surroundings(mark: Mark, width: int, height: int, share: float = 0.25) -> Window:
    """The main part of a mark with some of its surroundings, within the image; strays do not make it smaller."""
    x0, y0, x1, y1 = mark.main_box
    if x0 == x1:
        x0, y0, x1, y1 = mark.box
    margin = max(4.0, share * max(x1 - x0, y1 - y0))
    return (
        max(0, math.floor(x0 - margin)),
        max(0, math.floor(y0 - margin)),
        min(width, math.ceil(x1 + margin)),
        min(height, math.ceil(y1 + margin)),
    )


LONGEST = 1024
GREY = 128
_FEW_NAMED = 8
"""More masks without labels than this are counted: ids say nothing of outlines that nobody can find by them."""


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
    view = view_of(window, longest)
    shown = [mark for mark in marks if is_within(mark.rle, view)]
    lines = f"; grid lines every {grid_step(view)} pixels of the image" if style == "grid" else ""
    words = f"{_words(style, marks, shown)}{lines}; {view.words()}"
    return Picture(lambda: _drawn(pixels, shown, style, view), words, view.scale, (view.width, view.height))


_Found = Sequence[tuple[Mark, Patch]]


def _drawn(pixels: NDArray[np.uint8], marks: Sequence[Mark], style: Style, view: View) -> Image.Image:
    found = [(mark, patch) for mark in marks if (patch := patch_of(mark.rle, view, MARGIN, mark.main_box)) is not None]
    canvas = paint(pixels, view)
    labeled = [(mark.label, patch) for mark, patch in found if mark.label and not mark.faint]
    if style == "fill":
        fills = draw_fills(canvas, [mark for mark, _ in found], view)
        image = Image.fromarray(canvas)
        draw_labels(image, labeled, [fill for fill in fills if fill.mark.label and not fill.mark.faint])
        return image
    image = Image.fromarray(_PAINTERS[style](canvas, found))
    if style == "grid":
        draw_grid(image, view)
    if style in ("marks", "grid"):
        draw_labels(image, labeled)
    return image


_GRID_LINES = 12
"""Along the longer side, at most: more hide what they measure."""
_DASH = 4


def grid_step(view: View) -> int:
    """Image pixels between two lines of a grid: 1, 2 or 5 times a power of ten."""
    least = max(view.width, view.height) / view.scale / _GRID_LINES
    power = 10 ** max(0, math.floor(math.log10(max(least, 1))))
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= least)


def draw_grid(image: Image.Image, view: View) -> None:
    """Draw lines at round coordinates of the image, each named at its end by that coordinate.

    Lines are one picture pixel wide, dashed in black and white, so that they are seen on any ground and hide little.
    """
    draw, font, step = ImageDraw.Draw(image), label_font(max(11, round(max(image.size) / 70))), grid_step(view)
    x0, y0, x1, y1 = view.window
    columns = [(x, round((x - x0) * view.scale)) for x in range(-(-x0 // step) * step, x1, step)]
    rows = [(y, round((y - y0) * view.scale)) for y in range(-(-y0 // step) * step, y1, step)]
    for start in range(0, max(image.size), _DASH):
        color = "white" if (start // _DASH) % 2 else "black"
        end = start + _DASH - 1
        for _, x in columns:
            draw.line((x, start, x, end), fill=color)
        for _, y in rows:
            draw.line((start, y, end, y), fill=color)
    names = [(f"x {x}", place, 0) for x, place in columns] + [(f"y {y}", 0, place) for y, place in rows if place]
    for text, left, top in names:
        width, height = _size(font, text, roomy=False)
        x, y = min(left, image.width - width), min(top, image.height - height)
        draw.rectangle((x, y, x + width - 1, y + height - 1), fill="white", outline="black")
        from_left, from_top, _, _ = font.getbbox(text)
        draw.text((x + _PADDING - from_left, y + _PADDING - from_top), text, fill="black", font=font)


def _plain(canvas: NDArray[np.uint8], found: _Found) -> NDArray[np.uint8]:
    return canvas


def _outlined(canvas: NDArray[np.uint8], found: _Found) -> NDArray[np.uint8]:
    for mark, patch in sorted(found, key=lambda item: (not item[0].faint, -int(item[1].mask.sum()))):
        draw_outline(canvas, patch, dashed=mark.dashed, thin=mark.faint)
    return canvas


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
    "grid": _outlined,
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
    solid = ", ".join(mark.label for mark in shown if not mark.dashed and not mark.faint) or "none"
    verb = {"cutout": "cut out on grey", "fill": "filled with colors that are not the objects' own"}.get(
        style, "outlined"
    )
    text = f"{verb}: {solid}"
    dashed = ", ".join(mark.label for mark in shown if mark.dashed and not mark.faint)
    old = [mark.label for mark in shown if mark.faint]
    faint = ", ".join(old) if len(old) <= _FEW_NAMED or style == "cutout" else f"{len(old)} masks"
    if style == "cutout":
        return ", ".join(filter(None, (text, dashed, faint)))
    text += f"; dashed (near misses): {dashed}" if dashed else ""
    return text + (f"; thin, without labels (found earlier): {faint}" if faint else "")
