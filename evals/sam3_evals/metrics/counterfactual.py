"""Counterfactual pairs: is a phrase that only seems to be true answered with the object that it seems to mean?

Source: CAFE (arXiv 2605.09591, table "cafe-binclass") and T-S-Liang/CAFE `tools/eval_cafe_metrics.py`, whose figures
these are. Over the N pairs of a true and a misleading phrase about one object M*, an answer is *aligned* where a mask
of it has an IoU of at least .3 with M*:

    AFPR = aligned false positives / N          the misleading phrase is answered with M*
    UFPR = other false positives / N            ... only with something else; IL-FPR = AFPR + UFPR
    ACSR = pairs in which the true phrase has no aligned answer, but the misleading one has / N
    UCSR = ... but the misleading one has only another / N; CSR = ACSR + UCSR
    SoftSwap = pairs in which the misleading phrase's best score is over the true one's / N

There a mask counts from a score of .5 on, while SoftSwap knows all of them. Here every mask of a prediction counts, as
in all metrics: the solver has applied its threshold. So AFPR to CSR are equal for predictions that were cut at .5, and
SoftSwap is where one of the two is answered.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_evals.metrics.matched_sample import Alignment, Scored, Swap
from sam3_evals.metrics.ratio import ratio

ALIGNED = 0.3
"""IoU; the paper's tau."""


def align(predicted: Sequence[Rle], scores: Sequence[float], target: Rle) -> Alignment:
    """Tell whether an answer has a mask on the object of a pair, and any beside it."""
    ious = masks.iou(predicted, [target])[:, 0] if predicted else np.zeros(0)  # (P,)
    return Alignment(bool((ious >= ALIGNED).any()), bool((ious < ALIGNED).any()), max(scores, default=0.0))


def swap_of(true: Alignment, misleading: Alignment) -> Swap:
    """Compare the answers to the two phrases of a pair."""
    return Swap(
        aligned=misleading.aligned,
        astray=misleading.astray and not misleading.aligned,
        lost=not true.aligned,
        surer=misleading.score > true.score,
    )


class CounterfactualMetric:
    """AFPR, UFPR, IL-FPR, ACSR, UCSR, CSR and SoftSwap over misleading phrases; lower is better."""

    name = "counterfactual"
    columns = 6

    def row(self, case: Scored) -> list[float]:
        """Compute what one case adds: pairs, aligned, astray, both where the true phrase is lost, surer."""
        swap = case.swap
        if swap is None:
            return [0.0] * self.columns
        lost = (swap.lost and swap.aligned, swap.lost and swap.astray)
        return [1.0, *(float(each) for each in (swap.aligned, swap.astray, *lost, swap.surer))]

    def figures(self, sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Figures of (..., 6) sums."""
        pairs, aligned, astray, lost_aligned, lost_astray, surer = (sums[..., i] for i in range(6))
        return {
            "afpr": ratio(aligned, pairs),
            "ufpr": ratio(astray, pairs),
            "il_fpr": ratio(aligned + astray, pairs),
            "acsr": ratio(lost_aligned, pairs),
            "ucsr": ratio(lost_astray, pairs),
            "csr": ratio(lost_aligned + lost_astray, pairs),
            "soft_swap": ratio(surer, pairs),
        }
