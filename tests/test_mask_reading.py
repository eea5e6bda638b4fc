"""Masks from files that nobody vouches for: what is wrong is said before a decoder sees it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3_agent import masks
from sam3_agent.errors import InputError

SIZE = (4, 5)


def square() -> masks.Rle:
    mask = np.zeros(SIZE, dtype=bool)
    mask[1:3, 1:4] = True
    return masks.encode(mask)


def test_every_form_of_one_mask_reads_as_that_mask() -> None:
    rle = square()
    runs = [5, 2, 2, 2, 2, 2, 5]
    for counts in (rle.counts, rle.counts.encode(), runs, [float(n) for n in runs], np.array(runs)):
        assert masks.from_json({"size": [4, 5], "counts": counts}, SIZE) == rle
    assert masks.from_json({"size": (4.0, 5), "counts": [20], "more": 1}) == masks.empty(4, 5)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([5, 2, 2, 2, 2, 2, 6], "fill 21 pixels, not the 20 of 5x4"),
        ([5, 2], "fill 7 pixels"),
        ([], "expected a list of whole numbers"),
        ([-5, 10, 15], "a run of -5 pixels"),
        ([10**12, 20], "fill 1000000000020 pixels"),
        ([10**30], "expected a list of whole numbers"),
        ([2.5, 17.5], "expected a list of whole numbers"),
        ([float("nan"), 20], "expected a list of whole numbers"),
        ([[5, 15]], "expected a list of whole numbers"),
        ([5, [15]], "expected a list of whole numbers"),
        ([None, 20], "expected a list of whole numbers"),
        (["5", "15"], "expected a list of whole numbers"),
        ([True, False], "expected a list of whole numbers"),
        (None, "expected a list of whole numbers"),
        (20, "expected a list of whole numbers"),
        ({"a": 1}, "expected a list of whole numbers"),
        ("é5ü", "characters from '0' to 'o'"),
        ("", "empty or cut off"),
        ("5 5", "characters from '0' to 'o'"),
        (b"\xff", "characters from '0' to 'o'"),
        ("\ud800", "characters from '0' to 'o'"),
        ("d", "empty or cut off"),
        ("o" * 40 + "0", "characters from '0' to 'o'"),
        ("oooooo0", "fill 1073741823 pixels"),
        ("4" * 500, "fill 250004 pixels"),
        ("5O", "a run of -1 pixels"),
    ],
)
def test_broken_counts_are_named(counts: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        masks.from_json({"size": [4, 5], "counts": counts})


@pytest.mark.parametrize(
    "size", [[4], [4, 5, 1], ["4", "5"], [0, 5], [-4, -5], None, 4, [4.5, 5], [1 << 20, 1 << 20], [float("inf"), 1]]
)
def test_a_size_that_is_none_is_named(size: Any) -> None:
    with pytest.raises(InputError, match=r"a size is|too large"):
        masks.from_json({"size": size, "counts": [20]})


@pytest.mark.parametrize("value", [None, 3, "34", [], {}, {"size": [4, 5]}, {"counts": [20]}])
def test_what_is_no_rle_is_named(value: object) -> None:
    with pytest.raises(InputError, match="not a COCO RLE"):
        masks.from_json(value)


def test_a_mask_of_another_size_is_named() -> None:
    with pytest.raises(InputError, match=r"size \[4, 5\] on an image of size \[5, 4\]"):
        masks.from_json(square().to_json(), (5, 4))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), st.binary(max_size=40), st.lists(st.integers(-5, 25), max_size=12)))
def test_whatever_is_accepted_decodes_to_its_size(counts: Any) -> None:
    try:
        rle = masks.from_json({"size": [4, 5], "counts": counts})
    except InputError:
        return
    mask = masks.decode(rle)
    assert mask.shape == SIZE
    assert mask.sum() == masks.area(rle)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_every_mask_of_our_own_is_accepted(height: int, width: int, seed: int) -> None:
    rle = masks.encode(np.random.default_rng(seed).random((height, width)) < 0.3)
    assert masks.from_json(rle.to_json(), (height, width)) == rle


def test_polygons_fill_as_pycocotools_does_and_may_reach_outside() -> None:
    assert masks.from_polygons([[1, 1, 4, 1, 4, 3, 1, 3]], SIZE) == square()
    assert masks.from_polygons([[-50, -50, 60, -50, 60, 60, -50, 60]], SIZE) == masks.encode(np.ones(SIZE, dtype=bool))


@pytest.mark.parametrize(
    ("polygon", "said"),
    [
        ([1, 1, 1e8, 1, 1, 3], "1e\\+08 lies far outside"),
        ([1, 1, 1e12, 1, 1, 3], "1e\\+12 lies far outside"),
        ([1, 1, -1e300, 1, 1, 3], "far outside"),
        ([1, 1, float("nan"), 1, 1, 3], "nan lies far outside"),
        ([1, 1, 10**400, 1, 1, 3], "a polygon is a list of numbers"),
        ([1, 1, 2, 2], "three x, y pairs, got 4"),
        ([1, 1, 2, 2, 3, 3, 4], "three x, y pairs, got 7"),
        ([1, 1, None, 2, 3, 3], "far outside"),
        (["a", 1, 1, 2, 3, 3], "a list of numbers"),
        ([[1, 1], [2, 2], [3, 1]], "three x, y pairs"),
        ([0, 0, 100, 100] * 41_000, "too long"),
    ],
)
def test_broken_polygons_are_named(polygon: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        masks.from_polygons([polygon], SIZE)


def test_boxes_are_cut_at_the_edges_and_never_vanish_inside() -> None:
    assert masks.from_box((1, 1, 4, 3), SIZE) == square()
    assert masks.area(masks.from_box((-1e9, -1e9, 1e9, 1e9), SIZE)) == 20
    assert masks.box(masks.from_box((2.1, 1.6, 2.2, 1.7), SIZE)) == (2, 1, 3, 2)
    assert masks.area(masks.from_box((1, -9, 4, -2), SIZE)) == 0
    assert masks.area(masks.from_box((4, 3, 1, 1), SIZE)) == 0
    with pytest.raises(InputError, match="four finite numbers"):
        masks.from_box((0, 0, float("nan"), 1), SIZE)
