"""Masklets: the masks of one object by frame, out of the volume that a case keeps."""

from collections.abc import Sequence

from sam3_agent import masks
from sam3_agent.masks import Rle

Masklet = dict[int, Rle]
"""Frame -> mask; frames without a pixel are left out."""


def masklet_of(volume: Rle, frames: int) -> Masklet:
    """The masks of a volume by frame."""
    return {index: rle for index, rle in enumerate(masks.split(volume, frames)) if masks.area(rle)}


def volume_of(masklet: Masklet, frames: int, size: tuple[int, int]) -> Rle:
    """The volume of a masklet in a video of so many frames of (height, width)."""
    nothing = masks.empty(*size)
    return masks.beside([masklet.get(index, nothing) for index in range(frames)])


def union_of(volumes: Sequence[Rle], frames: int) -> list[Rle | None]:
    """All volumes together, frame by frame; None where none has a pixel."""
    if not volumes:
        return [None] * frames
    together = masklet_of(masks.union(volumes), frames)
    return [together.get(index) for index in range(frames)]
