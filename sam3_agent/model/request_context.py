"""Context of a request: its principal, how urgent it is, how long it waits, whether its caller has given up.

A server says so once (`with calling(...)`), and it holds for every call of a scheduled model inside that block, through
workspace, tools and loop. It is a context variable: it follows into `anyio.to_thread.run_sync`, but a thread
pool's threads take it along only if the work is submitted as `contextvars.copy_context().run`.
"""

import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sam3_agent.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Principal:
    """Principal of calls: whose they are. Principals are served in turn."""

    name: str = ""
    weight: float = 1.0
    """Share of the model, relative to other principals."""


NOBODY = Principal()
"""Principal of a program that has a single user."""


class Caller:
    """One caller; ends with the block that made it."""

    def __init__(
        self,
        *,
        bulk: bool = False,
        deadline: float | None = None,
        principal: Principal | None = None,
        outer: "Caller | None" = None,
    ) -> None:
        """`deadline` by time.monotonic(); a caller within another one is no more urgent, waits no longer than it and
        has its principal, unless it names one.
        """
        self.bulk = bulk or (outer is not None and outer.bulk)
        deadlines = [d for d in (deadline, outer.deadline if outer else None) if d is not None]
        self.deadline = min(deadlines, default=None)
        self.principal = principal or (outer.principal if outer is not None else NOBODY)
        self.hurried = False
        """Somebody urgent waits for what it asks."""
        self._outer = outer
        self._cancelled = False
        self._waiting: dict[Future[Any], Callable[[], None]] = {}
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Give up: what waits for the model is taken out of the queue, and further calls are refused."""
        with self._lock:
            self._cancelled = True
            waiting = list(self._waiting)
        for future in waiting:
            future.cancel()

    def hurry(self) -> None:
        """Be urgent from now on, because somebody urgent waits for this caller; what waits already goes first too."""
        with self._lock:
            self.hurried = True
            waiting = list(self._waiting.values())
        for advance in waiting:
            advance()

    def await_answer(self, future: Future[Any], advance: Callable[[], None]) -> None:
        """Have the future cancelled when this caller gives up before it is done, and advanced when it gets urgent.

        Raises:
            Cancelled: the caller has given up already.
        """
        with self._lock:
            if self._cancelled:
                raise Cancelled("the caller gave up before it asked the model")
            self._waiting[future] = advance
            hurried = self.hurried
        if hurried:
            advance()
        future.add_done_callback(self._no_longer_waiting)
        if self._outer is not None:
            self._outer.await_answer(future, _no_matter)

    def seconds_left(self) -> float | None:
        """Until the deadline, at least 0; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def _no_longer_waiting(self, future: Future[Any]) -> None:
        with self._lock:
            self._waiting.pop(future, None)


def _no_matter() -> None:
    """Do nothing about urgency: the inner caller sees to that."""


_NOBODY = Caller()
"""Caller outside of any `calling` block: urgent, patient, never gives up."""
_current: ContextVar[Caller] = ContextVar("caller", default=_NOBODY)


def current_caller() -> Caller:
    """Return the caller of this context."""
    return _current.get()


@contextmanager
def calling(
    *, bulk: bool = False, seconds: float | None = None, principal: Principal | None = None
) -> Generator[Caller]:
    """Calls of a scheduled model inside this block are one caller's; leaving it gives up whatever still waits.

    Args:
        bulk: let interactive callers go first.
        seconds: from now; a call that is not answered by then raises Busy.
        principal: whose turn it is in the queue; that of the block around by default.
    """
    outer = _current.get()
    deadline = None if seconds is None else time.monotonic() + seconds
    caller = Caller(bulk=bulk, deadline=deadline, principal=principal, outer=None if outer is _NOBODY else outer)
    token = _current.set(caller)
    try:
        yield caller
    finally:
        _current.reset(token)
        caller.cancel()
