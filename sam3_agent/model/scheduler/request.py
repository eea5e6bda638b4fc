"""Request: one call that waits for its turn with the network."""

from collections.abc import Hashable
from concurrent.futures import CancelledError, Future
from typing import Any, Generic, TypeVar

from sam3_agent.errors import Busy, Cancelled
from sam3_agent.model.batching import Plan
from sam3_agent.model.request_context import Caller

Answer = TypeVar("Answer")


class Request:
    """A plan on its way: its items go out in one or several batches, and its future gets all raw results at once.

    Cancelling the future takes the request out of the queue, also between two of its batches. An error in one item
    fails the request.
    """

    def __init__(
        self, plan: Plan[Any], *, bulk: bool, arrived: float, principal: str = "", weight: float = 1.0
    ) -> None:
        """`arrived` by the worker's clock; principals are served in turn, by their weights."""
        self.work = plan.work
        self.bulk = bulk
        self.arrived = arrived
        self.principal = principal
        self.weight = weight
        self.future: Future[list[Any]] = Future()
        self._items = plan.items
        self._waiting = list(range(len(plan.items)))
        self._raw: list[Any] = [None] * len(plan.items)
        self._missing = len(plan.items)
        if not plan.items:
            self.future.set_result([])

    @property
    def rest(self) -> int:
        """Items that have not gone out yet."""
        return len(self._waiting)

    def take(self, taken: set[Hashable], room: int) -> list[int]:
        """The places of the next items to go out: those that are like one of `taken`, and others until it has `room`.

        Their keys are added to `taken`.
        """
        places: list[int] = []
        for place in self._waiting:
            key = self.work.key(self._items[place])
            if key in taken or len(taken) < room:
                taken.add(key)
                places.append(place)
        out = set(places)
        self._waiting = [place for place in self._waiting if place not in out]
        return places

    def item(self, place: int) -> Any:
        """The item at a place."""
        return self._items[place]

    def answer(self, place: int, raw: Any) -> None:
        """The raw result of an item; the last one settles the future."""
        self._raw[place] = raw
        self._missing -= 1
        if not self._missing and not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_result(self._raw)

    def fail(self, error: BaseException) -> None:
        """Settle the future with an error, unless it is settled or cancelled already."""
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Pending(Generic[Answer]):
    """Answers to come; `Scheduler.begin_encode` and `begin_detect` give them out."""

    def __init__(self, plan: Plan[Answer], request: Request, caller: Caller) -> None:
        self._plan = plan
        self._future = request.future
        self._caller = caller

    def done(self) -> bool:
        """Whether `result` would not wait."""
        return self._future.done()

    def cancel(self) -> bool:
        """Give up; what has not gone through the network yet never will. False where the answer is there already."""
        return self._future.cancel()

    def result(self) -> list[Answer]:
        """Wait, and finish the answers in this thread; whoever stops waiting for any reason has given up.

        Raises:
            Busy: the caller's deadline came first.
            Cancelled: the caller gave up.
        """
        try:
            raw = self._future.result(self._caller.seconds_left())
        except CancelledError as error:
            raise Cancelled("the caller gave up before the model had answered") from error
        except TimeoutError as error:
            if self._future.done():
                raise
            raise Busy(
                "the model did not answer in the time given: it has much to do; ask again, for fewer things at"
                " a time, or"
                " allow more seconds"
            ) from error
        finally:
            self._future.cancel()
        return [self._plan.finish(each) for each in raw]
