"""HTTP client for the provider SDKs: a reply has a limit of bytes, and of seconds where the run has a deadline.

An SDK's timeout holds for each read alone: a server that sends a byte a second would hold a run for ever.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextvars import copy_context
from typing import Any, TypeVar

from sam3_agent.llm.deadline import Stopped, seconds_left, stop_event

T = TypeVar("T")

MAX_REPLY_BYTES = 8 * 2**20
"""A reply of 16,000 tokens, streamed as one event a token with its envelope, has about 4 MiB."""
_STOP_SECONDS = 0.1
"""Seconds that a stop may go unnoticed while a reply is waited for; a person does not see less."""


class ReplyTooLarge(ValueError):
    """A reply of more than MAX_REPLY_BYTES."""


class Overdue(Exception):
    """A reply that is not whole when the time of its run is over."""


def bounded_client(sdk: Any) -> Any:
    """Make an SDK's own HTTP client (anthropic, openai) whose replies end: by their size, and at the run's deadline."""
    import httpx2

    class BoundedClient(sdk.DefaultHttpxClient):
        """Client that bounds every reply before anybody reads it."""

        def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
            own: Any = super()  # of whichever SDK it is
            response: httpx2.Response = own.send(request, stream=True, **options)
            response.stream = _bounded_stream(response.stream)
            if not stream:
                try:
                    response.read()
                except BaseException:  # whoever gets no response can close none
                    response.close()
                    raise
            return response

        def __del__(self) -> None:  # as the SDK's own client does when nobody closed it
            if not self.is_closed:
                self.close()

    return BoundedClient()


def _bounded_stream(body: Any) -> Any:
    """The body of a reply, cut where it goes over a limit."""
    import httpx2

    class BoundedStream(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            received = 0
            for chunk in body:
                received += len(chunk)
                _check(received)
                yield chunk

        def close(self) -> None:
            body.close()

    return BoundedStream()


def _check(received: int) -> None:
    if received > MAX_REPLY_BYTES:
        raise ReplyTooLarge(f"the reply has more than {MAX_REPLY_BYTES >> 20} MiB")
    left = seconds_left()
    if left is not None and left <= 0:
        raise Overdue


def within_deadline(act: Callable[[], T]) -> T:
    """Return what `act` gives, or give it up at the run's deadline, whatever it waits for.

    Without a deadline and a stop it is simply called. Else it runs in a thread of its own, in this context: headers
    that drip in, or a name that is not resolved, can be interrupted in no other way. A thread that was given up ends
    with its next read, which is late then.

    Raises:
        Overdue: the deadline came first.
        Stopped: the run was told to stop.
    """
    stop = stop_event()
    if seconds_left() is None and stop is None:
        return act()
    done: Future[T] = Future()
    threading.Thread(target=copy_context().run, args=(_settle, done, act), name="llm-request", daemon=True).start()
    while True:
        left = seconds_left()
        if left is not None and left <= 0:
            raise Overdue
        if stop is not None and stop.is_set():
            raise Stopped
        wait = min(left if left is not None else _STOP_SECONDS, _STOP_SECONDS if stop is not None else 3600.0)
        try:
            return done.result(wait)
        except NotYet:
            if done.done():  # `act` itself raised it
                raise


def _settle(done: "Future[T]", act: Callable[[], T]) -> None:
    try:
        done.set_result(act())
    except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
        done.set_exception(error)
