"""Facts about one mask that need no further look of the model."""

import math
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.masks import Box, Rle, Window
from sam3_agent.render import Mark
from sam3_agent.types import Instance
from sam3_agent.workspace.image_store import Images
from sam3_agent.workspace.mask_store import Finding, Record, Records

NAMES: tuple[str, ...] = (
    "red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown", "white", "grey", "black",
)  # fmt: skip
_INDEX = {name: index for index, name in enumerate(NAMES)}
_HUES = ((15, "red"), (42, "orange"), (68, "yellow"), (165, "green"), (195, "cyan"), (255, "blue"), (292, "purple"))
"""Upper hue in degrees -> name; then pink up to 345, then red again."""


@dataclass(frozen=True, slots=True)
class ColorShare:
    """One color and the share of the pixels that have it, 0-1."""

    name: str
    share: float


def dominant_colors(
    pixels: NDArray[np.uint8], *, at_most: int = 3, least_share: float = 0.05
) -> tuple[ColorShare, ...]:
    """Name the colors of (N, 3) RGB pixels, largest share first; colors below `least_share` are left out."""
    if len(pixels) == 0:
        return ()
    counts = np.bincount(color_index(pixels), minlength=len(NAMES))
    order = np.argsort(-counts, kind="stable")[:at_most]
    shares = counts / len(pixels)
    return tuple(ColorShare(NAMES[int(i)], round(float(shares[i]), 2)) for i in order if shares[i] >= least_share)


