"""gIoU and cIoU of one mask against one target, in the two conventions that published ReasonSeg figures mix.

| | LISA | VisionReasoner |
|---|---|---|
| pixels marked "ignore" | in neither intersection nor union | part of the target |
| IoU of an empty union | 1 | 0 |
| per case | I / (U + 1e-5) | I / U |
| gIoU | mean of the cases' IoU | the same |
| cIoU | sum I / (sum U + 1e-10) | sum I / sum U |
| P@t | share of cases with IoU >= t | the same |

Sources: dvlab-research/LISA `train_ds.py` (validate) with `utils/utils.py` (intersectionAndUnionGPU, ignore index 255);
dvlab-research/VisionReasoner `evaluation_scripts/calculate_iou.py` and `create_reasonseg_hf.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_evals.metrics.ratio import ratio

if TYPE_CHECKING:
    from sam3_evals.metrics.matched_sample import Scored

PRECISION_AT = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Pixels that a prediction and its target share under one convention, with the IoU that follows there."""

    intersection: int
    union: int
    iou: float


def lisa(predicted: Rle, target: Rle, ignore: Rle | None = None) -> Overlap:
    """One case in LISA's convention; all masks of one size."""
    common, together = masks.intersect([predicted, target]), masks.union([predicted, target])
    intersection, union = masks.area(common), masks.area(together)
    if ignore is not None:
        intersection -= masks.area(masks.intersect([common, ignore]))
        union -= masks.area(masks.intersect([together, ignore]))
    return Overlap(intersection, union, intersection / (union + 1e-5) if union else 1.0)


def vision_reasoner(predicted: Rle, target: Rle, ignore: Rle | None = None) -> Overlap:
    """One case in VisionReasoner's convention; all masks of one size.

    Its script drops cases with an empty union by accident (a tuple is unpacked from a 0); here they count as the 0 that
    the script meant.
    """
    merged = masks.union([target, ignore]) if ignore is not None else target
    intersection = masks.area(masks.intersect([predicted, merged]))
    union = masks.area(masks.union([predicted, merged]))
    return Overlap(intersection, union, intersection / union if union else 0.0)


@lru_cache(maxsize=16)
def empty_mask(height: int, width: int) -> Rle:
    """A mask of that size without a pixel (remembered: most runs have few sizes)."""
    return masks.empty(height, width)


@dataclass(frozen=True, slots=True)
class RegionMetric:
    """gIoU, cIoU and P@t in one of the two conventions."""

    name: str
    """"lisa" or "vision_reasoner"."""
    epsilon: float
    """Added to the summed union."""

    @property
    def columns(self) -> int:
        """Cases, IoU, intersection, union, cases with a target, and one a threshold."""
        return 5 + len(PRECISION_AT)

    def row(self, case: Scored) -> list[float]:
        """Compute what one case adds."""
        overlap = case.lisa if self.name == "lisa" else case.vision_reasoner
        reached = [float(overlap.iou >= t) for t in PRECISION_AT]
        return [1.0, overlap.iou, overlap.intersection, overlap.union, float(case.has_target), *reached]

    def figures(self, sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Figures of (..., columns) sums; cIoU is NaN where no case has a target, as it is 0 then whatever is said."""
        cases, iou, intersection, union, targets = (sums[..., i] for i in range(5))
        ciou = np.where(targets > 0, ratio(intersection, union + self.epsilon), np.nan)
        reached = {f"p@{t:g}": ratio(sums[..., 5 + i], cases) for i, t in enumerate(PRECISION_AT)}
        return {"giou": ratio(iou, cases), "ciou": ciou, **reached}


LISA = RegionMetric("lisa", 1e-10)
VISION_REASONER = RegionMetric("vision_reasoner", 0.0)
