"""Duplicates by overlap go when asked for; parts inside wholes stay unless that is asked for too."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.nms import Suppression
from tests.fixtures_workspace import disc, picture, square

WINDOW = square(20, 20, 120, 120)
PANE = square(25, 25, 65, 65)
WINDOW_AGAIN = square(20, 20, 120, 112)


def rles(*bitmaps: NDArray[np.bool_]) -> list[Rle]:
    return [masks.encode(bitmap) for bitmap in bitmaps]


def test_nothing_goes_unless_asked_for() -> None:
    assert Suppression().keep(rles(WINDOW, WINDOW, PANE)) == [0, 1, 2]


def test_the_worse_of_two_masks_of_one_object_goes_and_its_parts_stay() -> None:
    assert Suppression(max_iou=0.7).keep(rles(PANE, WINDOW, WINDOW_AGAIN)) == [0, 1]
    assert Suppression(max_iou=0.7).keep(rles(PANE, WINDOW_AGAIN, WINDOW)) == [0, 1]


def test_a_part_goes_only_when_that_is_asked_for_even_where_it_scores_best() -> None:
    assert Suppression(max_containment=0.9).keep(rles(PANE, WINDOW)) == [1]
    assert Suppression(max_iou=0.5, max_containment=0.9).keep(rles(PANE, WINDOW, WINDOW_AGAIN)) == [1]


def test_what_repeats_a_duplicate_but_not_the_mask_that_stays_is_no_duplicate() -> None:
    chain = rles(square(0, 0, 100, 50), square(30, 0, 130, 50), square(60, 0, 160, 50))
    assert Suppression(max_iou=0.5).keep(chain) == [0, 2]


def test_a_near_miss_never_pushes_out_a_mask_that_was_found() -> None:
    assert Suppression(max_containment=0.9).keep(rles(PANE, WINDOW), candidates=1) == [0, 1]
    assert Suppression(max_iou=0.7, max_containment=0.9).keep(rles(WINDOW, WINDOW_AGAIN, PANE), candidates=2) == [0]


@pytest.mark.parametrize("limit", [-0.1, 1.5, float("nan")])
def test_a_limit_is_a_number_from_0_to_1(limit: float) -> None:
    with pytest.raises(InputError, match="max_iou must be a number from 0 to 1"):
        Suppression(max_iou=limit)
    with pytest.raises(InputError, match="max_containment must be"):
        Suppression(max_containment=limit)


@given(st.lists(arrays(np.bool_, (6, 5)), max_size=7), st.sampled_from([0.2, 0.5, 0.8]))
def test_it_equals_comparing_every_mask_with_every_better_one(bitmaps: list[NDArray[np.bool_]], limit: float) -> None:
    staying: list[int] = []
    for index, bitmap in enumerate(bitmaps):
        unions = [(bitmap | bitmaps[k]).sum() for k in staying]
        if all((bitmap & bitmaps[k]).sum() <= limit * union for k, union in zip(staying, unions, strict=True)):
            staying.append(index)
    assert Suppression(max_iou=limit).keep(rles(*bitmaps)) == staying


def test_a_thousand_instances_take_a_moment() -> None:
    small = masks.encode(disc(8, 8, 7, 17, 17))
    crowd = [masks.place(small, 2000, 2000, 40 * (i % 45), 40 * (i // 45)) for i in range(500)]
    began = time.thread_time()  # of this thread, so that a busy machine does not fail the test
    assert Suppression(max_iou=0.6, max_containment=0.9).keep([*crowd, *crowd]) == list(range(500))
    assert time.thread_time() - began < 5


def test_a_workspace_drops_duplicates_where_asked_and_gives_them_no_id() -> None:
    found = {"window": detection([WINDOW, WINDOW_AGAIN, PANE], [0.9, 0.8, 0.7])}
    workspace = Workspace(FakeSegmenter(found))
    workspace.open(picture())
    assert len(workspace.segment("img1", ["window"])[0].instances) == 3
    workspace = Workspace(FakeSegmenter(found))
    workspace.open(picture())
    kept = workspace.segment("img1", ["window"], max_iou=0.7)[0].instances
    assert [(i.id, i.object_score) for i in kept] == [("m1", 0.9), ("m2", 0.7)]
    whole = workspace.segment("img1", ["window"], max_iou=0.7, max_containment=0.9)[0].instances
    assert [i.id for i in whole] == ["m1"]
