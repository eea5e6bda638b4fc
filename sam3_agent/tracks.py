"""Values of videos: a video by its handle, an object through its frames by its track."""

import bisect
import itertools
from dataclasses import dataclass
from typing import Any, Literal

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Box, Rle
from sam3_agent.types import INTERRUPTED, Outcome, Trace, Usage


@dataclass(frozen=True, slots=True)
class VideoHandle:
    """An open video; its frames are named by index, "v1@120" is one of them as an image."""

    id: str
    """"v1"."""
    source: str
    frames: int
    fps: float
    """Mean rate."""
    width: int
    height: int
    duration: float
    """Seconds."""

    def to_json(self) -> dict[str, Any]:
        """The public JSON of a video."""
        return {
            "id": self.id, "source": self.source, "frames": self.frames, "fps": round(self.fps, 4),
            "width": self.width, "height": self.height, "duration": round(self.duration, 4),
        }  # fmt: skip


TrackState = Literal["provisional", "confirmed", "suppressed", "left"]
"""On trial; sure; there but not to be shown in this frame; not to be seen (occluded, outside, or lost at a cut)."""


@dataclass(frozen=True, slots=True)
class TrackFrame:
    """One track in one frame."""

    index: int
    """Of the frame, from 0."""
    rle: Rle
    box: Box
    """Tight xyxy pixels of the mask; zeros where it is empty."""
    score: float
    """The tracker's presence times its predicted mask quality; the detection's score where the track begins."""
    state: TrackState = "confirmed"
    detection: float | None = None
    """Score of the best detection that matched it here; None where there was none."""

    @property
    def visible(self) -> bool:
        """Whether it belongs into what is shown and exported: a mask with a pixel, not suppressed."""
        return self.state in ("provisional", "confirmed") and self.box[2] > self.box[0]


@dataclass(frozen=True, slots=True)
class Track:
    """One object through a video; its id is never given to another one.

    Raises:
        InputError: the frames are not in rising order.
    """

    id: str
    """"t7"."""
    concept: str
    first: int
    """The first frame that knows of it, and the last."""
    last: int
    state: TrackState
    """In its last frame."""
    score: float = 1.0
    """Of the detection that it began with."""
    frames: tuple[TrackFrame, ...] = ()
    """In rising order; frames between them without an entry have no mask."""

    def __post_init__(self) -> None:
        """Refuse frames out of order."""
        if any(one.index >= other.index for one, other in itertools.pairwise(self.frames)):
            raise InputError(f"the frames of track {self.id} are not in rising order")

    @property
    def visible(self) -> tuple[TrackFrame, ...]:
        """The frames in which it is shown."""
        return tuple(frame for frame in self.frames if frame.visible)

    def at(self, index: int) -> TrackFrame | None:
        """The entry of a frame; None where there is none."""
        place = bisect.bisect_left(self.frames, index, key=lambda frame: frame.index)
        return self.frames[place] if place < len(self.frames) and self.frames[place].index == index else None


@dataclass(frozen=True, slots=True)
class VideoAnswer:
    """End of a run about a video; always one of the four outcomes, never an exception."""

    query: str
    video_id: str
    outcome: Outcome
    tracks: tuple[Track, ...]
    reason: str
    usage: Usage
    trace: Trace

    @property
    def track_ids(self) -> tuple[str, ...]:
        """Ids of the tracks that are meant."""
        return tuple(track.id for track in self.tracks)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run: the loop turns it into an outcome, a front door turns it back."""
        return (self.outcome, self.reason) == ("budget", INTERRUPTED)

    def mask_at(self, frame: int) -> Rle | None:
        """Unite the masks of all tracks in a frame; None where none is seen."""
        seen = [entry.rle for track in self.tracks if (entry := track.at(frame)) is not None and entry.visible]
        return masks.union(seen) if seen else None

    def __repr__(self) -> str:
        """Say outcome, tracks and reason on a line."""
        ids = ", ".join(self.track_ids) or "no tracks"
        return f"VideoAnswer({self.query!r}: {self.outcome}, {ids}; {self.reason})"
