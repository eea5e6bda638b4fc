"""Course of one object through a video: when it is seen, how it comes and goes, how it moves and grows.

Everything is measured on what is visible, on the screen, as a tracker could; what is hidden serves only to tell where
an answer would be doubtful.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sam3_agent.scenes.video.clip import ClipObject
from sam3_agent.scenes.video.truth import VideoTruth

SEEN_SHARES = (0.0, 0.25)
"""Visible shares from which on an object may count as seen: at its first pixels, or when a good part of it shows.

Answers must be the same by both: with one threshold alone, 1 in 36 answers hung on a sliver (hides: 1 in 3)."""
SEEN_PIXELS = 8
CLEAR_SHARE = 0.5
"""More of an object than this is clearly seen."""
WHOLE_SHARE = 0.97
BORDER = 2.0
"""Pixels within which a box touches the border of the picture."""

Begin = Literal["there", "enters", "appears"]
End = Literal["there", "leaves", "vanishes"]
Away = Literal["out", "hidden", "unclear"]


@dataclass(frozen=True, eq=False)
class Course:
    """One object over T frames; `share` (T,) visible share, `boxes` (T, 4) and `areas` (T,) of what is visible.

    `least` is the visible share from which on it counts as seen.
    """

    thing: ClipObject
    width: int
    height: int
    share: NDArray[np.float64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.int64]
    least: float = SEEN_SHARES[0]

    @property
    def id(self) -> int:
        """The object's id."""
        return self.thing.id

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """(T,) whether enough of it is visible to count."""
        return (self.share >= self.least) & (self.areas >= SEEN_PIXELS)

    @cached_property
    def frames(self) -> NDArray[np.intp]:
        """Numbers of the frames in which it is seen."""
        return np.flatnonzero(self.seen)

    @property
    def first(self) -> int:
        """The first frame in which it is seen."""
        return int(self.frames[0])

    @property
    def last(self) -> int:
        """The last frame in which it is seen."""
        return int(self.frames[-1])

    @cached_property
    def center(self) -> NDArray[np.float64]:
        """(T, 2) xy pixels of the middle of the visible box."""
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2.0

    @cached_property
    def at_border(self) -> NDArray[np.bool_]:
        """(T,) whether the visible box touches the border."""
        low = self.boxes[:, :2].min(axis=1)  # (T,)
        gaps: NDArray[np.float64] = np.array([self.width, self.height], dtype=np.float64) - self.boxes[:, 2:]  # (T, 2)
        return np.minimum(low, gaps.min(axis=1)) <= BORDER

    @property
    def is_doubtful(self) -> bool:
        """Whether so little of it is ever seen that one might overlook it."""
        return int(np.count_nonzero(self.share >= CLEAR_SHARE)) < min(2, len(self.share))

    @property
    def begin(self) -> Begin:
        """Tell how it comes into the video."""
        if self.first == 0:
            return "there"
        return "enters" if self.at_border[self.first] else "appears"

    @property
    def end(self) -> End:
        """Tell how it goes out of the video."""
        if self.last == len(self.seen) - 1:
            return "there"
        return "leaves" if self.at_border[self.last] else "vanishes"

    @cached_property
    def aways(self) -> tuple[tuple[Away, int], ...]:
        """(how, frames) of every absence between the first and the last frame in which it is seen."""
        found: list[tuple[Away, int]] = []
        for before, after in zip(self.frames[:-1].tolist(), self.frames[1:].tolist(), strict=True):
            if after == before + 1:
                continue
            borders = (bool(self.at_border[before]), bool(self.at_border[after]))
            how: Away = "out" if all(borders) else "unclear" if any(borders) else "hidden"
            found.append((how, after - before - 1))
        return tuple(found)

    @cached_property
    def whole_frames(self) -> NDArray[np.intp]:
        """Numbers of the frames in which all of it is seen, away from the border."""
        return np.flatnonzero((self.share >= WHOLE_SHARE) & ~self.at_border)

    def displacement(self) -> tuple[float, float]:
        """Measure how far it has moved from the first to the last frame in which it is seen, in widths and heights."""
        x, y = (self.center[self.last] - self.center[self.first]).tolist()
        return x / self.width, y / self.height

    def speed(self, least_share: float) -> float | None:
        """Compute the mean way a frame, longer sides, over steps with that share visible at both ends; None if few."""
        good = self.seen & (self.share >= least_share)
        steps = np.flatnonzero(good[:-1] & good[1:])
        if steps.size < 3:
            return None
        ways = np.hypot(*(self.center[steps + 1] - self.center[steps]).T)
        return float(ways.mean()) / max(self.width, self.height)

    def reach(self) -> float:
        """Measure how far it ever gets from where it is first seen, in longer sides."""
        ways = np.hypot(*(self.center[self.frames] - self.center[self.first]).T)
        return float(ways.max()) / max(self.width, self.height)


def courses_of(truth: VideoTruth, least: float = SEEN_SHARES[0]) -> tuple[Course, ...]:
    """Make the course of every object that is seen at all, by the visible share `least`."""
    shares = truth.shares
    courses = (
        Course(thing, truth.width, truth.height, shares[:, k], truth.boxes[:, k], truth.areas[:, k], least)
        for k, thing in enumerate(truth.objects)
    )
    return tuple(course for course in courses if course.frames.size)
