"""The model for many callers at once: their calls meet in batches."""

import copy
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sam3_agent.model.batching import IMAGE_COST, Engine, Plan
from sam3_agent.model.engine_segmenter import Answer, EngineSegmenter
from sam3_agent.model.request_context import current_caller
from sam3_agent.model.scheduler.queue import RequestQueue
from sam3_agent.model.scheduler.request import Pending, Request
from sam3_agent.model.scheduler.worker import Worker
from sam3_agent.model.segmenter import BringsConcepts, Features, KeepsStatistics, WarmsUp
from sam3_agent.model.video_segmenter import TrackedMask, TrackMemory, TrackRequest
from sam3_agent.types import (
    DETECT_DEFAULTS,
    Concept,
    ConceptPrompt,
    Detection,
    DetectOptions,
    ModelInfo,
)

MAX_WAIT = 0.003
"""Seconds."""
MAX_WAITING = 128
"""Calls; an encode that waits holds its resized pixels, 12 MB at full size."""


@dataclass(eq=False, slots=True)
class Replica:
    """One engine with its worker."""

    engine: Engine
    worker: Worker
    encodes: int = 0
    coming: int = 0
    """Images that are being prepared for it."""

    @property
    def load(self) -> tuple[float, int]:
        """Orders replicas by work to do; equal ones by images encoded, so that images spread out."""
        return self.worker.load + IMAGE_COST * self.coming, self.encodes


@dataclass(frozen=True, slots=True, eq=False)
class PlacedFeatures:
    """Features together with the replica that encoded them: every question about an image goes there."""

    replica: Replica
    own: Features
    """As the replica's engine knows them."""

    @property
    def height(self) -> int:
        """Original height in pixels."""
        return self.own.height

    @property
    def width(self) -> int:
        """Original width in pixels."""
        return self.own.width

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self.own.nbytes


