"""Truth about a procedural video: masks as runs, areas and boxes of every object in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.scenes.video.clip import Clip, ClipObject, Owner


@dataclass(frozen=True, slots=True, eq=False)
class VideoTruth:
    """Visible part of every object, without the images; object k has id k + 1.

    `masklets[k][t]` is the mask of object k in frame t, None where nothing of it is seen; `areas` (T, N) pixels;
    `boxes` (T, N, 4) xyxy pixels, zeros where nothing is seen; `whole` (T, N) pixels of complete silhouettes.
    """

    width: int
    height: int
    objects: tuple[ClipObject, ...]
    cuts: tuple[int, ...]
    masklets: tuple[tuple[Rle | None, ...], ...]
    areas: NDArray[np.int64]
    boxes: NDArray[np.float64]
    whole: NDArray[np.int64]

    @property
    def length(self) -> int:
        """Count the frames."""
        return self.areas.shape[0]

    @property
    def shares(self) -> NDArray[np.float64]:
        """(T, N) visible share of the complete silhouette, 0 where the object is away."""
        return self.areas / np.maximum(self.whole, 1)


@dataclass(slots=True)
class TruthBuilder:
    """Truth that grows frame by frame, so that no frame need be kept."""

    objects: tuple[ClipObject, ...]
    cuts: tuple[int, ...]
    _rles: list[list[Rle | None]] = field(default_factory=list[list[Rle | None]])
    _boxes: list[NDArray[np.float64]] = field(default_factory=list[NDArray[np.float64]])
    _whole: list[NDArray[np.int64]] = field(default_factory=list[NDArray[np.int64]])
    _size: tuple[int, int] = (0, 0)

    def add(self, owner: Owner, whole: NDArray[np.int64]) -> None:
        """Take in the owner map (H, W) and the silhouettes (N,) of the next frame."""
        self._size = (owner.shape[0], owner.shape[1])
        present = set(np.unique(owner).tolist())
        row = [masks.encode(owner == thing.id) if thing.id in present else None for thing in self.objects]
        boxes = [(0.0, 0.0, 0.0, 0.0) if rle is None else masks.box(rle) for rle in row]
        self._rles.append(row)
        self._boxes.append(np.array(boxes, dtype=np.float64).reshape(-1, 4))
        self._whole.append(whole)

    def finish(self) -> VideoTruth:
        """Give the truth about all frames so far, at least one."""
        areas = [[0 if rle is None else masks.area(rle) for rle in row] for row in self._rles]
        masklets = tuple(tuple(row[number] for row in self._rles) for number in range(len(self.objects)))
        return VideoTruth(
            width=self._size[1],
            height=self._size[0],
            objects=self.objects,
            cuts=self.cuts,
            masklets=masklets,
            areas=np.array(areas, dtype=np.int64).reshape(len(self._rles), -1),
            boxes=np.stack(self._boxes),
            whole=np.stack(self._whole),
        )


def truth_of(clip: Clip) -> VideoTruth:
    """Collect the truth about a clip that is drawn already."""
    builder = TruthBuilder(clip.objects, clip.cuts)
    for owner, whole in zip(clip.owner, clip.whole, strict=True):
        builder.add(owner, whole)
    return builder.finish()


def union_of(truth: VideoTruth, ids: Sequence[int]) -> tuple[Rle | None, ...]:
    """Unite, frame by frame (T,), the pixels of any of the objects `ids` in every frame; None where none is seen."""
    return tuple(_union([truth.masklets[number - 1][frame] for number in ids]) for frame in range(truth.length))


def _union(rles: Sequence[Rle | None]) -> Rle | None:
    seen = [rle for rle in rles if rle is not None]
    return masks.union(seen) if seen else None
