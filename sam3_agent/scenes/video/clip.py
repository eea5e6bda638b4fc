"""A procedural clip: moving objects with the exact truth about every pixel of every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent.scenes.vocabulary import SUPERCATEGORY
from sam3_agent.scenes.video.options import MOST_FRAMES, ClipOptions
from sam3_agent.scenes.video.staging import Stage, draw_frame, draw_stage

FIRST_TRAINING_SEED = 1 << 40
"""Clips of smaller seeds are kept for evaluation; nothing may ever be trained on them."""
Owner = NDArray[np.uint8]
"""(H, W) the id of the object that is seen at each pixel, 0 = background."""


@dataclass(frozen=True, slots=True)
class ClipObject:
    """One object: its words, which hold in every frame but for `colors`, one a frame.

    `role` is what its script has it do; `twin_of` the id of an object that looks exactly the same, or None.
    """

    id: int
    noun: str
    pattern: str
    supercategory: str
    colors: tuple[str, ...]
    role: str
    twin_of: int | None

    @property
    def color(self) -> str:
        """The color at the first frame."""
        return self.colors[0]


@dataclass(frozen=True, slots=True, eq=False)
class ClipFrame:
    """One frame, `image` (H, W, 3) uint8 RGB, with its `owner` map and `whole` (N,), see `Clip.whole`."""

    image: NDArray[np.uint8]
    owner: Owner
    whole: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A whole clip with its truth; object k has id k + 1.

    `frames` (T, H, W, 3) uint8 RGB; `owner` (T, H, W) uint8, the id of the object seen, 0 = background; `whole` (T, N)
    pixels of each complete silhouette, hidden and cut-off parts included, 0 where the object is not in the scene;
    `cuts` the first frames of later shots.
    """

    seed: int
    frames: NDArray[np.uint8]
    owner: NDArray[np.uint8]
    whole: NDArray[np.int64]
    objects: tuple[ClipObject, ...]
    cuts: tuple[int, ...]

    @property
    def masks(self) -> NDArray[np.bool_]:
        """(T, N, H, W) the visible pixels of every object, made anew at each call."""
        ids = np.arange(1, len(self.objects) + 1, dtype=np.uint8)
        return self.owner[:, None] == ids[None, :, None, None]

    @property
    def areas(self) -> NDArray[np.int64]:
        """(T, N) visible pixels."""
        return np.stack([areas_in(owner, len(self.objects)) for owner in self.owner])

    @property
    def visibility(self) -> NDArray[np.float64]:
        """(T, N) visible share of the complete silhouette, 0 where the object is away."""
        return self.areas / np.maximum(self.whole, 1)


def areas_in(owner: Owner, objects: int) -> NDArray[np.int64]:
    """(N,) visible pixels of each object in one owner map."""
    return np.bincount(owner.ravel(), minlength=objects + 1)[1:].astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ClipPlan:
    """A clip that is drawn frame by frame: any frame at any time, so that long videos need no memory."""

    seed: int
    width: int
    height: int
    length: int
    objects: tuple[ClipObject, ...]
    cuts: tuple[int, ...]
    stage: Stage

    def frame(self, index: int) -> ClipFrame:
        """Frame `index`, from 0; raises IndexError beyond the last."""
        if not 0 <= index < self.length:
            raise IndexError(f"expected a frame from 0 to {self.length - 1}, got {index}")
        return ClipFrame(*draw_frame(self.stage, index))

    def frames(self) -> Iterator[ClipFrame]:
        """All frames in order."""
        return (self.frame(index) for index in range(self.length))


def plan_clip(
    seed: int,
    frames: int = 8,
    size: tuple[int, int] | None = None,
    options: ClipOptions = ClipOptions(),  # noqa: B008
) -> ClipPlan:
    """The clip of `seed`, not drawn yet; `size` is (width, height), None for a random one within the options.

    Raises ValueError for a number of frames or a size that cannot be drawn.
    """
    if not 1 <= frames <= MOST_FRAMES:
        raise ValueError(f"expected 1 to {MOST_FRAMES} frames, got {frames}")
    stage = draw_stage(seed, frames, size, options)
    objects = tuple(_object(number, stage) for number in range(len(stage.cast.characters)))
    return ClipPlan(seed, stage.width, stage.height, frames, objects, stage.cuts, stage)


def draw_clip(
    seed: int,
    frames: int = 8,
    size: tuple[int, int] | None = None,
    options: ClipOptions = ClipOptions(),  # noqa: B008
) -> Clip:
    """The whole clip of `seed`: the same arguments give the same bytes (see `plan_clip`)."""
    plan = plan_clip(seed, frames, size, options)
    images = np.empty((frames, plan.height, plan.width, 3), dtype=np.uint8)
    owner = np.empty((frames, plan.height, plan.width), dtype=np.uint8)
    whole = np.empty((frames, len(plan.objects)), dtype=np.int64)
    for index, drawn in enumerate(plan.frames()):
        images[index], owner[index], whole[index] = drawn.image, drawn.owner, drawn.whole
    return Clip(seed, images, owner, whole, plan.objects, plan.cuts)


def _object(number: int, stage: Stage) -> ClipObject:
    """The words of object `number`; while a color fades into another, the nearer of the two counts."""
    character, part = stage.cast.characters[number], stage.parts[number]
    second = part.second_color or character.colour
    colors = tuple(second if share > 0.5 else character.colour for share in part.blend.tolist())
    model = stage.cast.twin_of[number]
    return ClipObject(
        id=number + 1,
        noun=character.noun,
        pattern=character.pattern,
        supercategory=SUPERCATEGORY[character.noun],
        colors=colors,
        role=part.role,
        twin_of=None if model is None else model + 1,
    )
