import numpy as np

from sam3_agent import masks
from sam3_agent.model.mask_rle import to_rle
from sam3_agent.model.postprocess import Selection, select, to_candidate

APART = np.array([[0.0, 0.0, 0.1, 0.1], [0.5, 0.0, 0.6, 0.1], [0.0, 0.5, 0.1, 0.6], [0.5, 0.5, 0.6, 0.6]])


def test_presence_times_object_score_must_exceed_the_threshold() -> None:
    scores = np.array([0.5, 0.9, 0.7, 0.1])
    assert select(scores, 1.0, APART, 0.5, 0).kept == (1, 2)
    assert select(scores, 0.6, APART, 0.5, 0).kept == (1,)


def test_near_misses_follow_their_object_score_down_to_the_floor() -> None:
    scores = np.array([0.3, 0.9, 0.7, 0.24])
    assert select(scores, 0.1, APART, 0.5, 8) == Selection((), (1, 2, 0))
    assert select(scores, 0.1, APART, 0.5, 2) == Selection((), (1, 2))
    assert select(scores, 0.6, APART, 0.5, 8) == Selection((1,), (2, 0))


def test_a_near_miss_that_repeats_a_better_box_is_left_out() -> None:
    boxes = APART.copy()
    boxes[2] = boxes[1] + 0.01  # IoU .68
    boxes[3] = boxes[0] + [0.0, 0.0, 0.03, 0.03]  # IoU .59
    assert select(np.array([0.9, 0.4, 0.3, 0.35]), 1.0, boxes, 0.5, 8) == Selection((0,), (1, 3))


def test_kept_instances_are_never_suppressed() -> None:
    boxes = np.repeat(APART[:1], 4, axis=0)
    assert select(np.array([0.9, 0.8, 0.7, 0.6]), 1.0, boxes, 0.5, 8).kept == (0, 1, 2, 3)


def test_a_candidate_without_a_pixel_is_none() -> None:
    assert to_candidate(masks.empty(10, 20), np.array([0.0, 0.0, 1.0, 1.0]), 0.9) is None


def test_a_box_is_clipped_to_the_image() -> None:
    found = to_candidate(masks.encode(np.ones((10, 20), bool)), np.array([-0.5, 0.25, 0.5, 1.5]), 0.9)
    assert found is not None
    assert found.box == (0.0, 2.5, 10.0, 10.0)


def test_a_box_outside_the_image_gives_way_to_the_masks_own() -> None:
    logits = np.full((2, 2), -1, np.float32)
    logits[0, 0] = 1
    found = to_candidate(to_rle(logits, 10, 20), np.array([1.5, 0.0, 1.9, 1.0]), 0.9)
    assert found is not None
    assert found.box == (0.0, 0.0, 10.0, 5.0)
