"""Measurements of tracks: when and where they come and go, how they move, and how they stand to each other in time.

Pure functions on Track values. Positions are centers of boxes in pixels, x to the right and y downwards; times are
seconds, either the container's timestamps or frame / fps. Only frames in which a track is visible count.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Box
from sam3_agent.tracks import Track, TrackFrame

Side = Literal["left", "right", "top", "bottom"]
Direction = Literal["right", "left", "up", "down", "up-right", "up-left", "down-right", "down-left", "still"]
SortBy = Literal[
    "first_seen", "last_seen", "duration", "speed", "displacement", "path", "area", "area_change", "score",
    "enters_from", "leaves_to",
]  # fmt: skip
SORTS: tuple[SortBy, ...] = get_args(SortBy)

AT_BORDER = 0.02
"""Of width or height: a box this near to a side touches it. Masks of objects cut off end within 1 % of the side."""
STILL = 0.02
"""Of the frame's diagonal: less displacement than this is none. Boxes of standing objects wander by about 1 %."""
NEAR = 0.25
"""Tracks meet when the gap between their boxes is at most this part of the mean of their boxes' longer sides."""
_SMOOTH = 3
"""Frames at each end whose median is the end's position, so that one bad mask moves nothing."""

RULES: dict[str, str] = {
    "center": "The position of a track is the center of its box; x grows to the right, y downwards.",
    "enters": "A track enters when it is first seen after the first frame; the side is the one that its box touches "
    "(within 2 %), else it appears inside.",
    "leaves": "A track leaves when it is last seen before the last frame; the side as for entering.",
    "gap": "Frames between first and last in which it is not visible: occluded, outside, or lost.",
    "displacement": "Distance from where it began to where it ended, medians of 3 frames; below 2 % of the diagonal "
    "it stands still.",
    "path": "Sum of its steps; speed is path per second of visibility.",
    "area change": "Area at the end over area at the beginning, medians of 3 frames.",
    "before": "A is before B when A is last seen before B is first seen.",
    "meet": "A and B meet in the first frame in which the gap between their boxes is at most 25 % of their size.",
}


@dataclass(frozen=True, slots=True)
class Clock:
    """The video that tracks are measured in."""

    width: int
    height: int
    frames: int
    """Count of the frames of the video, or of the range that was tracked; indices end at `start + frames - 1`."""
    fps: float
    start: int = 0
    times: tuple[float, ...] = ()
    """Seconds of frame `start`, `start + 1`, ...; frame / fps where they are not given."""

    def time(self, index: int) -> float:
        """Seconds of a frame."""
        place = index - self.start
        if 0 <= place < len(self.times):
            return self.times[place]
        return index / self.fps if self.fps > 0 else float(index)

    @property
    def last(self) -> int:
        """The last frame."""
        return self.start + self.frames - 1

    @property
    def diagonal(self) -> float:
        """Pixels."""
        return math.hypot(self.width, self.height)


