"""An engine whose batches stop at a gate, so that a test decides what meets while the network is busy."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.model.batching import IMAGE_COST, Plan, Work
from sam3_agent.model.scheduler import Pending, PlacedFeatures, Scheduler
from sam3_agent.model.scheduler.preemption import pause
from sam3_agent.model.segmenter import Features
from sam3_agent.types import (
    DETECT_DEFAULTS,
    ClickedMask,
    ClickPrompt,
    ConceptPrompt,
    Detection,
    DetectOptions,
    Exemplar,
    ExemplarTokens,
    ModelInfo,
)

SECONDS = 60.0
BAD = "fails in the network"


@dataclass(eq=False)
class Tagged:
    """Features of an image whose first pixel is its tag."""

    tag: int
    engine: "GatedEngine"
    height: int = 4
    width: int = 4
    nbytes: int = 100


def image(tag: int) -> NDArray[np.uint8]:
    return np.full((4, 4, 3), tag, dtype=np.uint8)


def said(tag: int, phrase: str) -> float:
    """The presence that the engine answers with: another one for every image and phrase."""
    return tag * 1e6 + sum(place * ord(letter) for place, letter in enumerate(phrase, 1))


class GatedEngine:
    """Answers every phrase by `said`. Closed, each batch waits for one `let_through`; memory holds `fits` items."""

    def __init__(self, *, closed: bool = False, most: int = 16, fits: int = 1000, name: str = "cpu") -> None:
        self.batches: list[list[str]] = []
        """What went through together, in order of starting: "3" encodes image 3, "3 cat" asks for cats on it."""
        self.fits = fits
        self.pauses = 0
        """In every encode."""
        self.deepest = 0
        """Encodes at once at most: each but the last waits in a pause of its own."""
        self._depth = 0
        self.threads: set[threading.Thread] = set()
        self._name = name
        self._closed = closed
        self._started = threading.Semaphore(0)
        self._permits = threading.Semaphore(0)
        self._encoding = Work(self._encode, 4, "encoding an image", name, cost=IMAGE_COST)
        self._answering = Work(self._answer, most, "answering a concept", name)

    @property
    def info(self) -> ModelInfo:
        return ModelInfo("gated", self._name, "float32")

    def plan_encode(self, image: NDArray[np.uint8]) -> Plan[Features]:
        return Plan(self._encoding, [int(image[0, 0, 0])], lambda features: features)

    def plan_detect(
        self, features: Features, prompts: Sequence[ConceptPrompt], options: DetectOptions = DETECT_DEFAULTS
    ) -> Plan[Detection]:
        assert isinstance(features, Tagged)
        assert features.engine is self
        if any(prompt.phrase == "too long" for prompt in prompts):
            raise InputError("the concept is too long")
        rows = [(features.tag, str(prompt.phrase)) for prompt in prompts]
        return Plan(self._answering, rows, lambda presence: Detection(presence, ()))

    def plan_read(self, features: Features, examples: Sequence[Exemplar]) -> Plan[ExemplarTokens]:
        raise NotImplementedError

    def plan_click(self, features: Features, prompt: ClickPrompt) -> Plan[tuple[ClickedMask, ...]]:
        raise NotImplementedError

    def wait_for_batches(self, number: int) -> None:
        """Until so many more batches have reached the gate."""
        for _ in range(number):
            assert self._started.acquire(timeout=SECONDS)

    def let_through(self, number: int = 1) -> None:
        for _ in range(number):
            self._permits.release()

    def open(self) -> None:
        """For good."""
        self._closed = False
        self._permits.release()

    def _encode(self, tags: Sequence[int]) -> list[Tagged]:
        self._pass([str(tag) for tag in tags])
        self._depth += 1
        self.deepest = max(self.deepest, self._depth)
        for _ in range(self.pauses):
            pause()
        self._depth -= 1
        return [Tagged(tag, self) for tag in tags]

    def _answer(self, rows: Sequence[tuple[int, str]]) -> list[float]:
        self._pass([f"{tag} {phrase}" for tag, phrase in rows])
        if any(phrase == BAD for _, phrase in rows):
            raise ZeroDivisionError(BAD)
        return [said(tag, phrase) for tag, phrase in rows]

    def _pass(self, names: list[str]) -> None:
        self.threads.add(threading.current_thread())
        self.batches.append(names)
        self._started.release()
        if self._closed:
            assert self._permits.acquire(timeout=SECONDS)
        if len(names) > self.fits:
            raise torch.OutOfMemoryError(f"{len(names)} do not fit")


def in_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    """Start a call in a thread of its own; what is returned waits for its result."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001  # handed to the test
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(SECONDS)
        return results[0]

    return result


def prompts(*phrases: str) -> list[ConceptPrompt]:
    return [ConceptPrompt(phrase) for phrase in phrases]


def presences(found: list[Detection]) -> list[float]:
    return [each.presence for each in found]


def features(scheduler: Scheduler, engine: GatedEngine, tag: int) -> PlacedFeatures:
    """Without an encode."""
    return PlacedFeatures(scheduler._replicas[0], Tagged(tag, engine))


def held(engine: GatedEngine, scheduler: Scheduler) -> Pending[Detection]:
    """Keep the network busy with one question, so that what comes next has to wait."""
    pending = scheduler.begin_detect(features(scheduler, engine, 0), prompts("first"))
    engine.wait_for_batches(1)
    return pending
