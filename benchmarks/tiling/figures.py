"""Figures of a segmentation against the truth: recall, duplicates, false finds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from sam3_evals.metrics.cgf1 import score_masks

from sam3_agent import masks
from sam3_agent.masks import Rle

OF_AN_OBJECT = 0.5
"""A mask of which this share lies in an object is a mask of that object."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts over any number of concepts and scenes."""

    targets: int = 0
    found: int = 0
    """Masks above the threshold."""
    right: int = 0
    """Objects matched one to one at IoU 0.5."""
    duplicates: int = 0
    """Masks of an object that another mask shows already."""
    stray: int = 0
    """Masks of no object of the concept."""
    tiles: int = 0
    seconds: float = 0.0

    @property
    def recall(self) -> float:
        """Of the objects, at IoU 0.5."""
        return self.right / max(self.targets, 1)

    @property
    def duplicate_share(self) -> float:
        """Of the masks found."""
        return self.duplicates / max(self.found, 1)

    def to_json(self) -> dict[str, float]:
        """Counts and shares."""
        return {
            "targets": self.targets,
            "found": self.found,
            "recall_50": self.recall,
            "precision_50": self.right / max(self.found, 1),
            "duplicates": self.duplicate_share,
            "stray": self.stray / max(self.found, 1),
            "tiles": self.tiles,
            "seconds": round(self.seconds, 2),
        }


def figures_of(found: Sequence[Rle], truth: Sequence[Rle], *, tiles: int = 0, seconds: float = 0.0) -> Figures:
    """Compare the masks found for one concept with its objects."""
    share = masks.containment(found, truth)  # (found, truth)
    owner = [int(np.argmax(row)) if row.size and row.max() >= OF_AN_OBJECT else -1 for row in share]
    owned = [number for number in owner if number >= 0]
    return Figures(
        targets=len(truth),
        found=len(found),
        right=score_masks(found, truth).true_positives[0],
        duplicates=len(owned) - len(set(owned)),
        stray=len(owner) - len(owned),
        tiles=tiles,
        seconds=seconds,
    )


def total(parts: Iterable[Figures]) -> Figures:
    """The sum."""
    whole = Figures()
    for part in parts:
        whole = Figures(
            whole.targets + part.targets,
            whole.found + part.found,
            whole.right + part.right,
            whole.duplicates + part.duplicates,
            whole.stray + part.stray,
            whole.tiles + part.tiles,
            whole.seconds + part.seconds,
        )
    return whole
