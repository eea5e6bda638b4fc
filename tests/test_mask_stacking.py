"""Masks side by side: the volume of a video as one mask, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sam3_agent import masks
from sam3_agent.errors import InputError

VOLUMES = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)).flatmap(lambda s: arrays(np.bool_, s))


@given(VOLUMES)
def test_masks_side_by_side_are_the_mask_of_the_bitmaps_side_by_side_and_come_apart_again(volume: np.ndarray) -> None:
    rles = [masks.encode(frame) for frame in volume]
    whole = masks.beside(rles)
    assert np.array_equal(masks.decode(whole), np.concatenate(list(volume), axis=1))
    assert whole == masks.encode(np.concatenate(list(volume), axis=1))
    assert masks.split(whole, len(rles)) == rles


def test_a_volume_has_the_area_and_overlap_of_all_frames() -> None:
    one, other = np.zeros((2, 4, 10, 10), dtype=bool)
    one[:, :5], other[2:, :5] = True, True
    volumes = [masks.beside([masks.encode(frame) for frame in volume]) for volume in (one, other)]
    assert masks.area(volumes[0]) == 200
    assert masks.iou([volumes[0]], [volumes[1]])[0, 0] == 0.5


def test_what_does_not_fit_together_is_refused() -> None:
    small = masks.empty(5, 5)
    with pytest.raises(InputError, match="at least one"):
        masks.beside([])
    with pytest.raises(InputError, match="one size"):
        masks.beside([small, masks.empty(5, 6)])
    with pytest.raises(InputError, match="2 parts of one width"):
        masks.split(small, 2)
    with pytest.raises(InputError, match="more pixels than one mask can have"):
        masks.beside([masks.Rle((60_000, 60_000), "")] * 2)
