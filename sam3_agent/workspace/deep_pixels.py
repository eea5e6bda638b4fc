"""Pixels of more than 8 bits a channel, scaled to 8."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_DEPTHS = (8, 10, 12, 14, 16)
"""Bits of sensors that write into 16: a camera of 12 bits uses 6 % of the range, and would look black."""


def scaled_to_8_bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale integers or floats of any shape to uint8.

    Integers from 0 to 65535 are scaled by the fewest bits of a usual sensor that hold the brightest, floats from 0 to 1
    by their full range, anything else from its own extremes. What is not finite becomes 0.
    """
    numbers = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    if np.issubdtype(values.dtype, np.integer) and low >= 0 and high <= 65535:
        low, high = 0.0, float(2 ** next(bits for bits in _DEPTHS if high < 2**bits) - 1)
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    span = max(high - low, 1e-12)
    return np.rint((numbers - low) / span * 255).astype(np.uint8)
