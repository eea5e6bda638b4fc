"""A model that knows what is where and answers crops, all but what is too small for it: tiling is tested on this
double.

It cannot see: it is shown `map_picture`, whose pixels say where they are, and so knows which part it was given.
"""

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle, Window
from sam3_agent.model.fake import split
from sam3_agent.model.segmenter import PRESENCE_ONLY, Features
from sam3_agent.types import (
    DETECT_DEFAULTS,
    Candidate,
    ConceptPrompt,
    Detection,
    DetectOptions,
    Exemplar,
    ExemplarTokens,
    ModelInfo,
)

LONGEST = 4096
"""Coordinates have 12 bits."""
PRESENT, ABSENT = 0.95, 0.02


def map_picture(height: int, width: int) -> NDArray[np.uint8]:
    """(H, W, 3) whose every pixel holds its own row and column, 12 bits each."""
    if max(height, width) > LONGEST:
        raise ValueError(f"expected at most {LONGEST} pixels a side, got {width}x{height}")
    rows, columns = np.mgrid[:height, :width]
    code = rows * LONGEST + columns
    return np.stack([code >> 16, code >> 8 & 255, code & 255], axis=-1).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Place:
    """Find where an image that the model was shown lies in the map."""

    height: int
    width: int
    x: int
    y: int
    nbytes: int


class TruthSegmenter:
    """A `Segmenter` over `map_picture`: the truth, cut off at the edges of what it is shown.

    It misses what is smaller than `least_side` of its own pixels (the side of a square of the visible area), points at
    no more instances than `info.queries`, the largest first, and scores an object lower the less of it is visible. With
    `cells` its masks are as blurred as a model's that draws them on a grid of so many cells a side.
    """

    def __init__(
        self, truth: Mapping[str, Sequence[Rle]], info: ModelInfo, *, least_side: float = 0.0, cells: int = 0
    ) -> None:
        self._truth = {phrase: [_Cutout.of(rle) for rle in rles] for phrase, rles in truth.items()}
        self._info = info
        self._least_side = least_side
        self._cells = cells
        self._lock = threading.Lock()
        self.windows: list[Window] = []
        """Windows that it was shown, in order."""

    @property
    def info(self) -> ModelInfo:
        """As given."""
        return self._info

    def encode(self, image: NDArray[np.uint8]) -> Place:
        """Read off where an (H, W, 3) part of the map lies."""
        code = int.from_bytes(image[0, 0].tobytes(), "big")
        y, x = divmod(code, LONGEST)
        height, width = image.shape[:2]
        with self._lock:
            self.windows.append((x, y, x + width, y + height))
        return Place(height, width, x, y, image.nbytes)

    def detect(
        self, features: Features, prompts: Sequence[ConceptPrompt], options: DetectOptions = DETECT_DEFAULTS
    ) -> list[Detection]:
        """Answer phrases with the truth; see `Segmenter.detect`."""
        if not isinstance(features, Place):
            raise TypeError(f"these features are not of this model but {type(features).__name__}")
        answers = [self._answer(features, prompt.phrase or "") for prompt in prompts]
        return [split(answer, options) for answer in answers]

    def presence(self, features: Features, prompts: Sequence[ConceptPrompt]) -> list[float]:
        """Score phrases by the truth; see `Segmenter.presence`."""
        return [found.presence for found in self.detect(features, prompts, PRESENCE_ONLY)]

    def read_exemplars(self, features: Features, examples: Sequence[Exemplar]) -> ExemplarTokens:
        """Refuse: it knows phrases only."""
        raise InputError("this model knows phrases only, no examples")

    def _answer(self, place: Place, phrase: str) -> Detection:
        zoom = self._info.input_side / math.sqrt(place.width * place.height)
        seen: list[tuple[int, Candidate]] = []
        for cutout in self._truth.get(phrase, ()):
            rle = cutout.seen_in(place)
            area = masks.area(rle) if rle is not None else 0
            if rle is not None and area and math.sqrt(area) * zoom >= self._least_side:
                score = 0.6 + 0.35 * area / cutout.area
                drawn = _blurred(rle, self._cells) if self._cells else rle
                if masks.area(drawn):
                    seen.append((area, Candidate(drawn, masks.box(drawn), score)))
        seen.sort(key=lambda pair: -pair[0])
        return Detection(PRESENT if seen else ABSENT, tuple(c for _, c in seen[: self._info.queries]))


def _blurred(rle: Rle, cells: int) -> Rle:
    """The mask drawn on a grid of cells and enlarged again."""
    height, width = rle.size
    coarse = Image.fromarray(masks.decode(rle)).convert("L").resize((cells, cells), Image.Resampling.BOX)
    return masks.encode(np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR)) > 127)


@dataclass(frozen=True, slots=True, eq=False)
class _Cutout:
    """The bitmap of one object with its place."""

    mask: NDArray[np.bool_]
    x: int
    y: int
    area: int

    @classmethod
    def of(cls, rle: Rle) -> "_Cutout":
        x0, y0, x1, y1 = (int(v) for v in masks.box(rle))
        return cls(masks.sample(rle, np.arange(y0, y1), np.arange(x0, x1)), x0, y0, masks.area(rle))

    def seen_in(self, place: Place) -> Rle | None:
        """The visible part, in pixels of the place; None where no part is."""
        x0, y0 = max(self.x, place.x), max(self.y, place.y)
        x1 = min(self.x + self.mask.shape[1], place.x + place.width)
        y1 = min(self.y + self.mask.shape[0], place.y + place.height)
        if x0 >= x1 or y0 >= y1:
            return None
        part = masks.encode(self.mask[y0 - self.y : y1 - self.y, x0 - self.x : x1 - self.x])
        return masks.place(part, place.height, place.width, x0 - place.x, y0 - place.y)
