"""Tuning of malloc that keeps the memory of a process with many threads flat."""

import ctypes
import sys
import threading
import time

_M_ARENA_MAX = -8
_ARENAS = 2
TRIM_SECONDS = 10.0
"""Between two times that freed memory is given back."""


def keep_memory_flat() -> None:
    """Have glibc share few heaps among all threads and give back what is free; nothing where there is no glibc.

    By default it makes up to eight heaps a core. Images, masks and batches that threads allocate in turn leave holes
    in each of them, and one large batch stays in the process for good. To be called before there are threads.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, _ARENAS)
        library.malloc_trim  # noqa: B018  # other C libraries have none
    except (OSError, AttributeError):
        return
    threading.Thread(target=_trim, args=(library,), name="heap", daemon=True).start()


def _trim(library: ctypes.CDLL) -> None:
    while True:
        time.sleep(TRIM_SECONDS)
        library.malloc_trim(0)
