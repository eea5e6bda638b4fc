"""Looks at images that were left out of a teaching: what was right, what false, and the threshold that is best."""

from collections.abc import Sequence
from dataclasses import dataclass

from sam3_agent import masks
from sam3_agent.masks import Rle

LEAST_IMAGES = 4
"""With the concept, and as many without it: of fewer nothing can be left out to see when to stop."""
LEAST_OBJECTS = 8
"""Below them pooled example tokens (`learn`) find as much, in a second."""
SAME = 0.5
"""IoU of masks from which on a finding is an object, as in the metrics."""
THRESHOLDS = (0.4, 0.45, 0.35, 0.5, 0.3, 0.55, 0.25, 0.6)
"""Tried in this order, so that of equals the one nearest to 0.4 is taken: tokens of few images are not as sure of new
ones as the words of a model's own training."""
MARGIN = 0.03
"""F1 by which a threshold must beat one nearer to 0.4."""


@dataclass(frozen=True, slots=True)
class Look:
    """Findings on an image: scores of the best finding on each object, and of the false ones."""

    objects: int
    right: tuple[float, ...]
    overlaps: tuple[float, ...]
    """IoU of each that is right."""
    false: tuple[float, ...]
    presence: float = 0.0
    found: tuple[Rle, ...] = ()
    """All of them, best first."""

    def refused(self) -> "Look":
        """The look of a model that says that nothing is there."""
        return Look(self.objects, (), (), (), self.presence)


def look_of(found: Sequence[tuple[float, Rle]], objects: Sequence[Rle], presence: float = 0.0) -> Look:
    """Match findings, each with its score, to the objects of an image; the best first, each object once."""
    ranked = sorted(found, key=lambda each: -each[0])
    free, right, false = set(range(len(objects))), list[tuple[float, float]](), list[float]()
    overlap = masks.iou([rle for _, rle in ranked], objects) if ranked and objects else None
    for place, (score, _) in enumerate(ranked):
        hit = max(free, key=lambda column: overlap[place, column], default=None) if overlap is not None else None
        if hit is not None and overlap is not None and overlap[place, hit] >= SAME:
            free.remove(hit)
            right.append((score, float(overlap[place, hit])))
        else:
            false.append(score)
    scores, overlaps = tuple(score for score, _ in right), tuple(share for _, share in right)
    return Look(len(objects), scores, overlaps, tuple(false), presence, tuple(rle for _, rle in ranked))


def best_threshold(looks: Sequence[Look]) -> float:
    """Choose the threshold of the best F1; of nearly equals the one nearest to 0.4."""
    best = THRESHOLDS[0]
    for level in THRESHOLDS[1:]:
        if f1_of(looks, level) >= f1_of(looks, best) + MARGIN:
            best = level
    return best


def counts_of(looks: Sequence[Look], threshold: float) -> tuple[int, int]:
    """Objects found, and false findings."""
    return (
        sum(score > threshold for look in looks for score in look.right),
        sum(score > threshold for look in looks for score in look.false),
    )


def f1_of(looks: Sequence[Look], threshold: float) -> float:
    """F1 of what scores over a threshold: 2 TP / (2 TP + FP + FN)."""
    found, false = counts_of(looks, threshold)
    return 2 * found / max(1, found + false + sum(look.objects for look in looks))
