"""The seam between the model and everything above it."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sam3_agent.types import (
    DETECT_DEFAULTS,
    ClickedMask,
    ClickPrompt,
    Concept,
    ConceptPrompt,
    Detection,
    DetectOptions,
    Exemplar,
    ExemplarTokens,
    ModelInfo,
)

PRESENCE_ONLY = DetectOptions(threshold=1.0, near_misses=0)
"""Keeps nothing, as no score exceeds 1, so that no mask is decoded."""
WORTH_WARMING = 200
"""Images or questions from which on warming up pays on a CUDA GPU: it takes half a minute where nothing is compiled
yet, and saves some 0.15 s each at full size."""


class Features(Protocol):
    """Features of one image; opaque to all but the model that made it."""

    @property
    def height(self) -> int:
        """Original height in pixels."""
        ...

    @property
    def width(self) -> int:
        """Original width in pixels."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        ...


class Segmenter(Protocol):
    """A model: encodes an image once, then answers many prompts. Safe to call from several threads."""

    @property
    def info(self) -> ModelInfo:
        """Name, device and number format of the model."""
        ...

    def encode(self, image: NDArray[np.uint8]) -> Features:
        """Encode an (H, W, 3) RGB image."""
        ...

    def detect(
        self, features: Features, prompts: Sequence[ConceptPrompt], options: DetectOptions = DETECT_DEFAULTS
    ) -> list[Detection]:
        """Answer every prompt on one encoded image in one batch; one Detection a prompt, in order.

        Raises:
            InputError: a phrase is too long, an exemplar box lies outside the image, or a concept was learned by
                another model.
        """
        ...

    def presence(self, features: Features, prompts: Sequence[ConceptPrompt]) -> list[float]:
        """Score the belief that each prompt is in the image, 0-1, in order; cheaper than `detect`, as no mask is drawn.

        Raises:
            InputError: as `detect`.
        """
        ...

    def read_exemplars(self, features: Features, examples: Sequence[Exemplar]) -> ExemplarTokens:
        """Read boxes on this image as prompt tokens for any other image; one token a box, in order.

        Raises:
            InputError: there is no box, or one lies outside the image.
        """
        ...

    def segment_at(self, features: Features, prompt: ClickPrompt) -> tuple[ClickedMask, ...]:
        """Up to three readings of which object is meant, best predicted IoU first; none of them is empty.

        Raises:
            InputError: a point or the box lies outside the image, or the mask is of another size.
            ToolError: this model knows phrases and exemplars only.
        """
        ...


@runtime_checkable
class KeepsStatistics(Protocol):
    """A model, or a part of one, that can say how its memories and queues have served."""

    def statistics(self) -> dict[str, Any]:
        """Counts as they stand now, ready for JSON."""
        ...


@runtime_checkable
class BringsConcepts(Protocol):
    """A segmenter that knows concepts by itself: those of its adapters."""

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """Known from the start in every workspace."""
        ...

    def named(self, prompt: ConceptPrompt) -> ConceptPrompt:
        """The prompt that is really asked: where its phrase is a word of such a concept, that of the concept."""
        ...


@runtime_checkable
class WarmsUp(Protocol):
    """A segmenter that runs faster once it is warm."""

    def warm_up(self) -> float:
        """Make ready for many calls; gives the seconds that it took."""
        ...
