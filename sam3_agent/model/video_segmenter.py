"""The seam between a model that remembers objects from frame to frame and everything above it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_agent.model.segmenter import Features
from sam3_agent.types import ClickPrompt

Logits = NDArray[np.float32]
"""(h, w) mask logits, positive inside; of a size of the model's own, not the frame's."""


class TrackMemory(Protocol):
    """The memory of one object; opaque to all but the model, of bounded size, never changed once made."""

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        ...

    def to_arrays(self) -> Mapping[str, NDArray[Any]]:
        """Arrays for a file, of which `VideoSegmenter.restore` makes the same memory again."""
        ...

    def after(self, frame: int) -> "TrackMemory":
        """The memory of an object that is not followed at present, without what no frame after this one looks at."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class TrackRequest:
    """A question about one object on one frame: find it by its memory, by clicks, by both, or take a mask of it.

    Raises:
        InputError: nothing says which object, or a mask is given together with clicks.
    """

    memory: TrackMemory | None = None
    clicks: ClickPrompt | None = None
    """Points, a box, and perhaps an earlier mask to refine, on this very frame."""
    mask: Rle | None = None
    """A mask to be taken as it is, at the size of the frame."""

    def __post_init__(self) -> None:
        """Refuse a request that asks nothing or two things."""
        if self.mask is not None and self.clicks is not None:
            raise InputError("give a mask to take as it is or clicks, not both; clicks may refine a mask of their own")
        if self.memory is None and self.clicks is None and self.mask is None:
            raise InputError("nothing says which object: give its memory, clicks or a mask")

    @property
    def given(self) -> bool:
        """Whether somebody says where the object is on this frame: such a frame is remembered as given."""
        return self.clicks is not None or self.mask is not None


@dataclass(frozen=True, slots=True, eq=False)
class TrackedMask:
    """A model's answer to a request. Its logits may be replaced before it is remembered."""

    logits: Logits
    """Negative all over where the object is not there."""
    score: float
    """Logit of the object being on the frame at all."""
    quality: float
    """Predicted IoU of the mask; 1 for one that was given."""
    token: NDArray[np.float32]
    """(C,) what a pointer to the object is made of."""
    fine: Logits | None = None
    """A mask that was given, at the size in which it is remembered."""
    binary: bool = False
    """To be remembered as 0 or 1, as masks of clicks are."""

    @property
    def present(self) -> bool:
        """Whether the object is on the frame."""
        return self.score > 0


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A mask to be remembered of one object."""

    mask: TrackedMask
    memory: TrackMemory | None = None
    """Memory so far; None for an object that begins here."""
    given: bool = False
    """A person or the detector said so, and later frames look back at it for ever."""
    rivals: str | None = None
    """Objects that share this compete: each pixel belongs to the surest of them. None competes with nobody."""


@runtime_checkable
class VideoSegmenter(Protocol):
    """A model that follows objects through the frames that it has encoded; beside `Segmenter`, whose features it reads.

    Frames of one object come in falling order or in rising order. All objects of a frame go in one call: those of equal
    memories are computed together. Safe to call from several threads.
    """

    def track(
        self, features: Features, frame: int, requests: Sequence[TrackRequest], *, reverse: bool = False
    ) -> list[TrackedMask]:
        """Find each object on a frame; one answer a request, in order. Nothing is remembered by that.

        Raises:
            InputError: a point or box lies outside the frame, or a mask is of another size.
            ToolError: this model cannot follow objects.
        """
        ...

    def remember(
        self, features: Features, frame: int, sightings: Sequence[Sighting], *, reverse: bool = False
    ) -> list[TrackMemory]:
        """The memory of each object after a frame, in order; the memories given are not changed."""
        ...

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> TrackMemory:
        """The memory that `TrackMemory.to_arrays` wrote."""
        ...
