"""Non-maximum suppression by IoU and containment."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle


@dataclass(frozen=True, slots=True)
class Suppression:
    """Two limits; 1 switches each off, and both are off unless asked for, as in SAM 3 itself.

    `max_iou`: of two masks that overlap more than this (IoU), the worse one is a duplicate. `max_containment`: a mask
    of which more than this share lies in a larger one is a duplicate of it, whatever their scores. Only the second one
    ever drops a part inside a whole (a pane of a window, a berry of a bunch), so it has to be asked for by itself.

    Raises:
        InputError: a limit is no number from 0 to 1.
    """

    max_iou: float = 1.0
    max_containment: float = 1.0

    def __post_init__(self) -> None:
        """Refuse limits that mean nothing."""
        for name, value in (("max_iou", self.max_iou), ("max_containment", self.max_containment)):
            if not math.isfinite(value) or not 0 <= value <= 1:
                raise InputError(f"{name} must be a number from 0 to 1 (1 keeps everything), got {value}")

    def keep(self, rles: Sequence[Rle], candidates: int = 0) -> list[int]:
        """Numbers of the masks that stay, in order.

        Args:
            rles: masks of one concept on one image, best first.
            candidates: so many at the end are near misses: they never push out one that was found.
        """
        if self.max_iou == 1 and self.max_containment == 1:
            return list(range(len(rles)))
        areas = [masks.area(rle) for rle in rles]
        found = len(rles) - candidates
        repeats: dict[int, list[int]] = {}  # mask -> better masks that it repeats
        inside: dict[int, list[int]] = {}  # mask -> larger masks that it lies in
        for better, worse, shared in masks.overlaps(rles):
            if shared > self.max_iou * (areas[better] + areas[worse] - shared):
                repeats.setdefault(worse, []).append(better)
            part, whole = (worse, better) if areas[worse] <= areas[better] else (better, worse)
            if shared > self.max_containment * areas[part] and (whole < found or part >= found):
                inside.setdefault(part, []).append(whole)
        staying: set[int] = set()
        for index in range(len(rles)):
            if not staying.intersection(repeats.get(index, ())):
                staying.add(index)
        return [index for index in sorted(staying) if not staying.intersection(inside.get(index, ()))]
