"""Queue in front of one network: which requests go next, and in which batch."""

import itertools
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from sam3_agent.errors import Busy
from sam3_agent.model.batching import Work
from sam3_agent.model.scheduler.request import Request

PATIENCE = 8
"""Urgent batches in a row after which waiting bulk work gets one turn."""
ATTENTION = 10.0
"""Seconds after an urgent request during which bulk batches stay small, since the next one may come at any moment."""
SMALL = 4
"""Bulk batches are so many times smaller then."""
TURN_SECONDS = 0.05
"""Time of a batch while several principals ask, as far as it can be foreseen: nobody notices a wait of this length, and
a batch of a GPU (16 prompts in 30 ms) stays whole."""
_FRESH = 0.3
"""Share of the newest batch in the mean that foresees the next one's time."""


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
        """Requests that meet in this batch."""
        return len({request for request, _ in self.slots})

    @property
    def principals(self) -> set[str]:
        """Principals whose requests meet in this batch."""
        return {request.principal for request, _ in self.slots}

    @property
    def cost(self) -> float:
        """In prompts."""
        return self.work.cost * self.distinct


class Line:
    """Waiting requests of one urgency, principals in turn and each one's requests in order of arrival.

    Start-time fair queuing (Goyal, Vin, Cheng: SIGCOMM 1996): every principal has a time that advances with what it was
    served, by cost / weight, and the smallest time goes next. One that asks again after a while starts at the present:
    it has saved no turns up and owes none.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, dict[Request, None]] = {}
        """By principal; a dict of requests, so that one that gives up leaves at once."""
        self._times: dict[str, float] = {}
        self._present = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[Request]:
        """All requests, one of each principal in turn, the principal that goes next first."""
        in_turn = sorted(self._waiting, key=self._time)
        rounds = itertools.zip_longest(*(self._waiting[principal] for principal in in_turn))
        return (request for one_each in rounds for request in one_each if request is not None)

    def of(self, principal: str) -> dict[Request, None]:
        """Requests of one principal, the oldest first."""
        return self._waiting.get(principal, {})

    def add(self, request: Request) -> None:
        """Put a request behind the others of its principal."""
        self._waiting.setdefault(request.principal, {})[request] = None

    def discard(self, request: Request) -> bool:
        """Take a request out; False where it does not wait here."""
        waiting = self._waiting.get(request.principal, {})
        found = request in waiting
        waiting.pop(request, None)
        if found and not waiting:
            del self._waiting[request.principal]
        return found

    def first(self) -> Request | None:
        """The request that goes next; None where nobody waits."""
        if not self._waiting:
            return None
        return next(iter(self._waiting[min(self._waiting, key=self._time)]))

    def served(self, head: Request, costs: dict[str, float]) -> None:
        """Advance the times of those served by cost / weight; `head` was the first of them."""
        self._present = self._time(head.principal)
        for principal, cost in costs.items():
            self._times[principal] = self._time(principal) + cost
        self._times = {name: time for name, time in self._times.items() if time > self._present}

    def is_ahead(self, request: Request, others: set[str]) -> bool:
        """Whether the request's principal has been served less than each of the others."""
        return all(self._time(request.principal) < self._time(other) for other in others)

    def _time(self, principal: str) -> float:
        return max(self._times.get(principal, 0.0), self._present)


