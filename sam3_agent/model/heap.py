"""Memory that a process has freed and still holds."""

import ctypes
import sys
import time
from functools import cache


def give_back_freed_memory() -> bool:
    """Have glibc return what is free in its heaps to the system; False where there is no glibc.

    Batches of changing sizes leave holes in them that grow for hundreds of frames. It takes about 5 ms.
    """
    library = _library()
    if library is None:
        return False
    library.malloc_trim(0)
    return True


@cache
def _library() -> ctypes.CDLL | None:
    """The C library, if it can trim; opened once, as each opening leaves a cycle for the garbage collector."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None


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
