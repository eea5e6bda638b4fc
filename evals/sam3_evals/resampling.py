"""Resampling of a stream: bootstrap weights and permutation signs that need no case to be kept.

Every image has its own random numbers, drawn from its name, so that all cases about it are resampled together (they
stand or fall together), two runs over one dataset are resampled alike (which makes differences paired), and neither
order nor shards matter. Bootstrap: each image counts Poisson(1) times in each resample, which is Efron's bootstrap
with a random total (Hanley & MacGibbon 2006; Chamandy et al. 2012); figures are ratios of sums, so the total cancels.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
PERMUTATIONS = 10_000
LEVEL = 0.95


def weights(picture: str) -> NDArray[np.uint8]:
    """(RESAMPLES,) how often an image occurs in each resample."""
    return _generator("bootstrap", picture).poisson(1.0, RESAMPLES).astype(np.uint8)


def signs(picture: str) -> NDArray[np.int8]:
    """(PERMUTATIONS,) of +1 and -1: whether the two runs trade places on an image."""
    bits = np.frombuffer(_generator("permutation", picture).bytes(PERMUTATIONS // 8), dtype=np.uint8)
    return np.unpackbits(bits).astype(np.int8) * 2 - 1


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """(low, high) percentiles of a figure's resampled values at 95 %; resamples without a basis (NaN) are left out."""
    known = values[~np.isnan(values)]
    if not known.size:
        return (float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return (float(low), float(high))


def p_value(observed: float, permuted: NDArray[np.float64]) -> float:
    """Two-sided share of permutations that differ at least as much, the observed one counted among them."""
    as_far = np.abs(permuted) >= abs(observed) * (1 - 1e-9)
    return (1 + int(as_far.sum())) / (1 + permuted.size)


def _generator(purpose: str, picture: str) -> np.random.Generator:
    seed = hashlib.blake2b(f"{purpose}\0{picture}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(seed)))
