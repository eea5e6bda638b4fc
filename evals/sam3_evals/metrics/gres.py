"""gRefCOCO's figures: gIoU and cIoU that know of queries without a target, N-acc and T-acc.

Source: GRES (arXiv 2306.00968, section 5). A case without a target has IoU 1 if nothing is predicted and 0 otherwise; a
case with one has I / U. gIoU is their mean. cIoU is sum I / sum U, to which a rightly empty answer adds nothing and a
wrong one its pixels. N-acc = TP / (TP + FN) over cases without a target, where silence is a hit; T-acc = TN / (TN + FP)
over cases with one. Pixels marked "ignore" count nowhere, as in LISA.
"""

import numpy as np
from numpy.typing import NDArray

from sam3_evals.metrics.matched_sample import Scored
from sam3_evals.metrics.ratio import ratio


class GresMetric:
    """gIoU, cIoU, N-acc and T-acc."""

    name = "gres"
    columns = 8

    def row(self, case: Scored) -> list[float]:
        """Cases, IoU, intersection, union; cases without a target and silent ones; cases with one and answered ones."""
        inter, union = case.lisa.intersection, case.lisa.union
        if case.has_target:
            return [1, inter / union if union else 0.0, inter, union, 0, 0, 1, float(not case.empty)]
        return [1, float(case.empty), 0, 0 if case.empty else union, 1, float(case.empty), 0, 0]

    def figures(self, sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Figures of (..., 8) sums."""
        cases, iou, inter, union, absent, silent, present, answered = (sums[..., i] for i in range(8))
        return {
            "giou": ratio(iou, cases),
            "ciou": np.where(present > 0, ratio(inter, union), np.nan),
            "n_acc": ratio(silent, absent),
            "t_acc": ratio(answered, present),
        }
