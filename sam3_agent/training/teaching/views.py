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
PASTED = 3
"""Objects at most that are pasted into one image."""
PASTED_SIZE = (0.6, 1.5)
"""Lowest and highest scale of a pasted object, of its share of its own image."""
PLACES = 8
"""Tried for a pasted object; the one that hides least of what is marked is taken."""
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


def views_of(
    image: TeachingImage,
    count: int,
    rng: np.random.Generator,
    *,
    donors: Sequence[TeachingImage] = (),
    pastes: int = 0,
    shapes: bool = False,
) -> Iterator[View]:
    """The image as it is, then `count` - 1 crops of it, `pastes` crops with objects of donors pasted into it, then one
    of every look-alike that no object lies on.
    """
    height, width = image.pixels.shape[:2]
    yield view(image, (0, 0, width, height), shapes=shapes)
    for _ in range(count - 1):
        yield _changed(view(image, _crop(width, height, rng), shapes=shapes), rng)
    for _ in range(pastes if any(donor.objects for donor in donors) else 0):
        changed = pasted(image, donors, rng)
        yield _changed(view(changed, _crop(width, height, rng), shapes=shapes), rng)
    for rle in image.lookalikes:
        window = surroundings(rle)
        if window is not None and not any(masks.area_in(each, window) for each in image.objects):
            yield _changed(view(image, window, shapes=shapes), rng)


def pasted(image: TeachingImage, donors: Sequence[TeachingImage], rng: np.random.Generator) -> TeachingImage:
    """The image with 1 to PASTED objects of the donors in it, scaled and mirrored, for surroundings that none has had.

    "Simple copy-paste" (arXiv 2012.07177) within the images of one fold. Look-alikes are left out.
    """
    pixels, kept = image.pixels.copy(), [masks.decode(rle) for rle in image.objects]
    having = [donor for donor in donors if donor.objects]
    for _ in range(int(rng.integers(1, PASTED + 1))):
        donor = having[int(rng.integers(len(having)))]
        cut = _cutout(donor, donor.objects[int(rng.integers(len(donor.objects)))], pixels.shape[:2], rng)
        if cut is None:
            continue
        colors, shape = cut
        height, width = shape.shape
        room_y: int = pixels.shape[0] - height
        room_x: int = pixels.shape[1] - width
        hidden = np.zeros(pixels.shape[:2], bool) if not kept else np.any(kept, axis=0)
        places = [(int(rng.integers(room_y + 1)), int(rng.integers(room_x + 1))) for _ in range(PLACES)]
        y, x = min(places, key=lambda at: (hidden[at[0] : at[0] + height, at[1] : at[1] + width] & shape).sum())
        pixels[y : y + height, x : x + width][shape] = colors[shape]
        placed = np.zeros(pixels.shape[:2], bool)
        placed[y : y + height, x : x + width] = shape
        kept = [*(mask & ~placed for mask in kept), placed]
    seen = [masks.encode(mask) for mask in kept if mask.sum() >= LEAST_PIXELS]
    return TeachingImage(pixels, tuple(seen), name=image.name)


def _cutout(
    donor: TeachingImage, rle: Rle, room: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]] | None:
    """Pixels and shape of an object, (h, w, 3) and (h, w), scaled, mirrored and no larger than half of the room."""
    if masks.area(rle) < LEAST_PIXELS:
        return None
    x0, y0, x1, y1 = (round(value) for value in masks.box(rle))
    share = (room[0] * room[1] / (rle.size[0] * rle.size[1])) ** 0.5
    scale = min(share * rng.uniform(*PASTED_SIZE), 0.5 * room[0] / (y1 - y0), 0.5 * room[1] / (x1 - x0))
    size = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    shape = Image.fromarray(masks.decode(rle)[y0:y1, x0:x1].astype(np.uint8) * 255)
    colors = Image.fromarray(np.ascontiguousarray(donor.pixels[y0:y1, x0:x1]))
    solid = np.asarray(shape.resize(size, Image.Resampling.BILINEAR)) > 127
    scaled = np.asarray(colors.resize(size, Image.Resampling.BILINEAR))
    if rng.random() < 0.5:
        solid, scaled = solid[:, ::-1], scaled[:, ::-1]
    return (scaled, solid) if solid.sum() >= LEAST_PIXELS else None


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
