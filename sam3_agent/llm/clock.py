"""Clock of a run: the machine's clock, or one that was recorded."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

Clock = Callable[[], float]
"""Seconds that only grow."""


@runtime_checkable
class KeepsTime(Protocol):
    """An LLM that says what time it is in its runs: one that records, or one that replays."""

    def start_clock(self, run: str) -> "RunClock":
        """The clock of a run; `run` says in words what is asked about which image."""
        ...


class RunClock:
    """A clock that is read during one run; `stop` is called once, at its end."""

    def __init__(self, read: Clock = time.monotonic) -> None:
        self._read = read
        self.readings: list[float] = []

    def __call__(self) -> float:
        """The time."""
        value = self._read()
        self.readings.append(value)
        return value

    def stop(self) -> None:
        """The run is over."""


class RecordedClock(RunClock):
    """Gives the readings that it was given, and when they are used up the last one for ever."""

    def __init__(self, readings: Sequence[float]) -> None:
        left = list(readings) or [0.0]
        super().__init__(lambda: left.pop(0) if len(left) > 1 else left[0])
