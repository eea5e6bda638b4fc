"""Deadline of a run, known to whoever waits for a model on its behalf."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Event


@dataclass(frozen=True, slots=True)
class _Limits:
    end: float | None = None
    stop: Event | None = None


_LIMITS: ContextVar[_Limits | None] = ContextVar("limits", default=None)


class Stopped(BaseException):
    """The run was told to stop; like KeyboardInterrupt no failure, so that nobody mistakes it for one."""


@contextmanager
def deadline(seconds: float | None, stop: Event | None = None) -> Generator[None]:
    """Within the block, in this thread, `seconds_left` counts down from `seconds`, and `stop` ends pauses."""
    token = _LIMITS.set(_Limits(None if seconds is None else time.monotonic() + seconds, stop))
    try:
        yield
    finally:
        _LIMITS.reset(token)


def seconds_left() -> float | None:
    """Seconds until the run must be over, 0 or less when it is late; None without a deadline."""
    limits = _LIMITS.get()
    return None if limits is None or limits.end is None else limits.end - time.monotonic()


def stop_event() -> Event | None:
    """Return the event that stops the run; None without one."""
    limits = _LIMITS.get()
    return None if limits is None else limits.stop


def pause(seconds: float) -> None:
    """Wait.

    Raises:
        Stopped: the run was told to stop.
    """
    limits = _LIMITS.get()
    if limits is None or limits.stop is None:
        time.sleep(seconds)
    elif limits.stop.wait(seconds):
        raise Stopped
