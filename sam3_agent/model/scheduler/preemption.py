"""Moments inside long work at which something more urgent may go first.

Who runs long work says who may use its pauses (`listen`); the work itself says when there is one (`pause`), as between
two layers of a network. Both in the same thread.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[], None] | None] = ContextVar("listener", default=None)


def listened() -> bool:
    """Whether anybody would use a pause, so that making one is worth the trouble."""
    return _listener.get() is not None


def pause() -> None:
    """Let what is more urgent go first; there are no pauses within it."""
    listener = _listener.get()
    if listener is not None:
        with listen(None):
            listener()


@contextmanager
def listen(listener: Callable[[], None] | None) -> Generator[None]:
    """Have `listener` called in every pause of what runs within."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
