"""Masks of crops go into big pictures, and are compared there, by their runs."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from tests.fixtures_workspace import disc

Bitmap = NDArray[np.bool_]
bitmaps = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))
gap = st.integers(0, 5)


@given(bitmaps, gap, gap, gap, gap)
def test_placing_equals_pasting_the_decoded_mask(mask: Bitmap, left: int, top: int, right: int, bottom: int) -> None:
    full = np.pad(mask, ((top, bottom), (left, right)))
    assert masks.place(masks.encode(mask), *full.shape, left, top) == masks.encode(full)


@given(bitmaps, st.tuples(*[st.integers(0, 13)] * 4))
def test_the_area_in_a_window_equals_that_of_the_cut_bitmap(mask: Bitmap, window: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = window
    assert masks.area_in(masks.encode(mask), window) == int(mask[y0 : max(y0, y1), x0 : max(x0, x1)].sum())


@given(st.lists(arrays(np.bool_, (9, 7)), max_size=6))
def test_overlaps_are_the_common_pixels_of_every_pair(bitmaps: list[Bitmap]) -> None:
    number = range(len(bitmaps))
    common = [(i, j, int((bitmaps[i] & bitmaps[j]).sum())) for i in number for j in number if i < j]
    assert masks.overlaps([masks.encode(m) for m in bitmaps]) == [pair for pair in common if pair[2]]


def test_boxes_of_many_masks_are_the_boxes_of_each() -> None:
    rles = [masks.encode(disc(x, 40, 9)) for x in (20, 90)] + [masks.empty(200, 320)]
    assert [tuple(row) for row in masks.boxes(rles)] == [masks.box(rle) for rle in rles]
    assert masks.boxes([]).shape == (0, 4)


def test_a_crop_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"a 320x200 crop at \(1, 0\) does not fit into 320x200"):
        masks.place(masks.empty(200, 320), 200, 320, 1, 0)


def test_500_small_masks_in_a_picture_of_100_megapixels_take_a_moment() -> None:
    small = masks.encode(disc(20, 20, 15, 40, 40))
    began = time.thread_time()  # of this thread, so that a busy machine does not fail the test
    placed = [masks.place(small, 10_000, 10_000, 19 * i, 7 * i) for i in range(500)]
    assert time.thread_time() - began < 5  # as bitmaps: 500 times 100 MB, more than a minute
    assert masks.box(placed[-1]) == (9481 + 5, 3493 + 5, 9481 + 36, 3493 + 36)
