"""Prompts on their way through the network: before it as rows of a batch, after it as what was drawn."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from sam3_agent.masks import Rle
from sam3_agent.model.exemplars import Boxes, Labels
from sam3_agent.model.features import ImageFeatures
from sam3_agent.model.mask_rle import Ints, rle_of_edges, to_rle
from sam3_agent.model.postprocess import Selection, to_candidate
from sam3_agent.model.text_prompts import Ids
from sam3_agent.types import Detection, DetectOptions, ExemplarTokens


@dataclass(frozen=True, slots=True, eq=False)
class ConceptRow:
    """A checked prompt on an image; rows of different images fit into one batch."""

    features: ImageFeatures
    ids: Ids
    flags: tuple[bool, ...]
    """Mask of the CONTEXT text tokens that the detector may look at."""
    boxes: Boxes
    labels: Labels
    learned: ExemplarTokens | None
    options: DetectOptions
    least_presence: float = 0.0
    """Below it nothing is kept."""

    @property
    def key(self) -> Hashable:
        """Equal for rows that ask the same of the same features."""
        return id(self.features), self.ids, self.boxes, self.labels, self.learned, self.options, self.least_presence


@dataclass(frozen=True, slots=True, eq=False)
class ExemplarRow:
    """Checked exemplar boxes on an image, to be read."""

    features: ImageFeatures
    boxes: Boxes
    labels: Labels


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Output of the network for one row, masks so small that they can wait until its caller makes run lengths."""

    height: int
    width: int
    """Of the original image."""
    presence: float
    scores: NDArray[np.float64]
    """(Q,) without presence."""
    boxes: NDArray[np.float64]
    """(Q, 4) xyxy, shares of the image."""
    chosen: Selection
    masks: NDArray[np.float32] | list[Ints] | list[Rle]
    """Of K queries, the kept ones first: (K, h, w) logits; from a GPU the places at which each mask changes, or, where
    it codes them itself, run lengths."""
    _lock: Lock = field(default_factory=Lock, init=False)
    _detected: list[Detection] = field(default_factory=list[Detection], init=False)

    def detection(self) -> Detection:
        """Masks as run lengths at original size, made once for all callers; what has no pixel there is left out."""
        with self._lock:
            if not self._detected:
                self._detected.append(_detection_of(self))
            return self._detected[0]

    def rles(self) -> list[Rle]:
        """The K masks as run lengths at original size."""
        if isinstance(self.masks, list):
            return [
                each if isinstance(each, Rle) else rle_of_edges(each, self.height, self.width) for each in self.masks
            ]
        return [to_rle(plane, self.height, self.width) for plane in self.masks]


def coarse_levels(rows: Sequence[ConceptRow] | Sequence[ExemplarRow]) -> torch.Tensor:
    """(P, C, h, w): the coarsest level of each row's image, not copied where all rows share one image."""
    levels = [row.features.levels[-1] for row in rows]
    if all(level is levels[0] for level in levels):
        return levels[0].expand(len(rows), -1, -1, -1)
    return torch.cat(levels)


def text_only_tokens(rows: Sequence[ConceptRow]) -> torch.Tensor | None:
    """(P, 1, C): what a prompt without boxes says of each row's image; None where that is not known of all."""
    known = [row.features.cls for row in rows if row.features.cls is not None]
    return torch.cat(known) if known and len(known) == len(rows) else None


def _detection_of(drawn: Drawn) -> Detection:
    found = [
        to_candidate(rle, drawn.boxes[query], float(drawn.scores[query]))
        for query, rle in zip(drawn.chosen.queries, drawn.rles(), strict=True)
    ]
    kept = len(drawn.chosen.kept)
    return Detection(
        drawn.presence,
        tuple(candidate for candidate in found[:kept] if candidate),
        tuple(candidate for candidate in found[kept:] if candidate),
    )
