"""gIoU and cIoU in both conventions, abstention, intervals: small cases computed by hand."""

import numpy as np
import pytest

from evals.metrics import abstention, bootstrap, iou
from tests.evals.staging import square

EMPTY = np.zeros_like(square(0, 0))


def test_pixels_marked_ignore_count_nowhere_in_lisa_and_as_target_in_vision_reasoner() -> None:
    predicted, target, ignore = square(0, 0, 20), square(0, 0, 10), square(10, 0, 10)
    ours = iou.lisa(predicted, target, ignore)
    assert (ours.intersection, ours.union) == (100, 300)
    assert ours.iou == pytest.approx(100 / (300 + 1e-5))
    theirs = iou.vision_reasoner(predicted, target, ignore)
    assert (theirs.intersection, theirs.union, theirs.iou) == (200, 400, 0.5)


def test_a_prediction_only_on_ignored_pixels_is_as_good_as_none_in_lisa() -> None:
    assert iou.lisa(square(0, 0), EMPTY, square(0, 0)).iou == 1.0
    assert iou.vision_reasoner(square(0, 0), EMPTY, square(0, 0)).iou == 1.0  # merged into the target and hit
    assert iou.vision_reasoner(EMPTY, EMPTY, square(0, 0)).iou == 0.0


def test_an_empty_union_is_1_in_lisa_and_0_in_vision_reasoner() -> None:
    assert iou.lisa(EMPTY, EMPTY) == iou.Overlap(0, 0, 1.0)
    assert iou.vision_reasoner(EMPTY, EMPTY) == iou.Overlap(0, 0, 0.0)


def test_giou_weighs_cases_alike_and_ciou_weighs_pixels() -> None:
    large = iou.lisa(square(0, 0, 40), square(0, 0, 40))
    small = iou.lisa(square(0, 0, 2), square(0, 2, 2))
    found = iou.aggregate([large, small], epsilon=1e-10)
    assert found.giou == pytest.approx(0.5, abs=1e-6)
    assert found.ciou == pytest.approx(1600 / 1608)
    assert found.precision_at == {"0.5": 0.5, "0.6": 0.5, "0.7": 0.5, "0.8": 0.5, "0.9": 0.5}


def test_no_case_gives_zeros() -> None:
    assert iou.aggregate([]).to_json()["giou"] == 0.0
    assert abstention.aggregate([]).to_json() == {}
    assert bootstrap.interval([]) == (0.0, 0.0)


def test_abstention_counts_silence_where_there_is_nothing_and_speech_where_there_is_something() -> None:
    found = abstention.aggregate([(False, True), (False, True), (False, False), (True, False), (True, True)])
    assert found.n_acc == pytest.approx(2 / 3)
    assert found.t_acc == pytest.approx(1 / 2)
    assert (found.no_target_cases, found.target_cases) == (3, 2)


def test_the_interval_is_deterministic_covers_the_mean_and_matches_the_normal_approximation() -> None:
    values = [float(value) for value in np.random.default_rng(3).random(400)]
    low, high = bootstrap.interval(values)
    assert (low, high) == bootstrap.interval(values)
    mean, spread = float(np.mean(values)), float(1.96 * np.std(values) / len(values) ** 0.5)
    assert low == pytest.approx(mean - spread, abs=0.005)
    assert high == pytest.approx(mean + spread, abs=0.005)
    assert bootstrap.interval([0.25] * 7) == (0.25, 0.25)
