"""Query of one image: prompts, threshold, region, tiles."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.masks import Window
from sam3_agent.model.segmenter import Features, Segmenter
from sam3_agent.types import ConceptPrompt, Detection, DetectOptions
from sam3_agent.workspace.canvas import canvas_of, in_image, prompt_on
from sam3_agent.workspace.crops import prompt_in_window
from sam3_agent.workspace.feature_cache import FeatureCache
from sam3_agent.workspace.nms import Suppression

TileMode = Literal["auto", "never", "always"]
"""Whether parts are looked at more closely: where it pays, not at all, or everywhere."""


ONCE = 0.7
"""IoU of masks over which two findings of a learned concept are one object. Asked with tokens of other images the tiny
model tells some objects twice: gears, taught from ten images, had F1 .77 and .81 (two draws), told once .83 and .86."""
MOST_TILES = 2048
"""In one call; when more are wanted, they get larger, and the log says so."""


@dataclass(frozen=True, slots=True)
class Question:
    """Everything about a call of `segment` but the concepts and the place.

    Raises:
        InputError: `tiles` is none of its three words.
    """

    threshold: float = 0.5
    assume_present: bool = False
    tiles: TileMode = "auto"
    suppression: Suppression = field(default_factory=Suppression)
    most_tiles: int = MOST_TILES

    def __post_init__(self) -> None:
        """Refuse unknown words."""
        if self.tiles not in get_args(TileMode):
            raise InputError(f"tiles must be one of {', '.join(get_args(TileMode))}; got {self.tiles!r}")

    def put_to(self, prompt: ConceptPrompt) -> "Question":
        """The same; where a learned concept is asked for, each object is told once."""
        if prompt.learned is None:
            return self
        limits = self.suppression
        return replace(self, suppression=Suppression(min(ONCE, limits.max_iou), limits.max_containment))


@dataclass(frozen=True, slots=True, eq=False)
class Asking:
    """One question about one image; may be put to several windows at the same time."""

    segmenter: Segmenter
    memory: FeatureCache
    image_id: str
    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB"""
    whole: Window
    """The part of the image that is asked about; features of anything smaller are only passing through the memory."""
    question: Question

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return (self.pixels.shape[0], self.pixels.shape[1])

    def about(self, window: Window, prompts: Sequence[ConceptPrompt]) -> list[Detection]:
        """One detection a prompt; their masks and boxes are those of the window, the prompts' those of the image."""
        height, width = self.pixels.shape[:2]
        local = [prompt_in_window(prompt, window, width, height) for prompt in prompts]
        options = DetectOptions(self.question.threshold, assume_present=self.question.assume_present)
        plain = [prompt for prompt in local if not prompt.by_canvas]
        answers = iter(self.segmenter.detect(self.part(window), plain, options) if plain else ())
        return [self._on_canvas(prompt, window, options) if prompt.by_canvas else next(answers) for prompt in local]

    def beliefs(self, prompts: Sequence[ConceptPrompt]) -> list[float]:
        """The presence of each prompt on the whole of the image's part."""
        plain = [prompt for prompt in prompts if not prompt.by_canvas]
        known = iter(self.segmenter.presence(self.part(self.whole), plain) if plain else ())
        options = DetectOptions(self.question.threshold)
        return [self._on_canvas(p, self.whole, options).presence if p.by_canvas else next(known) for p in prompts]

    def part(self, window: Window) -> Features:
        """Features of a part of the image."""
        x0, y0, x1, y1 = window
        return self.memory.get(
            (self.image_id, window),
            lambda: np.ascontiguousarray(self.pixels[y0:y1, x0:x1]),
            passing=window != self.whole,
        )

    def _on_canvas(self, prompt: ConceptPrompt, window: Window, options: DetectOptions) -> Detection:
        """Ask with the examples beside the window; what is encoded serves this concept alone."""
        assert prompt.learned is not None
        x0, y0, x1, y1 = window
        canvas = canvas_of(self.pixels[y0:y1, x0:x1], prompt.learned.canvas)
        key = (f"{self.image_id} beside {hash(prompt.learned.canvas):x}", window)
        features = self.memory.get(key, lambda: canvas.pixels, passing=True)
        (answer,) = self.segmenter.detect(features, [prompt_on(canvas, prompt)], options)
        return in_image(answer, canvas)
