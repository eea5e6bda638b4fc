"""The seam between the model and everything above it."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sam3_agent.types import ClickedMask, ClickPrompt, ConceptPrompt, Detection, Exemplar, ExemplarTokens, ModelInfo


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
        self,
        features: Features,
        prompts: Sequence[ConceptPrompt],
        *,
        threshold: float = 0.5,
        near_misses: int = 8,
        assume_present: bool = False,
    ) -> list[Detection]:
        """Answer every prompt on one encoded image in one batch; one Detection a prompt, in order.

        With `assume_present` the threshold is applied to the object score alone; presence is told all the same.
        `near_misses` bounds the candidates returned under the threshold; 0 skips decoding them.
        With `threshold` > 1 and near_misses = 0 nothing but presence is computed for the caller.

        Raises:
            InputError: a phrase is too long, an exemplar box lies outside the image, or a concept was learned by
            another
                model.
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
class WarmsUp(Protocol):
    """A segmenter that runs faster once it is warm."""

    def warm_up(self) -> float:
        """Make ready for many calls; gives the seconds that it took."""
        ...
