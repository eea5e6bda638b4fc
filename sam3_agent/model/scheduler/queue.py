"""The line in front of one network: who goes next, and with whom."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from sam3_agent.errors import Busy
from sam3_agent.model.batching import Work
from sam3_agent.model.scheduler.request import Request

Line = dict[Request, None]
"""Requests in order; a dict, so that one that gives up leaves at once."""

PATIENCE = 8
"""Urgent batches in a row after which waiting bulk work gets one turn."""
ATTENTION = 10.0
"""Seconds after an urgent request during which bulk batches stay small, since the next one may come at any moment."""
SMALL = 4
"""Bulk batches are so many times smaller then."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Items of one kind of work that go through the network together."""

    work: Work[Any, Any]
    bulk: bool
    slots: tuple[tuple[Request, int], ...]
    """(request, place of one of its items)."""
    distinct: int
    """Items that differ, so that the network has to look at each."""

    @property
    def requests(self) -> int:
        """Limits on how many requests meet in a batch."""
        return len({request for request, _ in self.slots})

    @property
    def cost(self) -> float:
        """In prompts."""
        return self.work.cost * self.distinct


class RequestQueue:
    """Urgent requests first, in order of arrival; those that do not fit into one batch take turns.

    Bulk requests go when no urgent one waits, and once after every PATIENCE urgent batches, so that they never starve.
    Not safe for several threads by itself; time is the caller's.
    """

    def __init__(self, most_waiting: int) -> None:
        self._most_waiting = most_waiting
        self._urgent: Line = {}
        self._bulk: Line = {}
        self._passed_over = 0
        self._last_urgent = float("-inf")

    def __len__(self) -> int:
        return len(self._urgent) + len(self._bulk)

    @property
    def cost(self) -> float:
        """Of all that waits, in prompts."""
        return sum(request.work.cost * request.rest for line in (self._urgent, self._bulk) for request in line)

    def add(self, request: Request) -> None:
        """Put a request at the end of its line; one without items needs no turn.

        Raises:
            Busy: too many wait already.
        """
        if len(self) >= self._most_waiting:
            raise Busy(
                f"the model is busy: {len(self)} calls wait for it already, which is the most it lets wait;"
                f" make the same"
                " call again in a moment"
            )
        if not request.bulk:
            self._last_urgent = request.arrived
        if request.rest:
            self._line(request)[request] = None

    def discard(self, request: Request) -> bool:
        """Take a request out; False where it does not wait any more."""
        line = self._line(request)
        waited = request in line
        line.pop(request, None)
        return waited

    def hurry(self, request: Request) -> None:
        """Move a request that still waits to the end of the urgent line."""
        if self.discard(request):
            request.bulk = False
            self._line(request)[request] = None

    def drain(self) -> list[Request]:
        """Take all requests out."""
        drained = [*self._urgent, *self._bulk]
        self._urgent.clear()
        self._bulk.clear()
        return drained

    def head(self) -> Request | None:
        """The request that the next batch starts with; None where nobody waits."""
        bulk = next(iter(self._bulk), None)
        if bulk is not None and self._passed_over >= PATIENCE:
            return bulk
        return next(iter(self._urgent), bulk)

    def full(self, head: Request, now: float) -> bool:
        """Whether a batch that starts with `head` would have no room left."""
        waiting = sum(request.rest for request in self._line(head) if request.work is head.work)
        return waiting >= self._room(head, now)

    def take(self, now: float) -> Batch | None:
        """The next batch; None where nobody waits."""
        head = self.head()
        if head is None:
            return None
        if head.bulk or not self._bulk:
            self._passed_over = 0
        else:
            self._passed_over += 1
        return self._batch(head, now)

    def take_urgent(self, now: float) -> Batch | None:
        """The next batch of urgent requests, for a pause of bulk work; None where none waits."""
        head = next(iter(self._urgent), None)
        return None if head is None else self._batch(head, now)

    def _batch(self, head: Request, now: float) -> Batch:
        line, room = self._line(head), self._room(head, now)
        slots: list[tuple[Request, int]] = []
        taken: set[Hashable] = set()
        for request in [request for request in line if request.work is head.work]:
            places = request.take(taken, room)  # in a full batch there is still room for what is in it already
            slots += [(request, place) for place in places]
            if places:
                del line[request]
                if request.rest:
                    line[request] = None  # behind the others: a long request must not hold up short ones
        return Batch(head.work, head.bulk, tuple(slots), len(taken))

    def _room(self, head: Request, now: float) -> int:
        if head.bulk and now - self._last_urgent < ATTENTION:
            return max(1, head.work.most // SMALL)
        return head.work.most

    def _line(self, request: Request) -> Line:
        return self._bulk if request.bulk else self._urgent
