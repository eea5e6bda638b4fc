"""Replica of a served model: a scheduler over its devices, and the features of the images that are routed to it."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from sam3_agent.errors import Sam3AgentError
from sam3_agent.model.batching import Engine
from sam3_agent.model.request_context import Caller, calling
from sam3_agent.model.segmenter import Features
from sam3_agent.model.served_segmenter import Answered, Missing, Question, Refused, Reply, ServedMemory, ServedModel
from sam3_agent.workspace.feature_cache import FeatureCache, Key


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Engines of a replica, one a device."""

    engines: tuple[Engine, ...]
    name: str
    """Of the model, as whoever serves it named it."""
    weights: str
    """Hash of the weights."""


class Replica:
    """Class of the deployment. Every call has a thread of its own; calls meet in the batches of the scheduler."""

    def __init__(self, load: Callable[[], LoadedModel], threads: int, feature_bytes: int) -> None:
        """Load the model, and warm it up where it has something to warm up.

        Args:
            load: loads the model in the process of the replica.
            threads: calls at a time, the deployment's `max_ongoing_requests`.
            feature_bytes: features of images are kept up to so many bytes.

        Raises:
            ModelUnavailable: the model cannot be loaded; Serve tells it to whoever deploys.
        """
        from sam3_agent.model.scheduler import Scheduler  # imports torch

        loaded = load()
        # Serve lets no more calls in than there are threads, and each asks about one image: no call is sent away here.
        self._scheduler = Scheduler(loaded.engines, max_waiting=2 * threads)
        if self._scheduler.info.device != "cpu":
            self._scheduler.warm_up()
        self._model = ServedModel(replace(self._scheduler.info, name=loaded.name), loaded.weights)
        self._features = FeatureCache(self._scheduler, feature_bytes)
        self._threads = ThreadPoolExecutor(threads, "ask")

    async def about(self) -> ServedModel:
        """Tell what is served."""
        return self._model

    async def ask(self, question: Question) -> Reply:
        """Answer a question; a caller who gives up takes it out of the scheduler's queue."""
        call = _Call(question)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._reply, call)
        except asyncio.CancelledError:
            call.cancel()
            raise

    async def statistics(self) -> dict[str, Any]:
        """{"pid", "features", "eye"}: counts of this replica."""
        return {"pid": os.getpid(), **self._features.statistics()}

    def __del__(self) -> None:
        """End the threads where Serve takes the replica away; a constructor that failed has none."""
        if hasattr(self, "_threads"):
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._scheduler.close(timeout=0)

    def _reply(self, call: "_Call") -> Reply:
        question = call.question
        try:
            with calling(bulk=question.bulk, seconds=question.seconds, principal=question.principal) as caller:
                call.begin(caller)
                return self._answer(question)
        except Sam3AgentError as error:
            return Refused(error)

    def _answer(self, question: Question) -> Reply:
        key: Key = (question.key, (0, 0, 0, 0))
        image = question.image
        features = self._features.held(key) if image is None else self._features.get(key, lambda: image)
        if features is None:
            return Missing()
        if question.verb == "encode":
            return Answered(None)
        if question.verb in ("track", "remember"):
            return Answered(self._follow(question, features))
        return Answered(getattr(self._scheduler, question.verb)(features, *question.arguments))

    def _follow(self, question: Question, features: Features) -> list[Any]:
        """Track objects, or remember them, by memories that come with the question and go with the answer."""
        frame, asked, reverse = question.arguments
        own = [
            each if each.memory is None else replace(each, memory=self._scheduler.restore(each.memory.to_arrays()))
            for each in asked
        ]
        if question.verb == "track":
            return list(self._scheduler.track(features, frame, own, reverse=reverse))
        kept = self._scheduler.remember(features, frame, own, reverse=reverse)
        return [ServedMemory(dict(memory.to_arrays())) for memory in kept]


class _Call:
    """Call that may be given up before or while its thread works on it."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self._caller: Caller | None = None
        self._cancelled = False

    def begin(self, caller: Caller) -> None:
        """Take the caller in; one that has given up already asks nothing any more."""
        self._caller = caller
        if self._cancelled:
            caller.cancel()

    def cancel(self) -> None:
        """Give up."""
        self._cancelled = True
        if self._caller is not None:
            self._caller.cancel()
