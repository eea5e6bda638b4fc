"""Memory that a process has freed and still holds."""

import ctypes
import sys
import time


def give_back_freed_memory() -> bool:
    """Have glibc return what is free in its heaps to the system; False where there is no glibc.

    Batches of changing sizes leave holes in them that grow for hundreds of frames. It takes about 5 ms.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return False
    return True


class HeapTrimmer:
    """Gives freed memory back now and then: after work that took long, each time; between quick steps, seldom."""

    def __init__(self, seconds: float = 0.1) -> None:
        """`seconds` lie between two times at least, so that it costs a twentieth of the time at most."""
        self._seconds = seconds
        self._last = time.monotonic()

    def step(self) -> bool:
        """Call after every step; tells whether memory was given back."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return give_back_freed_memory()
