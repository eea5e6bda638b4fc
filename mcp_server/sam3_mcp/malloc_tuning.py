"""Tuning of malloc and of Python's garbage collector that keeps the memory of a server flat."""

import ctypes
import gc
import sys
import threading
import time

from sam3_agent.model.heap import give_back_freed_memory

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
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
    except (OSError, AttributeError):
        return
    if give_back_freed_memory():
        threading.Thread(target=_trim, name="heap", daemon=True).start()


def set_apart_what_lasts() -> None:
    """Take all objects of now out of the collector's sight; to be called once, when the model is loaded.

    Torch and the model are half a million objects. A full collection walks through them in 130 ms, in which no call
    gets on, and comes only when a quarter as many new ones have survived: until then garbage in cycles stays.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # it counts anew what lasts, which decides on when the next one comes


def _trim() -> None:
    while True:
        time.sleep(TRIM_SECONDS)
        give_back_freed_memory()
