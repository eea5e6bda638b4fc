"""Views of the images that a concept is taught from: crops, mirrored and recolored, with the boxes of what is there."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle, Window

SMALLEST_CROP = 0.65
"""Share of a side that a crop keeps at least: smaller ones show things larger than they will be asked for."""
VISIBLE = 0.25
"""Share of an object that must lie in a crop to be looked for there."""
LEAST_PIXELS = 16
"""Of an object in a view; less is nothing that anybody could tell."""
LOOKALIKE_MARGIN = 0.5
"""Around a look-alike, as a share of its sides: its surroundings are part of what tells it apart."""
JITTER = (("Brightness", 0.25), ("Contrast", 0.25), ("Color", 0.4))


@dataclass(frozen=True, slots=True, eq=False)
class TeachingImage:
    """An image on which every object of the concept is marked."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB"""
    objects: tuple[Rle, ...] = ()
    """None where the concept is absent."""
    lookalikes: tuple[Rle, ...] = ()
    """Objects that are known to be something else and may be taken for it."""
    name: str = ""
    """For messages."""

    @property
    def digest(self) -> bytes:
        """Of the pixels and everything that is marked."""
        marks = f"{self.pixels.shape}{len(self.objects)}" + "".join(r.counts for r in (*self.objects, *self.lookalikes))
        return hashlib.sha256(marks.encode() + np.ascontiguousarray(self.pixels).tobytes()).digest()

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise InputError(f"expected (H, W, 3) uint8 pixels, got {self.pixels.shape} {self.pixels.dtype}")
        for rle in (*self.objects, *self.lookalikes):
            if rle.size != self.pixels.shape[:2]:
                raise InputError(f"{self.name or 'an image'}: a mask of size {rle.size} on {self.pixels.shape[:2]}")


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One look at an image."""

    pixels: NDArray[np.uint8]
    """(h, w, 3) RGB"""
    boxes: NDArray[np.float32]
    """(N, 4) cxcywh, shares of the view."""
    shapes: NDArray[np.bool_] | None = None
    """(N, h, w) the objects' pixels, where they were asked for."""


def views_of(image: TeachingImage, count: int, rng: np.random.Generator, *, shapes: bool = False) -> Iterator[View]:
    """The image as it is, then `count` - 1 crops of it, then one of every look-alike that no object lies on."""
    height, width = image.pixels.shape[:2]
    yield view(image, (0, 0, width, height), shapes=shapes)
    for _ in range(count - 1):
        yield _changed(view(image, _crop(width, height, rng), shapes=shapes), rng)
    for rle in image.lookalikes:
        window = surroundings(rle)
        if window is not None and not any(masks.area_in(each, window) for each in image.objects):
            yield _changed(view(image, window, shapes=shapes), rng)


def view(image: TeachingImage, window: Window, *, shapes: bool = False) -> View:
    """The window of an image with the boxes of the objects that are to be seen in it."""
    x0, y0, x1, y1 = window
    scale = np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0], np.float64)
    seen = [rle for rle in image.objects if _visible(rle, window)]
    cut = [masks.clipped(rle, window) for rle in seen]
    rows = np.array([masks.box(rle) for rle in cut], np.float64).reshape(-1, 4)
    xyxy = (rows - np.array([x0, y0, x0, y0])) / scale  # (N, 4)
    boxes = np.concatenate([(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], axis=1)
    drawn = None
    if shapes:
        drawn = np.zeros((len(cut), y1 - y0, x1 - x0), bool)
        for place, rle in enumerate(cut):
            drawn[place] = masks.decode(rle)[y0:y1, x0:x1]
    return View(image.pixels[y0:y1, x0:x1], boxes.astype(np.float32), drawn)


def positive_boxes(images: Sequence[TeachingImage]) -> int:
    """Count the objects on all images."""
    return sum(len(image.objects) for image in images)


def _visible(rle: Rle, window: Window) -> bool:
    inside = masks.area_in(rle, window)
    return inside >= LEAST_PIXELS and inside >= VISIBLE * masks.area(rle)


def _crop(width: int, height: int, rng: np.random.Generator) -> Window:
    share = rng.uniform(SMALLEST_CROP, 1.0)
    w, h = max(1, round(width * share)), max(1, round(height * share))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    return x, y, x + w, y + h


def surroundings(rle: Rle) -> Window | None:
    """Window of the box of a mask with a margin, inside the image; None for a mask without a pixel."""
    if not masks.area(rle):
        return None
    (x0, y0, x1, y1), (height, width) = masks.box(rle), rle.size
    dx, dy = LOOKALIKE_MARGIN * (x1 - x0), LOOKALIKE_MARGIN * (y1 - y0)
    return max(0, int(x0 - dx)), max(0, int(y0 - dy)), min(width, round(x1 + dx)), min(height, round(y1 + dy))


def _changed(seen: View, rng: np.random.Generator) -> View:
    """Mirror it in half of the cases, turn it over in three of ten, and change its colors a little."""
    pixels, boxes, shapes = seen.pixels, seen.boxes.copy(), seen.shapes
    if rng.random() < 0.5:
        pixels, boxes[:, 0] = pixels[:, ::-1], 1 - boxes[:, 0]
        shapes = None if shapes is None else shapes[..., ::-1]
    if rng.random() < 0.3:
        pixels, boxes[:, 1] = pixels[::-1], 1 - boxes[:, 1]
        shapes = None if shapes is None else shapes[:, ::-1]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    for name, most in JITTER:
        picture = getattr(ImageEnhance, name)(picture).enhance(1 + rng.uniform(-most, most))
    return View(np.asarray(picture), boxes, shapes)