@dataclass(frozen=True)
class Motion:
    """One measured track."""

    track: Track
    clock: Clock

    @cached_property
    def seen(self) -> tuple[TrackFrame, ...]:
        """The frames in which it is visible."""
        return self.track.visible

    @property
    def first(self) -> int:
        """The frame in which it is seen first."""
        return self.seen[0].index if self.seen else self.track.first

    @property
    def last(self) -> int:
        """The frame in which it is seen last."""
        return self.seen[-1].index if self.seen else self.track.last

    @property
    def seconds(self) -> tuple[float, float]:
        """Times of its first and last sight."""
        return (self.clock.time(self.first), self.clock.time(self.last))

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """(first, last) of each stretch of frames without a gap."""
        return _spans([frame.index for frame in self.seen])

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """(first, last) of each stretch between them without it."""
        return tuple((one[1] + 1, other[0] - 1) for one, other in itertools.pairwise(self.spans))

    @property
    def duration(self) -> float:
        """Seconds in which it is visible; a single frame lasts as long as the time to the next one."""
        return sum(self._length(first, last) for first, last in self.spans)

    @cached_property
    def areas(self) -> tuple[int, ...]:
        """Pixels in each seen frame."""
        return tuple(masks.area(frame.rle) for frame in self.seen)

    @cached_property
    def centers(self) -> tuple[tuple[float, float], ...]:
        """x, y in each seen frame."""
        return tuple(center(frame.box) for frame in self.seen)

    @property
    def began_at(self) -> tuple[float, float]:
        """x, y where it was seen first."""
        return _median_point(self.centers[:_SMOOTH])

    @property
    def ended_at(self) -> tuple[float, float]:
        """x, y where it was seen last."""
        return _median_point(self.centers[-_SMOOTH:])

    @property
    def displacement(self) -> float:
        """Pixels from beginning to end."""
        return math.dist(self.began_at, self.ended_at)

    @property
    def path(self) -> float:
        """Pixels of all steps; steps across a gap count as the straight line."""
        return sum(math.dist(one, other) for one, other in itertools.pairwise(self.centers))

    @property
    def speed(self) -> float:
        """Pixels per second along its path, from first to last sight; 0 for a single frame."""
        took = self.seconds[1] - self.seconds[0]
        return self.path / took if took > 0 else 0.0

    @property
    def direction(self) -> Direction:
        """Direction from beginning to end: one of eight, or "still"."""
        if not self.seen or self.displacement < STILL * self.clock.diagonal:
            return "still"
        x, y = (end - begin for begin, end in zip(self.began_at, self.ended_at, strict=True))
        return _DIRECTIONS[round(math.atan2(-y, x) / (math.pi / 4)) % 8]

    @property
    def area_change(self) -> float:
        """Area at the end over that at the beginning: above 1 it grows."""
        if not self.seen:
            return 1.0
        return _median(self.areas[-_SMOOTH:]) / max(1.0, _median(self.areas[:_SMOOTH]))

    @property
    def mean_area(self) -> float:
        """Pixels, over the frames in which it is visible."""
        return sum(self.areas) / len(self.areas) if self.areas else 0.0

    @property
    def enters_from(self) -> Side | Literal["inside", ""]:
        """The side from which it comes; "" where it is there from the first frame on."""
        return "" if not self.seen or self.first <= self.clock.start else border_side(self.seen[0].box, self.clock)

    @property
    def leaves_to(self) -> Side | Literal["inside", ""]:
        """The side to which it goes; "" where it is there up to the last frame."""
        return "" if not self.seen or self.last >= self.clock.last else border_side(self.seen[-1].box, self.clock)

    def _length(self, first: int, last: int) -> float:
        after = self.clock.time(last + 1) if last < self.clock.last or self.clock.fps > 0 else self.clock.time(last)
        return max(after - self.clock.time(first), 0.0)


