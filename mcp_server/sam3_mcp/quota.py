"""Quotas: how much one client may use, and all of them together."""

import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from typing import Literal, ParamSpec, TypeVar

from sam3_agent.errors import Busy, ToolError
from sam3_agent.model.request_context import Principal

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a client; None means no limit."""

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
    sessions: int | None = None
    """Open at a time; of the client's own, the one that was not used for longest makes room."""
    exports: int | None = None
    """Bytes of exported files on disk."""
    videos: int | None = None
    """Open at a time."""
    tracks: int | None = None
    """Bytes on disk that the tracks of the open videos take."""
    weight: float = 1.0
    """Share of the model when several clients wait for it, relative to the others."""


UNLIMITED = Limits()
SHARED = Limits(
    images=32, bytes=2**30, masks=20_000, calls=8, jobs=2, sessions=64, exports=4 * 2**30, videos=8, tracks=2 * 2**30
)
"""For each client of an HTTP server: a token, or where there are none, what says it is one."""
TOTAL = Limits(images=512, bytes=4 * 2**30, masks=200_000, calls=64, jobs=16, sessions=1024, videos=128)
"""For all clients of an HTTP server together. A call of a client that has none running is always taken."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Images (frames of videos among them), their bytes, masks and videos that a client holds now."""

    images: int = 0
    bytes: int = 0
    masks: int = 0
    videos: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def exceeds(self, limits: Limits) -> bool:
        """Whether any of it is more than the limits allow."""
        pairs = (
            (self.images, limits.images),
            (self.bytes, limits.bytes),
            (self.masks, limits.masks),
            (self.videos, limits.videos),
        )
        return any(most is not None and held > most for held, most in pairs)


Adds = Literal["nothing", "image", "masks", "video"]
"""Kinds of things that a call may add to what its client holds."""


class Ticket:
    """One running call; it is over when its thread has ended, even if the client has left before."""

    def __init__(self, account: "Account", adds: "Adds") -> None:
        self._account = account
        self.adds: Adds = adds
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


@dataclass(slots=True)
class Totals:
    """Sums over all clients of a server, and how room is made in them. Its lock guards every account."""

    limits: Limits = UNLIMITED
    make_room: Callable[["Account", Usage], bool] = lambda _account, _arriving: True
    """Frees images of whoever holds most until `Usage` more fits into the sum; False where the asker holds most."""
    calls: int = 0
    """Running now."""
    jobs: int = 0
    """Running now."""
    lock: threading.RLock = field(default_factory=threading.RLock)


