"""Segmenter over engines: each verb is a plan of the engine that has the image, carried out here or in a queue."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from sam3_agent.model.batching import Engine, Plan
from sam3_agent.model.segmenter import PRESENCE_ONLY, Features
from sam3_agent.model.video_segmenter import Sighting, TrackMemory
from sam3_agent.types import (
    DETECT_DEFAULTS,
    ClickedMask,
    ClickPrompt,
    ConceptPrompt,
    Detection,
    DetectOptions,
    Exemplar,
    ExemplarTokens,
)

Place = TypeVar("Place")
Answer = TypeVar("Answer")


class EngineSegmenter(ABC, Generic[Place]):
    """Base of `Sam3`, which carries out its own plans at once, and of `Scheduler`, which queues those of its engines.

    What places images (`encode`) and shares out objects (`track`) is their own; the verbs about an encoded image are
    the same, and stand here once. A further one is a plan in `Engine` and a method here.
    """

    @abstractmethod
    def _placed(self, features: Features) -> tuple[Place, Engine, Features]:
        """Return the place where an image was encoded, the engine there, and the features as that engine knows them."""

    @abstractmethod
    def _answer(self, place: Place, plan: Plan[Answer]) -> list[Answer]:
        """Carry out a plan of the engine at a place."""

    def detect(
        self, features: Features, prompts: Sequence[ConceptPrompt], options: DetectOptions = DETECT_DEFAULTS
    ) -> list[Detection]:
        """Answer every prompt on one encoded image; see `Segmenter.detect`.

        Masks are decoded only for what is returned. Near misses have an object score of at least 0.25.

        Raises:
            InputError: a phrase is too long, or an exemplar box lies outside the image.
            ModelUnavailable: out of memory, or closed.
            Busy: too many calls wait already.
        """
        place, engine, own = self._placed(features)
        return self._answer(place, engine.plan_detect(own, prompts, options))

    def presence(self, features: Features, prompts: Sequence[ConceptPrompt]) -> list[float]:
        """Score the belief that each prompt is in the image; see `Segmenter.presence`."""
        return [found.presence for found in self.detect(features, prompts, PRESENCE_ONLY)]

    def read_exemplars(self, features: Features, examples: Sequence[Exemplar]) -> ExemplarTokens:
        """Read boxes on this image as prompt tokens for any other image; see `Segmenter.read_exemplars`.

        Tokens are the geometry encoder's, read on the features of the boxes' own image. Appending them to the prompt of
        another image is what SAM 3 was never trained for: on the embedded weights it is trained and measured, on
        facebook/sam3 it is an experiment.

        Raises:
            InputError: there is no box, or one lies outside the image.
            ModelUnavailable: out of memory, or closed.
        """
        place, engine, own = self._placed(features)
        return self._answer(place, engine.plan_read(own, examples))[0]

    def segment_at(self, features: Features, prompt: ClickPrompt) -> tuple[ClickedMask, ...]:
        """Three readings of which object is meant, best predicted IoU first; see `Segmenter.segment_at`.

        Raises:
            InputError: a point or the box lies outside the image, or the mask is of another size.
            ToolError: the checkpoint has no tracker half.
            ModelUnavailable: out of memory, or closed.
        """
        place, engine, own = self._placed(features)
        return self._answer(place, engine.plan_click(own, prompt))[0]

    def remember(
        self, features: Features, frame: int, sightings: Sequence[Sighting], *, reverse: bool = False
    ) -> list[TrackMemory]:
        """The memory of objects after a frame; see `VideoSegmenter.remember`."""
        place, engine, own = self._placed(features)
        return self._answer(place, engine.plan_remember(own, frame, sightings, reverse=reverse))
