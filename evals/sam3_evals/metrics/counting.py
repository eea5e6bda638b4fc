"""Counting: is the number of masks the number of instances?

Over the cases whose truth tells instances apart: mean absolute error, root mean squared error, bias (predicted minus
true; positive means too many) and the share of exact counts. Standard in object counting; see e.g. FSC-147 (Ranjan et
al., arXiv 2104.08391) for MAE and RMSE.
"""

import numpy as np
from numpy.typing import NDArray

from sam3_evals.metrics.matched_sample import Scored
from sam3_evals.metrics.ratio import ratio


class CountingMetric:
    """Errors of the number of instances."""

    name = "counting"
    columns = 5

    def row(self, case: Scored) -> list[float]:
        """Cases, |error|, error, squared error, exact."""
        if case.pair is None:
            return [0.0] * self.columns
        error = float(case.pair.predictions - case.pair.targets)
        return [1.0, abs(error), error, error**2, float(error == 0)]

    def figures(self, sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Figures of (..., 5) sums."""
        cases, absolute, signed, squared, exact = (sums[..., i] for i in range(5))
        return {
            "mae": ratio(absolute, cases),
            "rmse": np.sqrt(ratio(squared, cases)),
            "bias": ratio(signed, cases),
            "exact": ratio(exact, cases),
        }