class Account:
    """Count of what a client uses. Safe to call from several threads."""

    def __init__(
        self,
        limits: Limits,
        usage: Callable[[], Usage],
        totals: Totals | None = None,
        principal: str = "",
        free_idle: Callable[[], bool] = lambda: False,
    ) -> None:
        """`usage` says what the client holds apart from what its running calls are about to add; `free_idle` frees an
        image that it left alone for long, and says whether there was one.
        """
        self._limits = limits
        self._usage = usage
        self._free_idle = free_idle
        self._totals = totals or Totals()
        self.principal = Principal(principal, limits.weight)
        """As the model's queue knows it: clients without a token are all one there."""
        self.refused: Counter[str] = Counter()
        """Refusals by the limit that was met."""
        self.jobs = 0
        """Running now."""
        self._running: set[Ticket] = set()

    @property
    def limits(self) -> Limits:
        """Limits of this client."""
        return self._limits

    @property
    def running(self) -> int:
        """Calls that are running now."""
        return len(self._running)

    @property
    def arriving(self) -> Usage:
        """Sum up what its running calls are about to add."""
        opening = [ticket for ticket in self._running if ticket.adds == "image"]
        videos = sum(ticket.adds == "video" for ticket in self._running)
        return Usage(len(opening), sum(ticket.bytes for ticket in opening), videos=videos)

    @contextmanager
    def call(self, adds: Adds = "nothing") -> Generator[Ticket]:
        """A running call.

        Raises:
            Busy: as many calls as allowed are running.
            ToolError: the client holds as much as it may.
        """
        ticket = Ticket(self, adds)
        self._begin(ticket)
        token = _ticket.set(ticket)
        try:
            yield ticket
        finally:
            _ticket.reset(token)
            if not ticket.carried:
                self.end(ticket)

    def end(self, ticket: Ticket) -> None:
        """The call is over."""
        with self._totals.lock:
            if ticket in self._running:
                self._running.discard(ticket)
                self._totals.calls -= 1

    def weigh(self, count: int) -> None:
        """Take in the pixels of an image that the current call opens.

        Raises:
            ToolError: with these bytes the client, or all together, would hold more than they may.
        """
        ticket = _ticket.get()
        with self._totals.lock:
            if self._is_full("bytes", count):
                self.refused["bytes"] += 1
                most = (self._limits.bytes or 0) / 2**20
                raise ToolError(
                    f"this image needs {count / 2**20:.0f} MiB; yours may take {most:.0f} MiB in all. "
                    f"Free some with forget_image, or scale the image down"
                )
            self._fit(Usage(bytes=count))
            if ticket is not None:
                ticket.bytes = count

    def weigh_frame(self, count: int) -> None:
        """Take in a frame of a video that becomes an image, of so many bytes.

        Raises:
            ToolError: with it the client, or all together, would hold more than they may.
        """
        with self._totals.lock:
            if self._is_full("images", 1):
                self.refused["images"] += 1
                raise ToolError(
                    f"you have {self._limits.images} images open, frames of videos among them, as many as one client "
                    f"may; free one with forget_image first"
                )
            self._fit(Usage(images=1))
            self.weigh(count)

    def check_tracks(self, count: int) -> None:
        """Take in how many bytes on disk the tracks of the client take.

        Raises:
            ToolError: it is more than they may.
        """
        most = self._limits.tracks
        if most is not None and count > most:
            self.refused["tracks"] += 1
            raise ToolError(
                f"your tracks take {count / 2**20:.0f} MiB, as much as one client may; free a video with forget_video, "
                f"or track fewer frames"
            )

    def begin_job(self) -> None:
        """Count a job until `end_job`.

        Raises:
            Busy: as many jobs as allowed are running.
        """
        with self._totals.lock:
            most, in_all = self._limits.jobs, self._totals.limits.jobs
            if most is not None and self.jobs >= most:
                self.refused["jobs"] += 1
                raise Busy(
                    f"{self.jobs} of your jobs are running, as many as one client may; wait for one, or cancel_job"
                )
            if self.jobs and in_all is not None and self._totals.jobs >= in_all:
                self.refused["jobs"] += 1
                raise Busy(f"{self._totals.jobs} jobs are running, as many as the server may; try again in a minute")
            self.jobs += 1
            self._totals.jobs += 1

    def end_job(self) -> None:
        """A job is over."""
        with self._totals.lock:
            self.jobs -= 1
            self._totals.jobs -= 1

    def _begin(self, ticket: Ticket) -> None:
        limits, total = self._limits, self._totals.limits
        with self._totals.lock:
            if limits.calls is not None and self.running >= limits.calls:
                self.refused["calls"] += 1
                raise Busy(f"{self.running} of your calls are running, as many as one client may; wait for one")
            if self._running and total.calls is not None and self._totals.calls >= total.calls:
                self.refused["calls"] += 1
                raise Busy(f"{self._totals.calls} calls are running, as many as the server may; try again in a moment")
            if ticket.adds != "nothing":
                self._check_usage(ticket.adds)
            self._running.add(ticket)
            self._totals.calls += 1

    def _check_usage(self, adds: Adds) -> None:
        limits = self._limits
        if limits.images is None and limits.masks is None and limits.videos is None:
            return
        held = self._usage()
        videos = held.videos + self.arriving.videos
        if adds == "video" and limits.videos is not None and videos >= limits.videos:
            self.refused["videos"] += 1
            raise ToolError(
                f"you have {videos} videos open, as many as one client may; free one with forget_video first"
            )
        if adds == "image" and self._is_full("images", 1):
            self.refused["images"] += 1
            raise ToolError(
                f"you have {limits.images} images open, as many as one client may; free one with forget_image first"
            )
        if adds == "masks" and self._is_full("masks", 1):
            self.refused["masks"] += 1
            raise ToolError(
                f"you hold {held.masks} masks, as many as one client may; free an image with its masks by forget_image"
            )
        self._fit({"image": Usage(images=1), "video": Usage(videos=1)}.get(adds, Usage(masks=1)))

    def _is_full(self, what: Literal["images", "bytes", "masks"], count: int) -> bool:
        """Whether so many more are over the client's limit, even when what it left alone for long has gone."""
        most: int | None = getattr(self._limits, what)
        if most is None:
            return False
        more = getattr(self.arriving, what) + count
        while getattr(self._usage(), what) + more > most:
            if more > most or not self._free_idle():  # nothing is freed for what does not fit even then
                return True
        return False

    def _fit(self, arriving: Usage) -> None:
        if not self._totals.make_room(self, arriving):
            self.refused["total"] += 1
            raise ToolError(
                "the server holds as much as it may, and nobody more than you: free images with forget_image"
            )
