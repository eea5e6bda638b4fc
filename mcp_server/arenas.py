"""Keeps the memory of a process with many threads flat."""

import ctypes
import sys

_M_ARENA_MAX = -8
_ARENAS = 2


def keep_few_arenas() -> None:
    """Have glibc share few heaps among all threads, and do nothing where there is no glibc.

    By default it makes up to eight a core. Pictures and masks that threads allocate in turn leave holes in each of
    them, and the process seems to grow for hours. To be called before there are threads.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
    except (OSError, AttributeError):  # another C library
        return
