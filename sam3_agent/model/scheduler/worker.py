"""The one thread that runs a network, batch after batch."""

import logging
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from sam3_agent.errors import Busy, ModelUnavailable
from sam3_agent.model.scheduler.preemption import listen
from sam3_agent.model.scheduler.queue import Batch, RequestQueue
from sam3_agent.model.scheduler.request import Request

_log = logging.getLogger(__name__)
_CLOSED = "the model was closed; load it again"
MOST_WITHIN = 2
"""Batches that wait in their pauses for others at most: bulk work for a call, and that call for one of a principal who
has had less. Each further one would only take memory, and at a thousand frames of Python's stack everything ends."""


@dataclass(slots=True)
class Counts:
    """Counts of a worker's work."""

    requests: int = 0
    cancelled: int = 0
    """Requests whose callers gave up while they waited."""
    refused: int = 0
    """Requests that found the queue full."""
    batches: int = 0
    items: int = 0
    shared: int = 0
    """Batches in which several requests met."""
    between: int = 0
    """Batches that were run in a pause of another one: urgent ones in bulk ones, or those of another principal."""


class Worker:
    """Runs batches from a queue in a thread of its own, until it is closed.

    An idle worker starts at once. Right after a batch in which several requests met, when their callers are about to
    ask again, the next one waits up to `max_wait` seconds to fill.
    """

    def __init__(
        self, name: str, queue: RequestQueue, *, max_wait: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._queue = queue
        self._max_wait = max_wait
        self._clock = clock
        self._counts = Counts()
        self._change = threading.Condition()
        self._closed = False
        self._running = 0.0
        self._within = 0
        self._met = 0
        self._ended = float("-inf")
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def load(self) -> float:
        """Count the prompts that wait and those that run."""
        with self._change:
            return self._queue.cost + self._running

    def statistics(self) -> dict[str, int]:
        """Counts so far, and how many requests wait now."""
        with self._change:
            return {**asdict(self._counts), "waiting": len(self._queue)}

    def submit(self, make: Callable[[float], Request]) -> Request:
        """Queue the request that `make` makes of the time of its arrival.

        Raises:
            Busy: the queue is full.
            ModelUnavailable: the worker was closed.
        """
        with self._change:
            if self._closed:
                raise ModelUnavailable(_CLOSED)
            request = make(self._clock())
            try:
                leaving = self._queue.add(request)
            except Busy:
                self._counts.refused += 1
                raise
            self._counts.requests += 1
            self._counts.refused += leaving is not None
            self._change.notify()
        if leaving is not None:
            leaving.fail(Busy("the model is busy, and you have most calls waiting for it; make this one again later"))
        # A future keeps its callbacks: one that held the request would keep pixels and features until the next full
        # collection of garbage, in a server minutes away.
        request.future.add_done_callback(partial(self._give_up, weakref.ref(request)))
        return request

    def hurry(self, request: Request) -> None:
        """Let a bulk request that still waits go with the urgent ones."""
        with self._change:
            self._queue.hurry(request)
            self._change.notify()

    def close(self, timeout: float | None = None) -> None:
        """Fail all that wait, then wait for the running batch, at most `timeout` seconds."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._fail_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _work(self) -> None:
        try:
            while self._turn():
                pass
        finally:  # even after a bug in this file nobody may wait forever
            self._closed = True
            self._fail_all()

    def _turn(self) -> bool:
        """Run one batch, of which nothing stays alive afterwards; False when closed."""
        batch = self._next()
        if batch is not None:
            self._run(batch)
        return batch is not None

    def _fail_all(self) -> None:
        with self._change:
            waiting = self._queue.drain()
        for request in waiting:
            request.fail(ModelUnavailable(_CLOSED))

    def _give_up(self, asked: "weakref.ref[Request]", future: "Future[list[Any]]") -> None:
        """Take a request whose future was cancelled out of the queue."""
        request = asked()
        if request is None or not future.cancelled():
            return
        with self._change:
            self._counts.cancelled += 1
            self._queue.discard(request)

    def _next(self) -> Batch | None:
        """Wait for the next batch; None when closed."""
        with self._change:
            while not self._closed:
                now = self._clock()
                start = self._start(now)
                if start is not None and start <= now:
                    return self._begun(self._queue.take(now))
                self._change.wait(None if start is None else start - now)
        return None

    def _start(self, now: float) -> float | None:
        """Return the time at which the next batch should start; None while nobody waits."""
        head = self._queue.head()
        if head is None:
            return None
        idle = self._met < 2 or now - self._ended >= self._max_wait
        return now if idle or self._queue.full(head, now) else head.arrived + self._max_wait

    def _begun(self, batch: Batch | None) -> Batch | None:
        if batch is not None:
            self._running += batch.cost
            self._met = batch.requests
            self._counts.batches += 1
            self._counts.items += len(batch.slots)
            self._counts.shared += batch.requests > 1
        return batch

    def _run(self, batch: Batch) -> None:
        began = self._clock()
        with self._change:
            pausing = self._within < MOST_WITHIN and (batch.bulk or self._queue.contended(began))
        with listen(partial(self._run_ahead, batch)) if pausing else nullcontext():
            outcomes = _outcomes(batch)
        with self._change:
            self._running -= batch.cost
            self._ended = self._clock()
            self._queue.ran(batch, self._ended - began)
        for (request, place), outcome in zip(batch.slots, outcomes, strict=True):
            outcome(request, place)
            if request.future.done():  # failed with items left
                with self._change:
                    self._queue.discard(request)

    def _run_ahead(self, running: Batch) -> None:
        """One batch in a pause of a running one; one only, so that the running one always gets on."""
        with self._change:
            batch = self._begun(self._queue.take_ahead(running, self._clock()))
            self._counts.between += batch is not None
        if batch is not None:
            self._within += 1  # of this thread alone
            try:
                self._run(batch)
            finally:
                self._within -= 1


Outcome = Callable[[Request, int], None]
"""Tells a request what became of its item at a place."""


def _outcomes(batch: Batch) -> list[Outcome]:
    """One outcome a slot; when a batch fails, its items go one by one, so that only what is at fault fails."""
    items = [request.item(place) for request, place in batch.slots]
    if len(items) > 1:
        try:
            return [partial(_answer, raw) for raw in batch.work.answers(items)]
        except Exception:  # noqa: BLE001  # error boundary: every item's own run below says what is wrong
            _log.debug("a batch of %d failed, its items go one by one", len(items), exc_info=True)
    return [_alone(batch, item) for item in items]


def _alone(batch: Batch, item: Any) -> Outcome:
    try:
        (raw,) = batch.work.answers([item])
    except Exception as error:  # noqa: BLE001  # error boundary: it is raised in the thread of whoever asked
        return partial(_fail, error)
    return partial(_answer, raw)


def _answer(raw: Any, request: Request, place: int) -> None:
    request.answer(place, raw)


def _fail(error: Exception, request: Request, place: int) -> None:
    request.fail(error)
