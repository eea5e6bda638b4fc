"""Connections of the HTTP server: how many are open, and how long each may take over the head of a request."""

import asyncio
import itertools
import resource
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 1024
HEAD_SECONDS = 10.0
"""From the first byte of a request, or the opening of the connection, to the end of its headers."""
_SPARE_FILES = 256
"""File handles for everything that is no connection."""


def raise_file_limit() -> None:
    """Let this process have as many files open as its connections need, where the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


_NUMBERS = itertools.count(1)
"""Of connections in their order; a loop's clock may be one of whole milliseconds, as uvloop's is."""


class BoundedConnection(H11Protocol):
    """Connection that is closed when it takes too long over a head; one too many takes the place of an idle one."""

    head_seconds = HEAD_SECONDS
    max_connections = MAX_CONNECTIONS
    _timer: asyncio.TimerHandle | None = None
    _number = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; close the oldest connection without a request in process where there are too many."""
        super().connection_made(transport)
        self._number = next(_NUMBERS)
        self._watch()
        if len(self.connections) > self.max_connections:
            others = [each for each in cast(set[BoundedConnection], self.connections) if not each.in_process]
            min(others, key=lambda each: each._number, default=self).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes in; a head that has begun has a deadline."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._unwatch()
        super().connection_lost(exc)

    @property
    def in_process(self) -> bool:
        """Whether a request has been read to the end of its headers and is not answered yet."""
        cycle: Any = cast(Any, self).cycle
        return cycle is not None and not cycle.response_complete

    def _watch(self) -> None:
        if self.in_process:
            self._unwatch()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.head_seconds, self._too_late)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        if not self.in_process:
            self.transport.abort()
