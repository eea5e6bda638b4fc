"""Segmenter whose engine is a deployment of Ray Serve: every question goes to the replica that holds the image.

Serve's consistent-hash router sends all questions of one image, by the digest of its pixels, to the same replica.
Features stay there; a replica that does not hold them (it is new, another one died, the image was forgotten, the first
one is full) says so, and the question is asked again together with the pixels. So nothing is lost with a replica, and
every question may be asked twice: none changes anything.
"""

import hashlib
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import Busy, Cancelled, InputError, ModelUnavailable, Sam3AgentError
from sam3_agent.model.ray_cluster import ServedAddress, connect, first_words, import_ray, import_serve
from sam3_agent.model.request_context import NOBODY, Caller, Principal, current_caller
from sam3_agent.model.segmenter import PRESENCE_ONLY, Features
from sam3_agent.model.video_segmenter import Sighting, TrackedMask, TrackMemory, TrackRequest
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

Verb = Literal["encode", "detect", "read_exemplars", "segment_at", "track", "remember"]

HERE = ServedAddress()
PATIENCE = 600.0
"""Seconds that a call without a deadline waits for room in a full queue: bulk work waits, a person would not."""
MOST_LOSSES = 8
"""Replicas that may die over one call: more than a bad machine explains, so the call or the cluster is at fault."""
_PAUSES = (0.05, 1.0)
"""Seconds, the first and the longest, between two tries: of a full queue, and after a death."""
_START_SECONDS = 600.0
"""Until a replica has loaded and compiled its model; full-size weights from a cold disk take minutes."""


@dataclass(frozen=True, slots=True)
class Question:
    """Question to a replica."""

    verb: Verb
    key: str
    """Digest of the image, by which it is routed."""
    arguments: tuple[Any, ...] = ()
    image: NDArray[np.uint8] | None = None
    """(H, W, 3) RGB, where the replica may have to encode it."""
    bulk: bool = False
    seconds: float | None = None
    """Until the caller gives up."""
    principal: Principal = NOBODY


@dataclass(frozen=True, slots=True)
class Answered:
    """Answer of a replica."""

    value: Any


@dataclass(frozen=True, slots=True)
class Missing:
    """Reply of a replica that does not hold the image: ask again, with the pixels."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Reply of a replica that cannot answer: an error of this project's tree, as in the process itself."""

    error: Sam3AgentError


Reply = Answered | Missing | Refused


@dataclass(frozen=True, slots=True)
class ServedModel:
    """Identity of a served model, as its replicas tell it."""

    info: ModelInfo
    weights: str
    """Hash of its weights."""


@dataclass(frozen=True, slots=True, eq=False)
class ServedFeatures:
    """Features of an image that a replica holds, and the pixels, of which another replica makes them anew."""

    key: str
    image: NDArray[np.uint8] = field(repr=False)

    @property
    def height(self) -> int:
        """Original height in pixels."""
        return self.image.shape[0]

    @property
    def width(self) -> int:
        """Original width in pixels."""
        return self.image.shape[1]

    @property
    def nbytes(self) -> int:
        """Memory held in this process, in bytes: the pixels."""
        return self.image.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class ServedMemory:
    """Memory of a tracked object as it travels: replicas keep none, so that none is lost with them."""

    arrays: Mapping[str, NDArray[Any]]

    @property
    def nbytes(self) -> int:
        """Memory held in this process, in bytes."""
        return sum(array.nbytes for array in self.arrays.values())

    def to_arrays(self) -> Mapping[str, NDArray[Any]]:
        """Give the arrays for a file."""
        return self.arrays

    def after(self, frame: int) -> Self:
        """Keep all of it: only the model of a replica can read what is in there, and drops it when it is asked."""
        return self


@dataclass(slots=True)
class Counts:
    """Counts of a client."""

    calls: int = 0
    resent: int = 0
    """Calls that had to send the pixels, as the replica did not hold the image."""
    lost: int = 0
    """Calls whose replica died or left; each was asked again."""
    waited: int = 0
    """Calls that found the queue full and waited."""
    busy: int = 0
    """Calls that were sent away."""


