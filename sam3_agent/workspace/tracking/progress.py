"""Progress of a run over a video."""

import time
from collections import deque
from dataclasses import dataclass

RECENT = 32
"""Frames over which the speed is measured."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The stand of a run."""

    frame: int
    """The frame that was just done."""
    done: int
    total: int
    """Frames; one that is looked at in both directions counts twice."""
    fps: float
    """Frames a second, lately; 0 before the second one."""
    seconds_left: float
    """At that speed; infinite while there is none."""
    tracks: int
    """Tracks that are alive."""


class Pace:
    """Measures the speed of a run."""

    def __init__(self, total: int, done: int = 0) -> None:
        """`done` frames of `total` were done in an earlier run."""
        self._total, self._done = total, done
        self._times: deque[float] = deque([time.monotonic()], maxlen=RECENT + 1)

    def after(self, frame: int, tracks: int) -> Progress:
        """Count a frame."""
        self._done += 1
        self._times.append(time.monotonic())
        spent = self._times[-1] - self._times[0]
        fps = (len(self._times) - 1) / spent if spent > 0 else 0.0
        left = (self._total - self._done) / fps if fps else float("inf")
        return Progress(frame, self._done, self._total, fps, left, tracks)
