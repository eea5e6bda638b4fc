"""Batches of training steps, drawn ahead by processes of their own, a core each, so that a GPU need not wait."""

import pickle
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Generic, TypeVar

import torch

Drawn = TypeVar("Drawn")
Draw = Callable[[int, int], Drawn]
"""(step, rank) -> what is learned from; the same for the same two numbers, whoever draws it."""

AHEAD = 2
"""Steps that are drawn ahead for each worker."""

_drawing: list[Draw[Any]] = []
"""In a worker: how it draws."""


class Feed(Generic[Drawn]):
    """Batches of all steps in order: for every step one a rank."""

    def __init__(self, steps: Iterator[list[Drawn]]) -> None:
        self.waited = 0.0
        """Seconds that steps have waited for what they learn from."""
        self._steps = steps

    def __iter__(self) -> Iterator[list[Drawn]]:
        return self

    def __next__(self) -> list[Drawn]:
        began = time.monotonic()
        try:
            return next(self._steps)
        finally:
            self.waited += time.monotonic() - began


@contextmanager
def feed(draw: Draw[Drawn], steps: range, ranks: Sequence[int], workers: int) -> Generator[Feed[Drawn]]:
    """Draw for some steps and ranks: in place as they are asked for, or ahead in so many processes.

    Args:
        draw: picklable where there are workers; what it returns too.
        steps: in order.
        ranks: whose values every step gets, in order.
        workers: processes; 0 for none.
    """
    if workers == 0:
        yield Feed([draw(step, rank) for rank in ranks] for step in steps)
        return
    # Spawned, not forked: a process that uses CUDA must not be forked.
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (draw,)) as pool:
        try:
            yield Feed(_ahead(pool, steps, ranks, AHEAD * workers))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _ahead(pool: ProcessPoolExecutor, steps: range, ranks: Sequence[int], most: int) -> Iterator[list[Any]]:
    coming: deque[list[Future[bytes]]] = deque()
    for step in steps:
        coming.append([pool.submit(_drawn, step, rank) for rank in ranks])
        if len(coming) > most:
            yield [pickle.loads(future.result()) for future in coming.popleft()]
    while coming:
        yield [pickle.loads(future.result()) for future in coming.popleft()]


def _begin(draw: Draw[Any]) -> None:
    torch.set_num_threads(1)
    _drawing.append(draw)


def _drawn(step: int, rank: int) -> bytes:
    # Plain bytes: left to multiprocessing, every tensor would be a file in shared memory, of which there are few.
    return pickle.dumps(_drawing[0](step, rank))