class ServedSegmenter:
    """A `Segmenter` and `VideoSegmenter` over the replicas of a Ray Serve deployment; see `open_served`.

    Any number of threads may call it.

    A call in a `calling` block takes its urgency, deadline and principal along: the scheduler of the replica serves
    principals in turn, and what nobody waits for any more leaves its queue.
    """

    def __init__(self, handle: Any, address: ServedAddress = HERE, *, patience: float = PATIENCE) -> None:
        """Ask a replica what it serves.

        Args:
            handle: a `DeploymentHandle` of what `sam3_agent.serving` deploys.
            address: under which other processes find the same.
            patience: seconds that a call without a deadline waits where the queue is full; 0 raises Busy at once.

        Raises:
            ModelUnavailable: no replica answers.
        """
        self._ray = import_ray()
        self._handle = handle
        self.address = address
        self._patience = patience
        self._counts = Counts()
        self._counting = threading.Lock()
        exceptions = import_serve().exceptions
        self._full: type[Exception] = exceptions.BackPressureError
        self._gone: tuple[type[Exception], ...] = (
            self._ray.exceptions.RayActorError,
            self._ray.exceptions.TaskCancelledError,
            exceptions.DeploymentUnavailableError,
        )
        try:
            self._model: ServedModel = handle.about.remote().result(timeout_s=_START_SECONDS)
        except (exceptions.RayServeException, self._ray.exceptions.RayError, TimeoutError) as error:
            raise ModelUnavailable(f"the served model does not answer: {first_words(error)}") from error

    @property
    def info(self) -> ModelInfo:
        """Name, device and number format of the model of a replica."""
        return self._model.info

    @property
    def weights(self) -> str:
        """Hash of the weights of a replica, as in manifests of evaluations."""
        return self._model.weights

    def encode(self, image: NDArray[np.uint8]) -> ServedFeatures:
        """Have an (H, W, 3) RGB image encoded where questions about it will go.

        Raises:
            InputError: the array is not such an image.
            Busy: the queue is full, or the caller's time is over.
            Cancelled: the caller has given up.
            ModelUnavailable: no replica answers.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise InputError(f"an image must be an (H, W, 3) uint8 RGB array, got shape {image.shape} of {image.dtype}")
        features = ServedFeatures(_digest(image), image)
        self._ask("encode", features)
        return features

    def detect(
        self, features: Features, prompts: Sequence[ConceptPrompt], options: DetectOptions = DETECT_DEFAULTS
    ) -> list[Detection]:
        """Answer every prompt on one encoded image; see `Segmenter.detect` and `encode`."""
        return self._ask("detect", _own(features), tuple(prompts), options)

    def presence(self, features: Features, prompts: Sequence[ConceptPrompt]) -> list[float]:
        """Score the belief that each prompt is in the image; see `Segmenter.presence`."""
        return [found.presence for found in self.detect(features, prompts, PRESENCE_ONLY)]

    def read_exemplars(self, features: Features, examples: Sequence[Exemplar]) -> ExemplarTokens:
        """Read boxes on this image as prompt tokens; see `Segmenter.read_exemplars`."""
        return self._ask("read_exemplars", _own(features), tuple(examples))

    def segment_at(self, features: Features, prompt: ClickPrompt) -> tuple[ClickedMask, ...]:
        """Three readings of which object is meant; see `Segmenter.segment_at`."""
        return self._ask("segment_at", _own(features), prompt)

    def track(
        self, features: Features, frame: int, requests: Sequence[TrackRequest], *, reverse: bool = False
    ) -> list[TrackedMask]:
        """Find objects on a frame; see `VideoSegmenter.track`. Their memories travel along: 7 MB each at full size."""
        return self._ask("track", _own(features), frame, tuple(requests), reverse)

    def remember(
        self, features: Features, frame: int, sightings: Sequence[Sighting], *, reverse: bool = False
    ) -> list[TrackMemory]:
        """The memory of each object after a frame; see `VideoSegmenter.remember`."""
        return self._ask("remember", _own(features), frame, tuple(sightings), reverse)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> TrackMemory:
        """A memory out of a file; see `VideoSegmenter.restore`."""
        return ServedMemory(dict(arrays))

    def statistics(self) -> dict[str, Any]:
        """{"served": {"calls", "resent", "lost", "waited", "busy"}}: counts of this client."""
        names = ("calls", "resent", "lost", "waited", "busy")
        with self._counting:
            return {"served": {name: getattr(self._counts, name) for name in names}}

    def _ask(self, verb: Verb, features: ServedFeatures, *arguments: Any) -> Any:
        """Ask, with the pixels where the replica lacks the image; raises what the replica refuses with."""
        self._count("calls")
        caller = current_caller()
        image = features.image if verb == "encode" else None
        question = Question(verb, features.key, arguments, image, caller.bulk, None, caller.principal)
        reply = self._persist(question, caller)
        if isinstance(reply, Missing):
            self._count("resent")
            reply = self._persist(replace(question, image=features.image), caller)
        if isinstance(reply, Refused):
            raise reply.error
        if isinstance(reply, Missing):
            raise RuntimeError("a replica misses an image that came with the question")
        return reply.value

    def _persist(self, question: Question, caller: Caller) -> Reply:
        """Ask until a replica replies: again where one died, and, within the patience, where the queue is full."""
        losses, pause, began = 0, _PAUSES[0], time.monotonic()
        while True:
            try:
                return self._once(question, caller)
            except self._full as error:
                left = caller.seconds_left()
                if time.monotonic() - began >= (self._patience if left is None else min(left, self._patience)):
                    self._count("busy")
                    raise Busy(
                        "the served model is busy: as many calls wait for it as it lets wait; make the same call again"
                        " in a moment, or add replicas"
                    ) from error
                self._count("waited")
            except self._gone as error:
                losses += 1
                self._count("lost")
                if losses >= MOST_LOSSES:
                    raise ModelUnavailable(
                        f"{losses} replicas of the served model died over one call; the last: {first_words(error)}"
                    ) from error
            time.sleep(pause)
            pause = min(2 * pause, _PAUSES[1])

    def _once(self, question: Question, caller: Caller) -> Reply:
        """Ask one replica, as long as the caller has time and has not given up."""
        left = caller.seconds_left()
        handle = self._handle.options(session_id=question.key)
        with _given_up(caller) as given_up:
            response = handle.ask.remote(replace(question, seconds=left))
            given_up.add_done_callback(lambda future: response.cancel() if future.cancelled() else None)
            try:
                return cast(Reply, response.result(timeout_s=left))
            except TimeoutError as error:
                response.cancel()
                self._count("busy")
                raise Busy("the served model did not answer in the time given: ask again, or allow more seconds") from (
                    error
                )
            except self._ray.exceptions.TaskCancelledError as error:
                if given_up.cancelled():
                    raise Cancelled("the caller gave up before the model had answered") from error
                raise
            except self._ray.exceptions.RayTaskError as error:
                raise ModelUnavailable(f"a replica of the served model failed: {first_words(error.cause)}") from error

    def _count(self, name: str) -> None:
        with self._counting:
            setattr(self._counts, name, getattr(self._counts, name) + 1)


def open_served(address: ServedAddress, *, patience: float = PATIENCE) -> ServedSegmenter:
    """Connect to the cluster and open a served model.

    Raises:
        ModelUnavailable: there is no such cluster or application, or its replicas do not answer.
    """
    serve = import_serve()
    start = "start one with 'sam3-agent serve model'"
    try:
        connect(address.cluster or "auto")
        handle = serve.get_app_handle(address.app)
    except Sam3AgentError as error:
        raise ModelUnavailable(f"{error}; {start}") from error
    except serve.exceptions.RayServeException as error:
        raise ModelUnavailable(f"no model is served as {str(address)!r}: {first_words(error)}; {start}") from error
    return ServedSegmenter(handle, address, patience=patience)


def _own(features: Features) -> ServedFeatures:
    if not isinstance(features, ServedFeatures):
        raise TypeError(f"these features are not of a served model but {type(features).__name__}")
    return features


def _digest(image: NDArray[np.uint8]) -> str:
    pixels = np.ascontiguousarray(image)
    return hashlib.blake2b(pixels.data, digest_size=16, person=b"%dx%d" % image.shape[:2][::-1]).hexdigest()


@contextmanager
def _given_up(caller: Caller) -> Generator[Future[None]]:
    """Give a future that is cancelled when the caller gives up meanwhile; raises Cancelled where it has already."""
    future: Future[None] = Future()
    caller.await_answer(future, _no_sooner)
    try:
        yield future
    finally:
        if not future.done():
            future.set_result(None)


def _no_sooner() -> None:
    """Do nothing: what has been sent to a replica is as urgent as it was."""
