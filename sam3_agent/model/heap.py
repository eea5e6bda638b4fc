"""Memory that a process has freed and still holds."""

import ctypes
import sys


def give_back_freed_memory() -> bool:
    """Have glibc return what is free in its heaps to the system; False where there is no glibc.

    Batches of changing sizes leave holes in them that grow for hundreds of frames. It takes some milliseconds, so it is
    for now and then, not for every frame.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return False
    return True
