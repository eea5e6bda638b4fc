"""Turns of threads that want one of few places: of those who wait, the client with fewest at work goes next."""

import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from sam3_agent.errors import Busy


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A thread that waits for its turn."""

    client: str


class Turns:
    """Places for threads, of which one client has only so many; who has fewest at work goes next."""

    def __init__(self, places: int, each: int, busy: str) -> None:
        """`each` are the places that one client may have; `busy` is told to who waits in vain."""
        self._places = places
        self._each = each
        self._busy = busy
        self._running: Counter[str] = Counter()
        self._waiting: list[_Waiting] = []
        self._change = threading.Condition()

    @contextmanager
    def turn(self, client: str, patience: float) -> Generator[None]:
        """Hold a place.

        Raises:
            Busy: none became free within `patience` seconds.
        """
        self.begin(client, patience)
        try:
            yield
        finally:
            self.end(client)

    def begin(self, client: str, patience: float) -> None:
        """Take a place, until `end`.

        Raises:
            Busy: none became free within `patience` seconds.
        """
        me, end = _Waiting(client), time.monotonic() + patience
        with self._change:
            self._waiting.append(me)
            try:
                while self._next() is not me:
                    left = end - time.monotonic()
                    if left <= 0 or not self._change.wait(left):
                        raise Busy(self._busy)
                self._running[client] += 1
            finally:
                self._waiting.remove(me)
                self._change.notify_all()

    def end(self, client: str) -> None:
        """Give a place back."""
        with self._change:
            self._running[client] -= 1
            self._running += Counter()  # drops those that are 0
            self._change.notify_all()

    def _next(self) -> _Waiting | None:
        if self._running.total() >= self._places:
            return None
        allowed = (each for each in self._waiting if self._running[each.client] < self._each)
        return min(allowed, key=lambda each: self._running[each.client], default=None)
