"""Choice of tiles: the parts of an image that deserve a closer look."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sam3_agent.masks import Window
from sam3_agent.types import ModelInfo
from sam3_agent.workspace.query import Question
from sam3_agent.workspace.tiling.tile_detections import View


def grid(image: Window, side: int, overlap: int, part: Window | None = None) -> list[Window]:
    """Tiles of one size that cover the image, row by row; neighbors share at least `overlap` pixels.

    A tile is `side` pixels wide and high, or as much of it as the image has. With `part`, only the tiles of the same
    grid that are needed there: what has its center in the part and is no larger than `overlap` is whole in one of them.
    """
    x0, y0, x1, y1 = image
    left, top, right, bottom = part or image
    width, height = min(side, x1 - x0), min(side, y1 - y0)
    rows = _starts(y0, y1, height, overlap, (top, bottom))
    columns = _starts(x0, x1, width, overlap, (left, right))
    return [(x, y, x + width, y + height) for y in rows for x in columns]


def _starts(start: int, stop: int, side: int, overlap: int, part: tuple[int, int]) -> list[int]:
    """Compute the starts of tiles, spread evenly; of them, those whose middle (all but half an overlap a side) meets
    the part.
    """
    free = stop - start - side
    if free <= 0:
        return [start]
    steps = math.ceil(free / (side - overlap))
    starts = [start + free * step // steps for step in range(steps + 1)]
    half = overlap / 2
    return [
        s for s in starts if (s == starts[-1] or s + side - half > part[0]) and (s == starts[0] or s + half < part[1])
    ]


SMALL = 2.0
"""An object is small when a square of its size has fewer than this many patches of the model a side."""
GOOD = 3.0
"""Tiles are chosen so that small objects come out with this many."""
SMALL_SHARE = 0.25
"""From this share of small objects on, it pays."""
USED_UP = 0.9
"""More than this share of the model's queries in use: there may be more objects than it can point at."""
SURE = 0.25
"""Candidates that score lower say nothing about sizes and queries, however low the threshold is."""
BELIEVED = 0.5
"""From this presence on, a concept of which no instance is seen is looked for in parts."""
LARGE = 2.0
"""Images (or parts) at least this many times as long as the model's input may hide what the model believes in."""
ENLARGE = 2.0
"""Tiles are shown at most this many times as large as they are."""
WORTH = 0.75
"""Tiles longer than this share of what was looked at would show hardly more."""
LEAST_OVERLAP, MOST_OVERLAP = 0.25, 0.5
"""Of neighboring tiles, as a share of their side."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """Tiles of about `side` pixels of the image, with an overlap that holds objects of `reach` pixels."""

    side: float
    reach: float = 0.0


def wish_of(view: View, question: Question, *, whole: bool) -> Wish | None:
    """Choose the tiles that a view calls for: its objects are small, or too many, or believed in and not seen, or
    all are wanted.

    Args:
        view: what was seen.
        question: its threshold, and whether tiles are wanted at all.
        whole: the view is of the whole image (or region): only there an assumed presence holds.
    """
    if question.tiles == "never":
        return None
    segmenter, detection = view.segmenter, view.detection
    assumed = question.assume_present and whole
    belief, least = 1.0 if assumed else detection.presence, max(question.threshold, SURE)
    boxes = np.array([c.box for c in detection.kept if belief * c.object_score > least]).reshape(-1, 4)
    extent = boxes[:, 2:] - boxes[:, :2]  # (N, 2) pixels of the image
    extent = extent[(extent > 0).all(axis=1)]  # a mask may be empty, and says nothing of sizes
    side = np.sqrt(extent.prod(axis=1))
    small = np.array([view.seen_side(c) < SMALL * segmenter.patch for c in side], dtype=bool)
    wishes: list[Wish] = []
    if small.any() and small.mean() >= SMALL_SHARE:
        good = float(np.median(side[small])) * segmenter.input_side / (GOOD * segmenter.patch)
        wishes.append(Wish(good, float(extent[small].max())))
    large = view.longer >= LARGE * segmenter.input_side  # in a small image what is not seen at once is not too small
    unseen = not detection.kept and (assumed or (detection.presence >= BELIEVED and large))
    if unseen or len(boxes) > USED_UP * segmenter.queries:
        wishes.append(Wish(view.longer / 2))
    if question.tiles == "always":  # step by step, so that objects of every size are large in some view
        return Wish(view.longer / 2, max((wish.reach for wish in wishes), default=0.0))
    return finest(wishes) if wishes else None


def finest(wishes: Sequence[Wish]) -> Wish:
    """One wish that fulfils all of them (at least one)."""
    return Wish(min(wish.side for wish in wishes), max(wish.reach for wish in wishes))


def tiles_for(
    wishes: Mapping[Window, Wish], image: Window, segmenter: ModelInfo, room: int
) -> dict[Window, list[Window]]:
    """At most `room` tiles, each with the windows that called for it; windows that tiles would hardly enlarge get none.

    They are tiles of the whole image (or region), with sides that are the model's own, times or divided by the square
    root of 2 as often as needed: so neighboring windows, and other questions, meet in the same ones.
    """
    coarser = 0
    while True:
        sides: dict[int, list[Window]] = {}
        for window, wish in wishes.items():
            side = _side(wish, image, segmenter, coarser)
            if side <= WORTH * max(window[2] - window[0], window[3] - window[1]):
                sides.setdefault(side, []).append(window)
        tiles: dict[Window, list[Window]] = {}
        for side, windows in sides.items():
            overlap = _overlap(side, max(wishes[window].reach for window in windows), segmenter)
            for window in windows:
                for tile in grid(image, side, overlap, window):
                    tiles.setdefault(tile, []).append(window)
        if len(tiles) <= room:
            return tiles
        _log.warning("%d more tiles are too many: larger ones, which show less, are looked at", len(tiles))
        coarser += 1


def _side(wish: Wish, image: Window, segmenter: ModelInfo, coarser: int) -> int:
    """Side of tiles in pixels of the image, `coarser` steps over what was wished for."""
    wanted = round(2 * math.log2(wish.side / segmenter.input_side))
    shorter = min(image[2] - image[0], image[3] - image[1])
    stretched = math.floor(2 * math.log2(2 * shorter / segmenter.input_side))  # longer tiles would be over 2:1
    step = max(min(wanted, stretched), math.ceil(-2 * math.log2(ENLARGE))) + coarser
    return max(round(segmenter.input_side * 2 ** (step / 2)), 1)


def _overlap(side: int, reach: float, segmenter: ModelInfo) -> int:
    """Pixels that neighbors share, in eighths of a tile: an object of `reach` pixels is whole in one of them."""
    margins = 2 * math.ceil(segmenter.patch / 2 * side / segmenter.input_side)
    eighths = math.ceil(8 * (reach + margins + 1) / side)
    return math.ceil(side * min(max(eighths / 8, LEAST_OVERLAP), MOST_OVERLAP))
