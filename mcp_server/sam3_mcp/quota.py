"""Quotas: how much one client may use at a time."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, ParamSpec, TypeVar

from sam3_agent.errors import Busy, ToolError

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """None means no limit."""

    images: int | None = None
    """Open at a time."""
    bytes: int | None = None
    """Of all pixels of the open images (3 a pixel)."""
    masks: int | None = None
    """Kept at a time."""
    calls: int | None = None
    """Running at a time."""
    jobs: int | None = None
    """Running at a time."""


UNLIMITED = Limits()
SHARED = Limits(images=32, bytes=2**30, masks=20_000, calls=8, jobs=2)
"""For each client of an HTTP server."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """Holdings of a client now."""

    images: int
    bytes: int
    masks: int


Adds = Literal["nothing", "image", "masks"]
"""What a call adds to what its client holds."""


class Ticket:
    """One running call; it is over when its thread has ended, even if the client has left before."""

    def __init__(self, account: "Account", adds: "Adds") -> None:
        self._account = account
        self.adds = adds
        self.bytes = 0
        self.carried = False

    def carry(self, work: Callable[P, T]) -> Callable[P, T]:
        """`work`, to be called in a thread of its own; the ticket then ends with it."""

        def carried(*args: P.args, **kwargs: P.kwargs) -> T:
            self.carried = True
            try:
                return work(*args, **kwargs)
            finally:
                self._account.end(self)

        return carried


_ticket: ContextVar[Ticket | None] = ContextVar("ticket", default=None)


class Account:
    """Counts what a client uses. Safe to call from several threads."""

    def __init__(self, limits: Limits, holdings: Callable[[], Holdings]) -> None:
        """`holdings` says what the client holds apart from what its running calls are about to add."""
        self._limits = limits
        self._holdings = holdings
        self._running: set[Ticket] = set()
        self._lock = threading.Lock()

    @property
    def limits(self) -> Limits:
        """Limits of this client."""
        return self._limits

    @contextmanager
    def call(self, adds: Adds = "nothing") -> Generator[Ticket]:
        """A running call.

        Raises:
            Busy: as many calls as allowed are running.
            ToolError: the client holds as much as it may.
        """
        ticket = Ticket(self, adds)
        with self._lock:
            self._check(ticket)
            self._running.add(ticket)
        token = _ticket.set(ticket)
        try:
            yield ticket
        finally:
            _ticket.reset(token)
            if not ticket.carried:
                self.end(ticket)

    def end(self, ticket: Ticket) -> None:
        """The call is over."""
        with self._lock:
            self._running.discard(ticket)

    def weigh(self, count: int) -> None:
        """Take in the pixels of an image that the current call opens.

        Raises:
            ToolError: with these bytes the client would hold more than it may.
        """
        ticket, most = _ticket.get(), self._limits.bytes
        with self._lock:
            arriving = sum(other.bytes for other in self._running)
            if most is not None and self._holdings().bytes + arriving + count > most:
                raise ToolError(
                    f"this image needs {count / 2**20:.0f} MiB; yours may take {most / 2**20:.0f} MiB in all. "
                    f"Free some with forget_image, or scale the picture down"
                )
            if ticket is not None:
                ticket.bytes = count

    def _check(self, ticket: Ticket) -> None:
        limits = self._limits
        if limits.calls is not None and len(self._running) >= limits.calls:
            raise Busy(f"{len(self._running)} of your calls are running, as many as one client may; wait for one")
        most = {"image": limits.images, "masks": limits.masks}.get(ticket.adds)
        if most is None:
            return
        held = self._holdings()
        opening = sum(other.adds == "image" for other in self._running)
        if ticket.adds == "image" and held.images + opening >= most:
            raise ToolError(
                f"you have {held.images} images open, as many as one client may; free one with forget_image first"
            )
        if ticket.adds == "masks" and held.masks >= most:
            raise ToolError(
                f"you hold {held.masks} masks, as many as one client may; free an image with its masks by forget_image"
            )
