"""Presence: is it said to be there when it is, and can the strength of the belief be trusted?

Precision and recall are those of "anything predicted" against "anything there". Calibration is that of the presence
score p where a solver gives one: expected calibration error over ten bins of equal width, sum_b n_b / N |mean p_b -
share present_b| (Naeini et al. 2015; Guo et al., arXiv 1706.04599), the largest such gap of a bin, and the Brier score
mean (p - y)^2.
"""

import numpy as np
from numpy.typing import NDArray

from sam3_evals.metrics.matched_sample import Scored
from sam3_evals.metrics.ratio import ratio

BINS = 10


class PresenceMetric:
    """Precision, recall and F1 of presence; calibration of its score."""

    name = "presence"
    columns = 4 + 3 * BINS

    def row(self, case: Scored) -> list[float]:
        """TP, FP, FN, squared error of p; then by bin: cases, sum of p, cases in which it is there."""
        told, there = not case.empty, case.has_target
        counts = [float(told and there), float(told and not there), float(there and not told)]
        bins = np.zeros((3, BINS))
        if case.presence is None:
            return [*counts, 0.0, *bins.ravel().tolist()]
        index = min(BINS - 1, int(case.presence * BINS))
        bins[:, index] = 1.0, case.presence, float(there)
        return [*counts, (case.presence - there) ** 2, *bins.ravel().tolist()]

    def figures(self, sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Figures of (..., 34) sums."""
        hits, false, missed, squared = (sums[..., i] for i in range(4))
        count, belief, there = _bins(sums)
        cases = count.sum(axis=-1)
        gap = np.abs(belief - there)  # (..., BINS), times the bin's cases
        return {
            "precision": ratio(hits, hits + false),
            "recall": ratio(hits, hits + missed),
            "f1": ratio(2 * hits, 2 * hits + false + missed),
            "ece": ratio(gap.sum(axis=-1), cases),
            "largest_gap": np.where(cases > 0, np.nan_to_num(ratio(gap, count)).max(axis=-1), np.nan),
            "brier": ratio(squared, cases),
        }

    def reliability(self, sums: NDArray[np.float64]) -> list[dict[str, float]]:
        """The bins of (34,) sums that hold a case: how many, the mean presence, the share in which it is there."""
        rows = np.stack(_bins(sums), axis=-1)  # (BINS, 3)
        return [
            {"from": i / BINS, "cases": int(n), "presence": p / n, "there": y / n}
            for i, (n, p, y) in enumerate(rows.tolist())
            if n
        ]


def _bins(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    parts = sums[..., 4:].reshape(*sums.shape[:-1], 3, BINS)
    return parts[..., 0, :], parts[..., 1, :], parts[..., 2, :]