class RequestQueue:
    """Urgent requests first, principals in turn by their weights, each one's requests in order of arrival; those that
    do not fit into one batch take turns.

    Bulk requests go when no urgent one waits, and once after every PATIENCE urgent batches, so that they never starve.
    Not safe for several threads by itself; time is the caller's.
    """

    def __init__(self, most_waiting: int, most_each: int | None = None) -> None:
        """`most_each` is for each named principal; half of all by default, so that no two can fill the queue alone."""
        self._most_waiting = most_waiting
        self._most_each = most_each if most_each is not None else max(1, most_waiting // 2)
        self._urgent, self._bulk = Line(), Line()
        self._passed_over = 0
        self._last_urgent = float("-inf")
        self._seen: dict[str, float] = {}
        """Time at which each principal last asked."""
        self._pace: dict[Work[Any, Any], float] = {}
        """Seconds an item, a moving mean."""

    def __len__(self) -> int:
        return len(self._urgent) + len(self._bulk)

    @property
    def cost(self) -> float:
        """Cost of all that waits, in prompts."""
        return sum(request.work.cost * request.rest for line in (self._urgent, self._bulk) for request in line)

    def waiting_of(self, principal: str) -> int:
        """Count the requests of one principal that wait."""
        return len(self._urgent.of(principal)) + len(self._bulk.of(principal))

    def waiting(self) -> dict[str, int]:
        """Count the requests that wait, by principal."""
        return {name: count for name in self._seen if (count := self.waiting_of(name))}

    def contended(self, now: float) -> bool:
        """Whether several principals ask: within the last ATTENTION seconds."""
        return sum(now - seen < ATTENTION for seen in self._seen.values()) > 1

    def add(self, request: Request) -> Request | None:
        """Put a request at the end of its line; one without items needs no turn.

        Gives the request that has to leave for it where the queue is full: the newest of whoever has most waiting.

        Raises:
            Busy: too many wait already, and nobody has more waiting than the one who asks.
        """
        mine = self.waiting_of(request.principal)
        if request.principal and mine >= self._most_each:
            raise Busy(f"{mine} of your calls wait for the model, as many as one client may; wait for one of them")
        leaving = self._make_room(mine) if len(self) >= self._most_waiting else None
        self._note(request)
        if request.rest:
            self._line(request).add(request)
        return leaving

    def discard(self, request: Request) -> bool:
        """Take a request out; False where it does not wait any more."""
        return self._line(request).discard(request)

    def hurry(self, request: Request) -> None:
        """Move a request that still waits to the end of the urgent line."""
        if self.discard(request):
            request.bulk = False
            self._line(request).add(request)

    def drain(self) -> list[Request]:
        """Take all requests out."""
        drained = [*self._urgent, *self._bulk]
        self._urgent, self._bulk = Line(), Line()
        return drained

    def head(self) -> Request | None:
        """The request that the next batch starts with; None where nobody waits."""
        bulk = self._bulk.first()
        if bulk is not None and self._passed_over >= PATIENCE:
            return bulk
        return self._urgent.first() or bulk

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

    def take_ahead(self, running: Batch, now: float) -> Batch | None:
        """The batch that goes in a pause of a running one: urgent requests before bulk ones, and requests of a
        principal who has had less than those of the running batch; None where there are none.
        """
        head = self._urgent.first()
        if head is None or not (running.bulk or self._urgent.is_ahead(head, running.principals)):
            return None
        return self._batch(head, now)

    def ran(self, batch: Batch, seconds: float) -> None:
        """Learn from the time that a batch took how much fits into a turn."""
        each = seconds / max(1, batch.distinct)
        self._pace[batch.work] = each + (1 - _FRESH) * (self._pace.get(batch.work, each) - each)

    def _batch(self, head: Request, now: float) -> Batch:
        line, room = self._line(head), self._room(head, now)
        waiting = [request for request in line if request.work is head.work]
        share = -(-room // len({request.principal for request in waiting}))
        slots: list[tuple[Request, int]] = []
        taken: set[Hashable] = set()
        costs: dict[str, float] = {}
        for most in (share, room):  # first everybody's share, then what room is left
            for request in waiting:
                # In a full batch there is still room for what is in it already.
                places = request.take(taken, min(room, len(taken) + most)) if request.rest else []
                slots += [(request, place) for place in places]
                cost = request.work.cost * len(places) / request.weight
                costs[request.principal] = costs.get(request.principal, 0.0) + cost
        line.served(head, costs)
        for request in dict(slots):
            line.discard(request)
            if request.rest:
                line.add(request)  # behind the others: a long request must not hold up short ones
        return Batch(head.work, head.bulk, tuple(slots), len(taken))

    def _room(self, head: Request, now: float) -> int:
        room = head.work.most
        if head.bulk and now - self._last_urgent < ATTENTION:
            room //= SMALL
        if head.work in self._pace and self.contended(now):
            room = min(room, int(TURN_SECONDS / max(self._pace[head.work], 1e-6)))
        return max(1, room)

    def _make_room(self, mine: int) -> Request:
        """The newest request of the principal with most waiting, taken out.

        Raises:
            Busy: nobody has so many more waiting than the one who asks that it would be fair.
        """
        counts = self.waiting()
        most = max(counts, key=lambda name: counts[name])
        if counts[most] <= mine + 1:
            raise Busy(
                f"the model is busy: {len(self)} calls wait for it already, which is the most it lets wait;"
                " make the same call again in a moment"
            )
        newest = next(reversed(self._bulk.of(most) or self._urgent.of(most)))
        self.discard(newest)
        return newest

    def _note(self, request: Request) -> None:
        if not request.bulk:
            self._last_urgent = request.arrived
        self._seen[request.principal] = request.arrived
        if len(self._seen) > self._most_waiting:  # no more than that can wait; the others have long gone
            waiting = self.waiting()
            old = sorted((name for name in self._seen if name not in waiting), key=lambda name: self._seen[name])
            for name in old[: len(self._seen) - self._most_waiting]:
                del self._seen[name]

    def _line(self, request: Request) -> Line:
        return self._bulk if request.bulk else self._urgent
