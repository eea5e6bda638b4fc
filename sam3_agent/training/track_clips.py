"""Clips for the tracker run, encoded once: ViT features and masks on disk, of which every step takes another part.

ViT and neck are frozen, so that a clip's features never change; encoding costs a clip as much as several steps on it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from sam3_agent.model.tracker import Part
from sam3_agent.scenes.video import Clip, ClipOptions, draw_clip
from sam3_agent.training.batch import shrink
from sam3_agent.training.prompts import HELD_OUT_PAIRS
from sam3_agent.training.steps import FIRST_TRAINING_SEED

TRAINING = ClipOptions(
    min_side=224,
    max_side=448,
    excluded_pairs=HELD_OUT_PAIRS,
    twins=0.5,
    gaps=0.25,
    occlusions=0.5,
    cuts=0.15,
)
"""Absence decides a loop over video, so it is shown often: with exits and occlusions, half of the objects are away."""
LEAST_CELLS = 12
"""Of an object at the first frame, on the mask's grid; less is hardly an object."""
VISIBLE = 0.5
"""Share of a mask's cell that makes it part of the object."""
FINE = 4
"""Cells of a mask per cell of the ViT's grid, along a side."""
MARGIN = 1
"""Cells around a part that the neck's convolutions look at."""
LEAST_PIXELS = 40
"""Of an object on 224 x 224 pixels in some frame of a clip; those that are never seen teach nothing."""


@dataclass(frozen=True, slots=True)
class EncodedClip:
    """T frames, the frozen ViT's answer to each, and how much of each cell every object covers."""

    grid: Tensor
    """(T, D, g, g) float16 hidden states."""
    cover: Tensor
    """(T, N, 4g, 4g) uint8, 255 for a cell that the visible object covers whole."""


@dataclass(frozen=True, slots=True)
class TrackBatch:
    """P objects that are all there at the first of T frames."""

    grid: Tensor
    """(T, D, h, w) hidden states of the part, with a margin where the image has one."""
    cover: Tensor
    """(T, P, 4s, 4s) share of each cell that the visible object covers, within the part."""
    part: Part

    @property
    def there(self) -> Tensor:
        """(T, P) bool, whether anything of the object is seen."""
        return (self.cover > VISIBLE).flatten(2).any(2)


class ClipStore:
    """The encoded clips of a run, by number; each is made at first use and kept in a folder."""

    def __init__(self, backbone: nn.Module, folder: Path, frames: int, seed: int, size: int) -> None:
        """Clips of `frames` frames, squashed to `size` pixels; equal arguments give equal clips."""
        self._backbone, self._folder, self._frames = backbone, folder, frames
        self._seed, self._size = seed, size

    def clip(self, number: int) -> EncodedClip:
        """The clip of that number."""
        path = self._folder / f"{number}.pt"
        if not path.exists():
            rng = np.random.default_rng([self._seed, number])
            drawn = draw_clip(int(rng.integers(FIRST_TRAINING_SEED, 1 << 62)), self._frames, options=TRAINING)
            made = encode_clip(self._backbone, drawn, self._size)
            self._folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            torch.save((made.grid, made.cover), part)
            part.replace(path)
        return EncodedClip(*torch.load(path, weights_only=True))


@torch.no_grad()
def encode_clip(backbone: nn.Module, clip: Clip, size: int) -> EncodedClip:
    """Squash and encode every frame; objects that are hardly ever seen are left out."""
    device = next(backbone.parameters()).device
    scale = clip.owner[0].size / size**2
    seen = [thing.id for thing in clip.objects if (clip.owner == thing.id).sum((1, 2)).max() >= LEAST_PIXELS * scale]
    states: list[Tensor] = []
    for frame in clip.frames:
        pixels = _tensor(_squashed(frame, size)).permute(2, 0, 1)[None] / 127.5 - 1.0
        states.append(cast(Any, backbone)(pixels.to(device)).last_hidden_state[0].half().cpu())  # (g * g, D)
    side = round(states[0].shape[0] ** 0.5)
    grid: Tensor = cast(Any, torch.stack(states).transpose(1, 2)).unflatten(2, (side, side))  # (T, D, g, g)
    cover = np.zeros((len(clip.frames), len(seen), side * FINE, side * FINE), dtype=np.uint8)
    for frame, owner in enumerate(clip.owner):
        for place, number in enumerate(seen):
            cover[frame, place] = np.rint(shrink(owner == number, side * FINE) * 255)
    return EncodedClip(grid, torch.from_numpy(cover))  # pyright: ignore[reportUnknownMemberType]


def draw_lesson(clip: EncodedClip, frames: int, most: int, side: int, rng: np.random.Generator) -> TrackBatch | None:
    """Up to `most` objects over so many frames of a clip, on a part of `side` cells around one of them.

    Frames are taken one by one or every second one, forwards or backwards. None where no object is there at the first.
    """
    total, whole = len(clip.grid), clip.grid.shape[-1]
    stride = 2 if 2 * (frames - 1) < total and rng.random() < FAST else 1
    reach = stride * (frames - 1)
    first = int(rng.integers(0, max(1, total - reach)))
    order = list(range(first, min(total, first + reach + 1), stride))
    if rng.random() < BACKWARDS:
        order.reverse()
    cover = clip.cover[order].float() / 255.0  # (T, N, 4g, 4g)
    there = np.flatnonzero((cover[0] > VISIBLE).sum((1, 2)).numpy() >= LEAST_CELLS)
    if not len(there):
        return None
    part = _part_around((cover[0, int(rng.choice(there))] > VISIBLE).numpy(), side, whole, rng)
    rows, columns = slice(part.top, part.top + side), slice(part.left, part.left + side)
    fine = [slice(each.start * FINE, each.stop * FINE) for each in (rows, columns)]
    cover = cover[:, :, fine[0], fine[1]]
    inside = np.flatnonzero((cover[0] > VISIBLE).sum((1, 2)).numpy() >= LEAST_CELLS)
    if not len(inside):
        return None
    chosen: list[int] = rng.permutation(inside)[:most].tolist()
    around = [slice(max(0, each.start - MARGIN), each.stop + MARGIN) for each in (rows, columns)]
    return TrackBatch(clip.grid[order][:, :, around[0], around[1]].float(), cover[:, chosen].contiguous(), part)


FAST = 0.25
BACKWARDS = 0.5


def _part_around(mask: NDArray[np.bool_], side: int, whole: int, rng: np.random.Generator) -> Part:
    rows, columns = np.nonzero(mask)
    top, left = (
        int(np.clip(round(float(each.mean()) / FINE - side / 2 + rng.uniform(-0.3, 0.3) * side), 0, whole - side))
        for each in (rows, columns)
    )
    return Part(top, left, side, whole)


def _squashed(frame: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """(S, S, 3), squashed to a square as SAM 3's preprocessing does."""
    return np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BILINEAR), dtype=np.float32)


def _tensor(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))  # pyright: ignore[reportUnknownMemberType]
