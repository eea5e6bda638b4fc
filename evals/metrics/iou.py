"""gIoU and cIoU of one mask against one target, in the two conventions that published ReasonSeg figures mix.

| | LISA | VisionReasoner |
|---|---|---|
| pixels marked "ignore" | in neither intersection nor union | part of the target |
| IoU of an empty union | 1 | 0 |
| per case | I / (U + 1e-5) | I / U |
| cIoU | sum I / (sum U + 1e-10) | sum I / sum U |

Sources: dvlab-research/LISA `train_ds.py` (validate) with `utils/utils.py` (intersectionAndUnionGPU, ignore index 255);
dvlab-research/VisionReasoner `evaluation_scripts/calculate_iou.py` and `create_reasonseg_hf.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRECISION_AT = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Pixels that a prediction and its target share under one convention, with the IoU that follows there."""

    intersection: int
    union: int
    iou: float


@dataclass(frozen=True, slots=True)
class IoU:
    """Figures over a set of cases under one convention."""

    giou: float
    """Mean of the cases' IoU."""
    ciou: float
    """Summed intersections over summed unions: large targets weigh more."""
    precision_at: dict[str, float]
    """Share of the cases whose IoU reaches .5, .6, ... .9."""
    cases: int

    def to_json(self) -> dict[str, float]:
        """The figures by name, flat."""
        return {"giou": self.giou, "ciou": self.ciou, **{f"p@{t}": v for t, v in self.precision_at.items()}}


def lisa(predicted: NDArray[np.bool_], target: NDArray[np.bool_], ignore: NDArray[np.bool_] | None = None) -> Overlap:
    """One case in LISA's convention; all masks (H, W)."""
    counted = ~ignore if ignore is not None else np.ones_like(target)
    intersection = int(np.count_nonzero(predicted & target & counted))
    union = int(np.count_nonzero((predicted | target) & counted))
    return Overlap(intersection, union, intersection / (union + 1e-5) if union else 1.0)


def vision_reasoner(
    predicted: NDArray[np.bool_], target: NDArray[np.bool_], ignore: NDArray[np.bool_] | None = None
) -> Overlap:
    """One case in VisionReasoner's convention; all masks (H, W).

    Its script drops cases with an empty union by accident (a tuple is unpacked from a 0); here they count as the 0 that
    the script meant.
    """
    merged = target | ignore if ignore is not None else target
    intersection = int(np.count_nonzero(predicted & merged))
    union = int(np.count_nonzero(predicted | merged))
    return Overlap(intersection, union, intersection / union if union else 0.0)


def aggregate(cases: Iterable[Overlap], *, epsilon: float = 0.0) -> IoU:
    """Figures over cases of one convention; `epsilon` is added to the summed union (LISA: 1e-10). No case gives 0."""
    ious: list[float] = []
    intersection = union = 0
    for case in cases:
        ious.append(case.iou)
        intersection, union = intersection + case.intersection, union + case.union
    count = len(ious)
    reached = {f"{t:g}": sum(iou >= t for iou in ious) / count if count else 0.0 for t in PRECISION_AT}
    return IoU(
        giou=sum(ious) / count if count else 0.0,
        ciou=intersection / (union + epsilon) if union else 0.0,
        precision_at=reached,
        cases=count,
    )
