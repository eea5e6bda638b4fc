"""Selection of the detector's queries that become instances or near misses."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.masks import Box, Rle
from sam3_agent.types import Candidate


def to_candidate(rle: Rle, box: NDArray[np.float64], object_score: float) -> Candidate | None:
    """The candidate, or None where its mask has no pixel.

    Its box is the model's own, clipped to the image, and so not always the tight box of its mask; where the model's box
    lies outside the image, it is the mask's.

    Args:
        rle: at original size.
        box: (4,) xyxy, shares of the image.
        object_score: without presence.
    """
    height, width = rle.size
    if masks.area(rle) == 0:
        return None
    return Candidate(rle, _pixels(box, height, width) or masks.box(rle), object_score)


def _pixels(box: NDArray[np.float64], height: int, width: int) -> Box | None:
    x0, x1 = (float(v) for v in np.clip(box[[0, 2]] * width, 0, width))
    y0, y1 = (float(v) for v in np.clip(box[[1, 3]] * height, 0, height))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


NEAR_MISS_FLOOR = 0.25
"""An object score below this is no candidate at all."""
SAME_BOX_IOU = 0.6
"""A near miss whose box overlaps a better candidate's more than this is the same object again."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Query numbers, best first."""

    kept: tuple[int, ...]
    near_misses: tuple[int, ...]

    @property
    def queries(self) -> tuple[int, ...]:
        """All of them, the kept ones first."""
        return (*self.kept, *self.near_misses)


def select(
    object_scores: NDArray[np.float64], presence: float, boxes: NDArray[np.float64], threshold: float, near_misses: int
) -> Selection:
    """Keep `presence * object_score > threshold` (all of them: SAM 3 has no suppression on images), then near misses.

    Args:
        object_scores: (Q,) without presence.
        presence: of the whole prompt.
        boxes: (Q, 4) xyxy in any one unit.
        threshold: strict.
        near_misses: how many at most.
    """
    order = np.argsort(-object_scores, kind="stable")
    above = presence * object_scores > threshold
    kept = [int(query) for query in order if above[query]]
    missed: list[int] = []
    for query in order:
        if len(missed) >= near_misses or object_scores[query] < NEAR_MISS_FLOOR:
            break
        if not above[query] and not _repeats(boxes[query], boxes[kept + missed]):
            missed.append(int(query))
    return Selection(tuple(kept), tuple(missed))


def _repeats(box: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Whether (4,) overlaps any of (N, 4) by more than SAME_BOX_IOU."""
    corner = np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.clip(np.minimum(box[2:], others[:, 2:]) - corner, 0, None), axis=1)
    whole = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    return bool(np.any(shared > SAME_BOX_IOU * whole))
