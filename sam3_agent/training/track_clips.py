"""Clips for the tracker run: a few objects of one clip, with how much of each cell they cover in every frame."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sam3_agent.scenes.video import ClipOptions, draw_clip
from sam3_agent.training.batch import shrink
from sam3_agent.training.prompts import HELD_OUT_PAIRS
from sam3_agent.training.tiny import PATCH

TRAINING = ClipOptions(
    min_side=224,
    max_side=400,
    excluded_pairs=HELD_OUT_PAIRS,
    twins=0.5,
    gaps=0.4,
    occlusions=0.4,
    cuts=0.15,
)
"""Absence decides a loop over video, so it is shown often: with exits and occlusions, half of the objects are away."""
LEAST_CELLS = 24
"""Of an object at the first frame, on the mask's grid; less is hardly an object."""
VISIBLE = 0.5
"""Share of a mask's cell that makes it part of the object."""


@dataclass(frozen=True, slots=True)
class TrackBatch:
    """P objects that are all there at the first of T frames of a clip."""

    pixels: Tensor
    """(T, 3, S, S) in [-1, 1]"""
    cover: Tensor
    """(T, P, G, G) share of each cell that the visible object covers."""
    nouns: tuple[str, ...] = ()
    """(P,)"""

    @property
    def there(self) -> Tensor:
        """(T, P) bool, whether anything of the object is seen."""
        return (self.cover > VISIBLE).flatten(2).any(2)


@dataclass(frozen=True, slots=True)
class View:
    """The view of clips: squashed to a square of `image_size`, of which a window of `window` pixels is kept."""

    image_size: int
    grid: int
    """Cells of a mask along the side of the square."""
    window: int
    """Equal to `image_size` for the whole picture."""


def draw_tracks(seed: int, frames: int, most: int, view: View, options: ClipOptions = TRAINING) -> TrackBatch:
    """A clip with up to `most` of its objects; equal arguments give equal numbers."""
    rng = np.random.default_rng(seed)
    while True:
        clip = draw_clip(seed, frames, options=options)
        pixels = np.stack([_squashed(frame, view.image_size) for frame in clip.frames])  # (T, S, S, 3)
        cover = np.stack(
            [[shrink(owner == number + 1, view.grid) for number in range(len(clip.objects))] for owner in clip.owner]
        )  # (T, N, G, G)
        if view.window < view.image_size:
            pixels, cover = _windowed(pixels, cover, view, rng)
        first = np.flatnonzero((cover[0] > VISIBLE).sum((1, 2)) >= LEAST_CELLS)
        if len(first):
            chosen: list[int] = rng.permutation(first)[:most].tolist()
            nouns = tuple(clip.objects[number].noun for number in chosen)
            return TrackBatch(_tensor(pixels).permute(0, 3, 1, 2) / 127.5 - 1.0, _tensor(cover[:, chosen]), nouns)
        seed += 1


def _windowed(
    pixels: NDArray[np.float32], cover: NDArray[np.float32], view: View, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The same window of every frame, around a place that some object covers at first; it lies on whole patches."""
    rows, columns = np.nonzero((cover[0] > VISIBLE).any(0))
    if not len(rows):
        rows, columns = np.array([view.grid // 2]), np.array([view.grid // 2])
    pick = int(rng.integers(len(rows)))
    cell, patch = view.image_size // view.grid, PATCH
    last = (view.image_size - view.window) // patch
    top, left = (
        int(
            np.clip((int(place[pick]) * cell - view.window / 2 + rng.uniform(-0.2, 0.2) * view.window) / patch, 0, last)
        )
        * patch
        for place in (rows, columns)
    )
    in_pixels = (slice(top, top + view.window), slice(left, left + view.window))
    in_cells = tuple(slice(part.start // cell, part.stop // cell) for part in in_pixels)
    return pixels[:, in_pixels[0], in_pixels[1]], cover[:, :, in_cells[0], in_cells[1]]


def _squashed(frame: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """(S, S, 3), squashed to a square as SAM 3's preprocessing does."""
    return np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BILINEAR), dtype=np.float32)


def _tensor(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))  # pyright: ignore[reportUnknownMemberType]
