"""Tracked videos as plain values: what every writer of track formats is given, and every reader gives."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Box, Rle
from sam3_agent.tracks import Track, TrackFrame

MOST_FRAMES = 1_000_000
"""Of a video in a file that somebody else wrote: nine hours at 30 frames a second."""
_TOLD = 5
"""New numbers that a warning lists."""


@dataclass(frozen=True, slots=True)
class TrackSet:
    """One video with its tracks; all masks of the video's size. Only frames in which a track is visible are written.

    Raises:
        InputError: a mask is of another size, a frame lies outside, or two tracks share an id.
    """

    name: str
    """Of the video, as a path without suffix: it becomes the name of folders and files."""
    width: int
    height: int
    frames: int
    tracks: tuple[Track, ...] = ()
    fps: float = 0.0
    """0 where it is not known."""
    file_names: tuple[str, ...] = ()
    """Of the frames; "00000.jpg" and so on unless given."""
    absent: tuple[str, ...] = ()
    """Concepts that were looked for and are not in the video."""
    source: str = ""
    """File name of the video, for formats that name it."""

    def __post_init__(self) -> None:
        """Check sizes, ranges and ids."""
        if self.file_names and len(self.file_names) != self.frames:
            raise InputError(f"{self.name}: {len(self.file_names)} file names for {self.frames} frames")
        ids = [track.id for track in self.tracks]
        if len(set(ids)) < len(ids):
            raise InputError(f"{self.name}: two tracks have one id")
        for track in self.tracks:
            for frame in track.frames:
                if not 0 <= frame.index < self.frames or frame.rle.size != (self.height, self.width):
                    raise InputError(
                        f"{self.name}: frame {frame.index} of {track.id}, mask {list(frame.rle.size)}, does not"
                        f" fit {self.frames} frames of {self.width}x{self.height}"
                    )

    @property
    def concepts(self) -> tuple[str, ...]:
        """Every concept with a track, in order of appearance, then those that are absent."""
        return tuple(dict.fromkeys([*(track.concept for track in self.tracks), *self.absent]))

    def frame_name(self, index: int) -> str:
        """The file name of a frame."""
        return self.file_names[index] if self.file_names else f"{index:05d}.jpg"

    def time(self, index: int) -> float:
        """Seconds of a frame; 0 where the rate is not known."""
        return index / self.fps if self.fps > 0 else 0.0

    def by_frame(self) -> Iterator[tuple[int, list[tuple[Track, TrackFrame]]]]:
        """Every frame with the tracks that are visible in it."""
        seen: dict[int, list[tuple[Track, TrackFrame]]] = {}
        for track in self.tracks:
            for frame in track.visible:
                seen.setdefault(frame.index, []).append((track, frame))
        for index in range(self.frames):
            yield index, seen.get(index, [])


def numbers_of(tracks: Sequence[Track], most: int) -> tuple[dict[str, int], list[str]]:
    """A number from 1 to `most` for each track, and a warning where they are not those of the ids.

    Ids "t7" keep their 7 where all fit, so that a number means the same in every file.

    Raises:
        InputError: there are more tracks than numbers.
    """
    if len(tracks) > most:
        raise InputError(
            f"the format has room for {most} tracks, there are {len(tracks)}; export fewer concepts at once"
        )
    own = {track.id: int(track.id[1:]) for track in tracks if track.id[:1] == "t" and track.id[1:].isdecimal()}
    if len(own) == len(tracks) and len(set(own.values())) == len(own) and all(0 < n <= most for n in own.values()):
        return own, []
    numbers = {track.id: number for number, track in enumerate(tracks, start=1)}
    told = [f"{track_id} is {number}" for track_id, number in numbers.items()]
    more = ", ..." if len(told) > _TOLD else ""
    return numbers, [f"tracks are numbered anew, from 1: {', '.join(told[:_TOLD])}{more}"]


def painted(
    entries: Sequence[tuple[Track, TrackFrame]], values: Sequence[int], size: tuple[int, int]
) -> tuple[NDArray[np.int32], int]:
    """(H, W) values, small masks over large ones, 0 elsewhere; and how many tracks lost a pixel so."""
    canvas, owner = np.zeros(size, dtype=np.int32), np.full(size, -1, dtype=np.int32)
    order = sorted(range(len(entries)), key=lambda i: (-masks.area(entries[i][1].rle), i))
    lost: set[int] = set()
    for index in order:
        mask = masks.decode(entries[index][1].rle)
        lost.update(int(v) for v in np.unique(owner[mask]) if v >= 0)
        owner[mask], canvas[mask] = index, values[index]
    return canvas, len(lost)


def overlap_warning(frames: int) -> list[str]:
    """Warn where a format without overlap has cut masks; an empty list where it has not."""
    return [f"masks overlapped in {frames} frames: there the smaller one was kept whole"] if frames else []


def track_of(
    track_id: str, concept: str, entries: dict[int, tuple[Rle, float]], score: float | None = None
) -> Track | None:
    """A track as a file holds it, from frame -> (mask, score); None where it has no pixel in any frame."""
    frames = tuple(
        TrackFrame(index, rle, masks.box(rle), value)
        for index, (rle, value) in sorted(entries.items())
        if masks.area(rle)
    )
    if not frames:
        return None
    first = frames[0].score if score is None else score
    return Track(track_id, concept, frames[0].index, frames[-1].index, "confirmed", first, frames)


def check_extent(where: object, size: tuple[int, int], *frames: int) -> None:
    """Refuse sizes (height, width) and frame numbers that would only fill the memory or never end.

    Raises:
        InputError: as said; `where` begins the message.
    """
    height, width = size
    if height < 1 or width < 1 or height * width > masks.MOST_PIXELS:
        raise InputError(f"{where}: frames of {width}x{height} pixels")
    if wrong := [frame for frame in frames if not 0 <= frame <= MOST_FRAMES]:
        raise InputError(f"{where}: frame {wrong[0]}; frames go from 0 to {MOST_FRAMES}")


def box_mask(box: Box, size: tuple[int, int]) -> Rle:
    """A mask that fills a box, for formats that know boxes only; (height, width).

    Raises:
        InputError: a corner is no number, as after a difference of infinities.
    """
    height, width = size
    if not all(map(math.isfinite, box)):
        raise InputError(f"a box with corners {', '.join(f'{v:g}' for v in box)}")
    x0, x1 = (round(min(max(v, 0.0), float(width))) for v in (box[0], box[2]))
    y0, y1 = (round(min(max(v, 0.0), float(height))) for v in (box[1], box[3]))
    if x1 <= x0 or y1 <= y0:
        return masks.empty(height, width)
    return masks.place(masks.encode(np.ones((y1 - y0, x1 - x0), dtype=bool)), height, width, x0, y0)