def color_index(pixels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """(N,) index into NAMES of each of (N, 3) RGB pixels, by hue, saturation, value with a few human corrections."""
    hue, saturation, value = _hsv(pixels)
    result = np.full(len(pixels), _INDEX["red"], dtype=np.intp)
    lower = 15.0
    for upper, name in _HUES[1:]:
        result[(hue >= lower) & (hue < upper)] = _INDEX[name]
        lower = float(upper)
    result[(hue >= lower) & (hue < 345)] = _INDEX["pink"]
    result[(hue >= lower) & (hue < 345) & (value < np.where(hue < 320, 0.6, 0.5))] = _INDEX["purple"]
    reddish = (hue < 15) | (hue >= 345)
    result[reddish & (saturation < 0.6) & (value > 0.75)] = _INDEX["pink"]
    earthy = (hue < 45) & (saturation > 0.25) & (value >= 0.2)
    result[earthy & (value < 0.68) & ~(reddish & (saturation > 0.7))] = _INDEX["brown"]
    result[earthy & (hue >= 15) & (saturation < 0.45) & (value < 0.9)] = _INDEX["brown"]
    result[(hue < 15) & (value < 0.42) & (saturation > 0.25)] = _INDEX["brown"]
    dull = (saturation < 0.12) | ((saturation < 0.2) & (value < 0.5))
    result[dull] = _INDEX["grey"]
    result[dull & (value > 0.78)] = _INDEX["white"]
    result[(value < 0.2) | (dull & (value < 0.25))] = _INDEX["black"]
    return result


def _hsv(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Hue in degrees 0-360, saturation and value 0-1, each (N,)."""
    rgb = pixels.astype(np.float32) / 255
    red, green, blue = rgb[:, 0], rgb[:, 1], rgb[:, 2]
    value = rgb.max(axis=1)
    chroma = value - rgb.min(axis=1)
    safe = np.where(chroma > 0, chroma, 1)
    hue = np.where(
        value == red,
        ((green - blue) / safe) % 6,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    saturation = np.where(value > 0, chroma / np.where(value > 0, value, 1), 0)
    return (hue * 60).astype(np.float32), saturation.astype(np.float32), value


SAME_OBJECT = 0.7
"""Masks that overlap more than this (IoU) are the same object found twice."""


STRAY = 0.05
"""From this share on, pieces apart from the main one or outside of the box say that a mask has leaked: with the tiny
model 13.8 % of the masks in crowded scenes have more outside, and nearly none of the good ones have."""
JUNK = 0.5
"""A near miss with more than this share outside of its box is no object: its mask is mostly something else's."""
_MARGIN = 0.1
"""A box is grown by this share of its sides before anything counts as outside: boxes are that exact."""
SAME_BOX = 0.3
"""Boxes of one object overlap at least this much (IoU), even where one of its masks has leaked."""
_GRID = 64
"""A mask is looked at on at most this many rows and columns of its box."""
_FEW_PIXELS = 12
"""Sampled pixels from which on the edge of a mask is left out: shares of fewer would be chance (a guess, not tuned)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Geometry, colors and scores of one mask."""

    phrase: str
    """Phrase that found it, or the way it was combined."""
    center: tuple[float, float]
    """Center of its box, pixels."""
    area: int
    """Pixels."""
    area_share: float
    """Of the whole image, 0-1."""
    colors: tuple[ColorShare, ...]
    """Largest share first; measured away from the edge of the mask."""
    concept_scores: dict[str, float]
    """Phrase asked on this image -> best score of this same object under it."""
    part_shares: tuple[float, ...] = (1.0,)
    """Of its connected parts in its area, largest first."""
    outside: float = 0.0
    """Share of it that lies outside of its own box, grown by a tenth: what has leaked onto something else."""
    at_border: bool = False
    """Its main part touches the border of the image, so that it may go on outside."""

    @property
    def is_clean(self) -> bool:
        """Whether its area and place can be trusted: nearly all of it is one part within its own box."""
        return self.outside < STRAY and sum(self.part_shares[1:]) < STRAY


def center_of(box: Box) -> tuple[float, float]:
    """The center of an xyxy box."""
    return ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def colors_of(pixels: NDArray[np.uint8], instance: Instance) -> tuple[ColorShare, ...]:
    """Dominant colors of the inner pixels of a mask in an (H, W, 3) image."""
    rows, columns = sample_grid(instance.rle)
    if rows.size == 0:
        return ()
    inside = masks.sample(instance.rle, rows, columns)  # (rows, columns)
    eroded = _erode(inside)
    chosen = next(m for m in (_erode(eroded), eroded, inside) if m.sum() >= min(_FEW_PIXELS, int(inside.sum())))
    return dominant_colors(pixels[np.ix_(rows, columns)][chosen])


class Colors:
    """Dominant colors of masks, measured once. Safe to call from several threads."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Rle, tuple[ColorShare, ...]]] = {}
        self._lock = threading.Lock()

    def of(self, record: Record, images: Images) -> tuple[ColorShare, ...]:
        """Dominant colors of a mask on an open image; one object that was found by several calls has one entry."""
        colors = self._known.get(record.image_id, {}).get(record.instance.rle)
        if colors is None:
            colors = colors_of(images.pixels(record.image_id), record.instance)
            with self._lock:
                self._known.setdefault(record.image_id, {})[record.instance.rle] = colors
        return colors

    def forget(self, image_id: str) -> None:
        """Drop the colors of an image's masks."""
        with self._lock:
            self._known.pop(image_id, None)


def sample_grid(rle: Rle) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of a regular grid over the tight box of a mask; both empty for an empty mask."""
    x0, y0, x1, y1 = (int(v) for v in masks.box(rle))
    return _spread(y0, y1), _spread(x0, x1)


def _spread(start: int, stop: int) -> NDArray[np.intp]:
    count = min(stop - start, _GRID)
    if count <= 0:
        return np.zeros(0, dtype=np.intp)
    return (start + (np.arange(count) + 0.5) * (stop - start) / count).astype(np.intp)


def _erode(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the pixels that touch the outside, of which the border of the array is part."""
    padded = np.pad(mask, 1)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


ONE_LABEL = 0.9
"""Masks that overlap more than this (IoU) share one outline and one label in a picture."""


def concept_scores(wanted: Sequence[Record], known: Records) -> dict[str, dict[str, float]]:
    """Mask id -> phrase asked on the image -> best score that this same object has under it."""
    result: dict[str, dict[str, float]] = {}
    for image_id in {record.image_id for record in wanted}:
        mine = [record for record in wanted if record.image_id == image_id]
        asked = [record for record in known.of_image(image_id) if record.asked is not None]
        same = same_objects([r.instance for r in mine], [r.instance for r in asked])  # (mine, asked)
        for row, record in enumerate(mine):
            best: dict[str, float] = {}
            for column in np.flatnonzero(same[row]):
                other = asked[column]
                phrase = other.asked or ""
                best[phrase] = max(best.get(phrase, 0.0), other.instance.score)
            result[record.instance.id] = dict(sorted(best.items(), key=itemgetter(1), reverse=True))
    return result


def facts_of(record: Record, colors: tuple[ColorShare, ...], scores: dict[str, float]) -> Facts:
    """Gather what is known of one mask."""
    instance = record.instance
    height, width = instance.rle.size
    parts = masks.parts_of(instance.rle)
    area = sum(parts.areas)
    return Facts(
        record.phrase,
        center_of(instance.box),
        area,
        area / (height * width),
        colors,
        scores,
        tuple(part / area for part in parts.areas),
        outside_share(instance),
        min(parts.main_box[:2]) <= 0 or parts.main_box[2] >= width or parts.main_box[3] >= height,
    )


def outside_share(instance: Instance) -> float:
    """Share of a mask, 0-1, that lies outside of its own box grown by a tenth; 0 for an empty mask."""
    x0, y0, x1, y1 = masks.box(instance.rle)
    window = grown_box(instance.box)
    if x0 >= window[0] and y0 >= window[1] and x1 <= window[2] and y1 <= window[3]:
        return 0.0
    return 1 - masks.area_in(instance.rle, window) / masks.area(instance.rle)


def grown_box(box: Box) -> Window:
    """Whole pixels of a box with a margin, in which all of its object should lie."""
    x0, y0, x1, y1 = box
    margin = _MARGIN * max(x1 - x0, y1 - y0)
    return (math.floor(x0 - margin), math.floor(y0 - margin), math.ceil(x1 + margin), math.ceil(y1 + margin))


def boxed_in(findings: Sequence[Finding], around: Box | None) -> list[Finding]:
    """Give masks of the object in the box `around` the tight box of what they have there: the rest has leaked.

    So its share is told, in_box cuts it off, and labels stay on the object. Masks with nothing there stay as they are.
    """
    window = grown_box(around) if around is not None else None
    return [
        replace(each, box=masks.box(masks.clipped(each.rle, window)))
        if window is not None and masks.area_in(each.rle, window) > 0
        else each
        for each in findings
    ]


def same_objects(
    first: Sequence[Instance], second: Sequence[Instance], least: float = SAME_OBJECT
) -> NDArray[np.bool_]:
    """(first, second) whether two masks are one object found twice: masks overlap by more than `least`, boxes agree."""
    overlap = masks.iou([i.rle for i in first], [i.rle for i in second]) > least
    for row, column in np.argwhere(overlap).tolist():
        one, other = first[int(row)], second[int(column)]
        overlap[row, column] = one.box == other.box or _box_iou(one.box, other.box) >= SAME_BOX
    return overlap


def _box_iou(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / total if total > 0 else 1.0


def marks_of(records: Sequence[Record], earlier: Collection[str] = ()) -> list[Mark]:
    """Marks to draw; an object found twice gets one mark, labeled "m2=m7". Labels leave out a workspace's suffix.

    Ids in `earlier` were not found by this call: their marks are faint, and of several of one object one is named.
    """
    # What is new speaks for what was there, a kept mask for its near-miss twins.
    ordered = sorted(records, key=lambda record: (record.instance.id in earlier, not record.kept))
    instances = [record.instance for record in ordered]
    same = same_objects(instances, instances, ONE_LABEL)
    marks: list[Mark] = []
    done: set[int] = set()
    for index, record in enumerate(ordered):
        if index in done:
            continue
        twins = [int(t) for t in np.flatnonzero(same[index]) if t > index and t not in done]
        done.update(twins)
        names = [record.instance.id, *(ordered[t].instance.id for t in twins)]
        old = [name for name in names if name in earlier]
        label = "=".join(name.partition("-")[0] for name in (*(n for n in names if n not in earlier), *old[:1]))
        dashed = not any(ordered[i].kept for i in (index, *twins))
        faint = len(old) == len(names)
        marks.append(Mark(label, record.instance.rle, record.instance.box, dashed=dashed, faint=faint))
    return marks
