"""A double of Serve's `DeploymentHandle`: replicas of this process, which can be full, slow or dead."""

import asyncio
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

import ray.exceptions
import ray.serve.exceptions

from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.model.served_segmenter import Question
from sam3_agent.serving.replica import LoadedModel, Replica


def replica(segmenter: FakeSegmenter, feature_bytes: int = 10**9) -> Replica:
    return Replica(lambda: LoadedModel((segmenter,), "fake", "0" * 16), threads=4, feature_bytes=feature_bytes)


class Response:
    def __init__(self, pool: ThreadPoolExecutor, call: Any) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._future: Future[Any] = pool.submit(asyncio.run, self._run(call))

    async def _run(self, call: Any) -> Any:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        return await call

    def result(self, timeout_s: float | None = None) -> Any:
        try:
            return self._future.result(timeout_s)
        except (CancelledError, asyncio.CancelledError):
            raise ray.exceptions.TaskCancelledError from None

    def cancel(self) -> None:
        if self._loop is not None and self._task is not None and not self._future.done():
            self._loop.call_soon_threadsafe(self._task.cancel)


class Handle:
    """Sends an image to the replica of its digest, while that lives, else to the next one that does."""

    def __init__(self, *replicas: Replica) -> None:
        self.replicas = list(replicas)
        self.dead: set[int] = set()
        self.dying: set[int] = set()
        """Replicas that die over the next question."""
        self.full = 0
        """Questions that find the queue full."""
        self.questions: list[Question] = []
        self._pool = ThreadPoolExecutor(8)

    def close(self) -> None:
        self._pool.shutdown()

    def options(self, *, session_id: str) -> "Handle":
        return self

    @property
    def ask(self) -> "_Method":
        return _Method(self._ask)

    @property
    def about(self) -> "_Method":
        return _Method(lambda: Response(self._pool, self.replicas[0].about()))

    def place_of(self, key: str) -> int:
        order = [(int(key, 16) + step) % len(self.replicas) for step in range(len(self.replicas))]
        return next(place for place in order if place not in self.dead)

    def _ask(self, question: Question) -> Response:
        self.questions.append(question)
        if self.full:
            self.full -= 1
            return Response(self._pool, _raising(ray.serve.exceptions.BackPressureError(4, 4)))
        place = self.place_of(question.key)
        if place in self.dying:
            self.dying.discard(place)
            self.dead.add(place)
            return Response(self._pool, _raising(ray.exceptions.ActorDiedError()))
        return Response(self._pool, self.replicas[place].ask(question))


class _Method:
    def __init__(self, call: Any) -> None:
        self.remote = call


async def _raising(error: Exception) -> Any:
    raise error