class Scheduler(EngineSegmenter[Replica]):
    """A `Segmenter` and `VideoSegmenter` in front of one or several engines; any number of threads may call it.

    Calls of different threads and on different images go through the network in one batch. Urgent ones go first; see
    `bulk` and `calling`. Each engine has a worker thread; images go to the one with the least to do and stay with it.
    Use it as a context manager, or `close` it.
    """

    def __init__(
        self, engines: Sequence[Engine], *, max_wait: float = MAX_WAIT, max_waiting: int = MAX_WAITING
    ) -> None:
        """Start a thread for each engine.

        Args:
            engines: equal ones, usually replicas on several devices.
            max_wait: seconds that a batch waits to fill at most; an idle scheduler never waits.
            max_waiting: calls in each engine's queue; one more raises Busy.
        """
        if not engines:
            raise ValueError("a scheduler needs at least one engine")
        self._replicas = [
            Replica(engine, Worker(f"model-{number}", RequestQueue(max_waiting), max_wait=max_wait))
            for number, engine in enumerate(engines)
        ]
        infos = [engine.info for engine in engines]
        self._info = replace(infos[0], device=",".join(info.device for info in infos))
        self._choosing = threading.Lock()
        self._is_bulk = False

    @property
    def info(self) -> ModelInfo:
        """The first engine's, with the devices of all."""
        return self._info

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """Those of the engines, which are equal."""
        first = self._replicas[0].engine
        return first.concepts if isinstance(first, BringsConcepts) else ()

    def named(self, prompt: ConceptPrompt) -> ConceptPrompt:
        """The prompt that is really asked; see `BringsConcepts`."""
        first = self._replicas[0].engine
        return first.named(prompt) if isinstance(first, BringsConcepts) else prompt

    def bulk(self) -> "Scheduler":
        """The same scheduler for callers with much to do and time to wait: all others go first.

        It shares everything with this one: closing either closes both.
        """
        view = copy.copy(self)
        view._is_bulk = True
        return view

    def encode(self, image: NDArray[np.uint8]) -> PlacedFeatures:
        """Encode an (H, W, 3) RGB image; see `Segmenter.encode` and `begin_encode`."""
        return self.begin_encode(image).result()[0]

    def track(
        self, features: Features, frame: int, requests: Sequence[TrackRequest], *, reverse: bool = False
    ) -> list[TrackedMask]:
        """Find objects on a frame; see `VideoSegmenter.track`.

        The objects are shared out over all replicas, in equal parts. Memories may come from any of them; they are
        moved where they are needed (7 MB an object at full size), as is what objects need of the frame (21 MB).
        """
        home, _, own = self._placed(features)
        replicas = [home, *(each for each in self._replicas if each is not home)][: max(1, len(requests))]
        bounds = [len(requests) * place // len(replicas) for place in range(len(replicas) + 1)]
        begun = [
            self._begin(each, each.engine.plan_track(own, frame, requests[first:last], reverse=reverse))
            for each, (first, last) in zip(replicas, pairwise(bounds), strict=True)
        ]
        return [mask for pending in begun for mask in pending.result()]

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> TrackMemory:
        """A memory out of a file; see `VideoSegmenter.restore`."""
        return self._replicas[0].engine.restore(arrays)

    def begin_encode(self, image: NDArray[np.uint8]) -> Pending[PlacedFeatures]:
        """Ask for an image's features without waiting for them.

        Raises:
            InputError: the array is not an (H, W, 3) RGB image.
            Busy: too many calls wait already.
            Cancelled: the caller has given up (see `calling`).
            ModelUnavailable: the scheduler was closed.
        """
        with self._least_busy() as replica:
            plan = replica.engine.plan_encode(image)
            return self._begin(
                replica, Plan(plan.work, plan.items, lambda raw: PlacedFeatures(replica, plan.finish(raw)))
            )

    def begin_detect(
        self, features: Features, prompts: Sequence[ConceptPrompt], options: DetectOptions = DETECT_DEFAULTS
    ) -> Pending[Detection]:
        """Ask for the answers to prompts without waiting for them.

        Raises:
            InputError: a phrase is too long, or an exemplar box lies outside the image.
            Busy: too many calls wait already.
            Cancelled: the caller has given up (see `calling`).
            ModelUnavailable: the scheduler was closed.
        """
        home, engine, own = self._placed(features)
        return self._begin(home, engine.plan_detect(own, prompts, options))

    def warm_up(self) -> float:
        """Warm up every engine that can be (see `Sam3.warm_up`), one after the other; gives the seconds."""
        engines = [replica.engine for replica in self._replicas]
        return sum(engine.warm_up() for engine in engines if isinstance(engine, WarmsUp))

    def statistics(self) -> dict[str, Any]:
        """{"replicas": [...]}: of each its device, images encoded, counts of its worker, and what its engine counts."""
        return {
            "replicas": [
                {
                    "device": replica.engine.info.device,
                    "encodes": replica.encodes,
                    **replica.worker.statistics(),
                    "engine": replica.engine.statistics() if isinstance(replica.engine, KeepsStatistics) else {},
                }
                for replica in self._replicas
            ]
        }

    def close(self, timeout: float | None = None) -> None:
        """End the threads: what runs is finished and answered, what waits fails with ModelUnavailable.

        With a `timeout` in seconds it does not wait longer than that for each running batch.
        """
        for replica in self._replicas:
            replica.worker.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, replica: Replica, plan: Plan[Answer]) -> Pending[Answer]:
        """Queue a plan of the replica's engine for whoever calls."""
        caller = current_caller()
        bulk = self._is_bulk or caller.bulk
        name, weight = caller.principal.name, caller.principal.weight
        request = replica.worker.submit(
            lambda now: Request(plan, bulk=bulk, arrived=now, principal=name, weight=weight)
        )
        pending = Pending(plan, request, caller)
        try:
            caller.await_answer(request.future, partial(replica.worker.hurry, request))
        except BaseException:
            pending.cancel()
            raise
        return pending

    @contextmanager
    def _least_busy(self) -> Generator[Replica]:
        """The replica that the next image should go to; it counts as busy with it from now on."""
        with self._choosing:
            replica = min(self._replicas, key=lambda each: each.load)
            replica.coming += 1
        try:
            yield replica
            replica.encodes += 1
        finally:
            with self._choosing:
                replica.coming -= 1

    def _placed(self, features: Features) -> tuple[Replica, Engine, Features]:
        if not isinstance(features, PlacedFeatures) or features.replica not in self._replicas:
            raise TypeError(f"these features are not of this model but {type(features).__name__}")
        return features.replica, features.replica.engine, features.own

    def _answer(self, place: Replica, plan: Plan[Answer]) -> list[Answer]:
        return self._begin(place, plan).result()