def measure_tracks(
    tracks: Sequence[Track], clock: Clock, sort_by: SortBy = "first_seen", *, descending: bool = False
) -> tuple[Motion, ...]:
    """The tracks that are ever visible, measured and in order; equal ones keep the order given.

    Raises:
        InputError: there is no such order.
    """
    if sort_by not in SORTS:
        raise InputError(f"sort_by must be one of {', '.join(SORTS)}; got {sort_by!r}")
    motions = [motion for track in tracks if (motion := Motion(track, clock)).seen]
    return tuple(sorted(motions, key=_KEYS[sort_by], reverse=descending))


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two tracks that come near each other."""

    one: str
    other: str
    first: int
    """The first frame in which they are near, and the last."""
    last: int
    gap: float
    """Smallest gap between their boxes, in pixels."""
    overlap: float
    """Largest IoU of their masks."""


def meetings(motions: Sequence[Motion]) -> tuple[Meeting, ...]:
    """Every pair that comes near each other, in the order in which they meet."""
    found: list[Meeting] = []
    for one, other in itertools.combinations(motions, 2):
        pairs = [(a, b) for a in one.seen if (b := other.track.at(a.index)) is not None and b.visible]
        near = [(a, b) for a, b in pairs if box_gap(a.box, b.box) <= NEAR * _size(a.box, b.box)]
        if near:
            overlap = max(float(masks.iou([a.rle], [b.rle])[0, 0]) for a, b in near)
            gap = min(box_gap(a.box, b.box) for a, b in near)
            found.append(Meeting(one.track.id, other.track.id, near[0][0].index, near[-1][0].index, gap, overlap))
    return tuple(sorted(found, key=lambda meeting: meeting.first))


def is_before(one: Motion, other: Motion) -> bool:
    """Whether one is last seen before the other is first seen."""
    return one.last < other.first


def nearest_at(motion: Motion, others: Sequence[Motion], index: int) -> tuple[str, float] | None:
    """(id, pixels between centers) of the nearest other track in a frame; None where it or all others are not there."""
    here = motion.track.at(index)
    if here is None or not here.visible:
        return None
    distances: list[tuple[float, str]] = []
    for other in others:
        there = other.track.at(index)
        if other.track.id != motion.track.id and there is not None and there.visible:
            distances.append((math.dist(center(here.box), center(there.box)), other.track.id))
    return (min(distances)[1], min(distances)[0]) if distances else None


def is_left_of(one: Motion, other: Motion, index: int) -> bool | None:
    """Whether one's center lies left of the other's in a frame; None where one of them is not there."""
    a, b = one.track.at(index), other.track.at(index)
    if a is None or b is None or not a.visible or not b.visible:
        return None
    return center(a.box)[0] < center(b.box)[0]


def center(box: Box) -> tuple[float, float]:
    """x, y of the center of an xyxy box."""
    return ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def box_gap(one: Box, other: Box) -> float:
    """Pixels between two xyxy boxes; 0 where they touch or overlap."""
    across = max(one[0] - other[2], other[0] - one[2], 0.0)
    down = max(one[1] - other[3], other[1] - one[3], 0.0)
    return math.hypot(across, down)


def border_side(box: Box, clock: Clock) -> Side | Literal["inside"]:
    """The side of the frame that a box touches, the nearest of several; else "inside"."""
    distances: dict[Side, float] = {
        "left": box[0] / clock.width,
        "right": (clock.width - box[2]) / clock.width,
        "top": box[1] / clock.height,
        "bottom": (clock.height - box[3]) / clock.height,
    }
    side = min(distances, key=lambda name: distances[name])
    return side if distances[side] <= AT_BORDER else "inside"


_DIRECTIONS: tuple[Direction, ...] = (
    "right", "up-right", "up", "up-left", "left", "down-left", "down", "down-right",
)  # fmt: skip
_SIDES = ("left", "right", "top", "bottom", "inside", "")
_KEYS: dict[SortBy, Callable[[Motion], float]] = {
    "first_seen": lambda motion: motion.first,
    "last_seen": lambda motion: motion.last,
    "duration": lambda motion: motion.duration,
    "speed": lambda motion: motion.speed,
    "displacement": lambda motion: motion.displacement,
    "path": lambda motion: motion.path,
    "area": lambda motion: motion.mean_area,
    "area_change": lambda motion: motion.area_change,
    "score": lambda motion: motion.track.score,
    "enters_from": lambda motion: _SIDES.index(motion.enters_from),
    "leaves_to": lambda motion: _SIDES.index(motion.leaves_to),
}


def _spans(indices: Sequence[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for index in indices:
        if found and found[-1][1] == index - 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return tuple(found)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return float(ordered[middle]) if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _median_point(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return (_median([x for x, _ in points]), _median([y for _, y in points])) if points else (0.0, 0.0)


def _size(one: Box, other: Box) -> float:
    return (max(one[2] - one[0], one[3] - one[1]) + max(other[2] - other[0], other[3] - other[1])) / 2
