"""The card of the tracker: what its figures are on readings that are known."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.video.card import BARS, figures_of, table
from benchmarks.video.ceiling import Found, followed_perfectly, with_true_ids
from benchmarks.video.compare import compared, reading_json, reading_of
from benchmarks.video.readings import LEAST_PIXELS, Masklets, Reading, truth_of
from sam3_agent import masks
from sam3_agent.scenes.video import draw_clip


def square(left: int) -> masks.Rle:
    mask = np.zeros((40, 80), dtype=np.bool_)
    mask[10:30, left : left + 20] = True
    return masks.encode(mask)


def reading(said: Masklets, truth: Masklets) -> Reading:
    followed: list[tuple[bool, float | None]] = [(True, 0.8), (True, 0.6), (False, 0.0), (False, None), (True, None)]
    return Reading(10, {"cat": truth}, {"tracker": {"cat": said}}, followed)


def figures(said: Masklets, truth: Masklets) -> dict[str, float]:
    return figures_of([reading(said, truth)])["tracker"]


STEADY: Masklets = {"1": {t: square(5) for t in range(10)}, "2": {t: square(50) for t in range(10) if not 4 <= t < 6}}


def test_a_perfect_answer_is_perfect() -> None:
    found = figures({"t1": STEADY["1"], "t2": STEADY["2"]}, STEADY)
    assert found["HOTA@.5"] == pytest.approx(1)
    assert (found["id switches"], found["re-entry id kept"], found["returns"]) == (0, 1, 1)


def test_a_track_that_goes_over_to_another_object_is_a_switch_and_a_new_id_after_a_gap_is_a_lost_one() -> None:
    swapped = {"t1": {t: square(5) for t in range(5)}, "t2": {t: square(5) for t in range(5, 10)}}
    returned = {
        "t3": {t: rle for t, rle in STEADY["2"].items() if t < 4},
        "t4": {t: rle for t, rle in STEADY["2"].items() if t >= 6},
    }
    found = figures(swapped | returned, STEADY)
    assert found["id switches"] == pytest.approx(1 / 18)
    assert found["re-entry id kept"] == 0
    assert found["HOTA@.5"] < 1


def test_j_is_over_objects_that_are_there_and_absence_over_those_that_are_not() -> None:
    found = figures({}, STEADY)
    assert found["J"] == pytest.approx((0.8 + 0.6 + 0.0) / 3)
    assert found["present"] == pytest.approx(2 / 3)
    assert found["absent"] == 0.5


def test_a_figure_of_nothing_misses_no_bar() -> None:
    still = {"1": STEADY["1"]}
    found = figures({"t1": STEADY["1"]}, still)
    assert math.isnan(found["re-entry id kept"])
    assert BARS["re-entry id kept"].holds(found["re-entry id kept"])
    assert "| HOTA@.5 | >= 0.88 | 1.000 |" in table({"tracker": found})


def test_truth_leaves_out_what_is_hardly_seen() -> None:
    clip = draw_clip(7, 4, (160, 120))
    found = truth_of(clip)
    kept = [rle for masklets in found.values() for masklet in masklets.values() for rle in masklet.values()]
    assert kept
    assert min(masks.area(rle) for rle in kept) >= LEAST_PIXELS
    assert len(kept) == int((clip.areas >= LEAST_PIXELS).sum())


def test_true_ids_and_a_perfect_tracker_bracket_what_can_be_reached() -> None:
    found: list[Found] = [[] for _ in range(10)]
    found[2] = [(square(5), 0.55)]  # too unsure to begin a track
    found[3] = [(square(6), 0.9), (square(30), 0.8)]  # of the first object, and of nothing
    truth = {"1": STEADY["1"]}
    named = with_true_ids(truth, found)
    assert sorted(named["1"]) == [2, 3]
    assert len(named) == 2
    assert sorted(followed_perfectly(truth, found)["1"]) == [3, 4, 5, 6, 7, 8, 9]
    low, high = figures(named, truth), figures(followed_perfectly(truth, found), truth)
    assert low["HOTA@.5"] < high["HOTA@.5"] < 1


def with_detection(said: Masklets) -> Reading:
    found = reading(said, STEADY)
    return replace(found, said=found.said | {"by detection": {"cat": said}})


def test_a_reading_is_the_same_out_of_its_file() -> None:
    found = with_detection({"t1": STEADY["1"]})
    assert reading_of(json.loads(json.dumps(reading_json(found)))) == found


def test_two_trackers_are_compared_video_by_video() -> None:
    worse, better = with_detection({"t1": STEADY["1"]}), with_detection({"t1": STEADY["1"], "t2": STEADY["2"]})
    found = compared([(worse, better), (worse, worse)])
    assert found["old"]["HOTA@.5"] < found["new"]["HOTA@.5"] < 1
    gained = figures({"t1": STEADY["1"], "t2": STEADY["2"]}, STEADY)["HOTA@.5"] - found["old"]["HOTA@.5"]
    difference = found["new - old"]
    assert difference["HOTA@.5"] == pytest.approx(gained / 2)
    assert difference["HOTA@.5 standard error"] == pytest.approx(gained / 2)  # one of two gains, the other nothing
    assert difference["HOTA@.5 better in"] == 0.5
    assert difference["J"] == 0
