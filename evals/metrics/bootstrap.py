"""Percentile bootstrap: how far a mean would move, had other cases of the same kind been drawn."""

from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000
_SEED = 0
_BLOCK = 4_000_000
"""Indices drawn at a time, so that memory stays flat."""


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """(low, high) of the mean at `level`; deterministic. No value gives (0, 0).

    For a paired comparison give the differences, one per case.
    """
    if not values:
        return (0.0, 0.0)
    data = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(_SEED)
    rows = max(1, _BLOCK // len(data))
    means: list[float] = []
    while len(means) < RESAMPLES:
        picks = rng.integers(0, len(data), (min(rows, RESAMPLES - len(means)), len(data)))  # (resamples, N)
        means.extend(data[picks].mean(axis=1).tolist())
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))
