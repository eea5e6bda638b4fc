"""`masks.sample` reads runs without decoding."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from sam3_agent import masks


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)), st.integers(1, 7))
def test_sampling_a_grid_equals_decoding_and_indexing(mask: NDArray[np.bool_], step: int) -> None:
    rows, columns = np.arange(0, mask.shape[0], step), np.arange(0, mask.shape[1], step)
    assert np.array_equal(masks.sample(masks.encode(mask), rows, columns), mask[np.ix_(rows, columns)])


def test_a_large_grid_is_read_from_the_bitmap() -> None:
    mask = np.zeros((700, 600), dtype=bool)
    mask[100:300, 50:500] = True
    assert np.array_equal(masks.sample(masks.encode(mask), np.arange(700), np.arange(600)), mask)
