"""gIoU and cIoU in both conventions and in gRefCOCO's, presence, counting, COCO AP: small cases computed by hand."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sam3_evals.metrics import METRICS, iou
from sam3_evals.metrics.cgf1 import PairCounts
from sam3_evals.metrics.coco_ap import FIGURES, Kind, coco_ap, coco_ap_intervals
from sam3_evals.metrics.counting import CountingMetric
from sam3_evals.metrics.gres import GresMetric
from sam3_evals.metrics.iou import LISA, VISION_REASONER, Overlap
from sam3_evals.metrics.matched_sample import Scored
from sam3_evals.metrics.presence import PresenceMetric

from sam3_agent import masks
from sam3_agent.masks import Rle
from tests.evals.fixtures_runs import square


def area(x: int, y: int, side: int = 16) -> Rle:
    return masks.encode(square(x, y, side))


EMPTY = masks.encode(np.zeros_like(square(0, 0)))
PLAIN = Scored("a", "p", "q", {}, Overlap(0, 0, 0.0), Overlap(0, 0, 0.0), None, has_target=True, empty=False)


def figures(metric: Any, cases: list[Scored]) -> dict[str, float]:
    sums = np.sum([metric.row(case) for case in cases], axis=0) if cases else np.zeros(metric.columns)
    return {name: float(value) for name, value in metric.figures(sums).items()}


def test_pixels_marked_ignore_count_nowhere_in_lisa_and_as_target_in_vision_reasoner() -> None:
    predicted, target, ignore = area(0, 0, 20), area(0, 0, 10), area(10, 0, 10)
    ours = iou.lisa(predicted, target, ignore)
    assert (ours.intersection, ours.union) == (100, 300)
    assert ours.iou == pytest.approx(100 / (300 + 1e-5))
    theirs = iou.vision_reasoner(predicted, target, ignore)
    assert (theirs.intersection, theirs.union, theirs.iou) == (200, 400, 0.5)


def test_ignored_pixels_under_the_target_count_nowhere_either() -> None:
    found = iou.lisa(area(0, 0, 20), area(0, 0, 20), area(0, 0, 10))
    assert (found.intersection, found.union) == (300, 300)


def test_a_prediction_only_on_ignored_pixels_is_as_good_as_none_in_lisa() -> None:
    assert iou.lisa(area(0, 0), EMPTY, area(0, 0)).iou == 1.0
    assert iou.vision_reasoner(area(0, 0), EMPTY, area(0, 0)).iou == 1.0  # merged into the target and hit
    assert iou.vision_reasoner(EMPTY, EMPTY, area(0, 0)).iou == 0.0


def test_an_empty_union_is_1_in_lisa_and_0_in_vision_reasoner() -> None:
    assert iou.lisa(EMPTY, EMPTY) == iou.Overlap(0, 0, 1.0)
    assert iou.vision_reasoner(EMPTY, EMPTY) == iou.Overlap(0, 0, 0.0)


def test_run_lengths_give_what_bitmaps_give() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        p, t, g = (rng.random((23, 31)) < share for share in rng.random(3))
        found = iou.lisa(masks.encode(p), masks.encode(t), masks.encode(g))
        assert (found.intersection, found.union) == (int((p & t & ~g).sum()), int(((p | t) & ~g).sum()))
        other = iou.vision_reasoner(masks.encode(p), masks.encode(t), masks.encode(g))
        assert (other.intersection, other.union) == (int((p & (t | g)).sum()), int((p | t | g).sum()))


def test_giou_weighs_cases_alike_and_ciou_weighs_pixels() -> None:
    large, small = iou.lisa(area(0, 0, 40), area(0, 0, 40)), iou.lisa(area(0, 0, 2), area(0, 2, 2))
    found = figures(LISA, [replace(PLAIN, lisa=large), replace(PLAIN, lisa=small)])
    assert found["giou"] == pytest.approx(0.5, abs=1e-6)
    assert found["ciou"] == pytest.approx(1600 / 1608)
    assert [found[f"p@{t:g}"] for t in iou.PRECISION_AT] == [0.5] * 5


def test_each_convention_reads_its_own_overlap() -> None:
    case = replace(PLAIN, lisa=Overlap(1, 2, 0.5), vision_reasoner=Overlap(3, 4, 0.75))
    assert figures(LISA, [case])["giou"] == 0.5
    assert figures(VISION_REASONER, [case])["giou"] == 0.75


def test_no_case_gives_no_figure() -> None:
    for metric in METRICS:
        assert all(np.isnan(value) for value in figures(metric, []).values()), metric.name


def test_grefcoco_counts_silence_where_there_is_nothing_as_1_and_speech_as_0() -> None:
    absent = replace(PLAIN, has_target=False)
    cases = [
        replace(absent, empty=True, lisa=Overlap(0, 0, 1.0)),
        replace(absent, empty=True, lisa=Overlap(0, 0, 1.0)),
        replace(absent, empty=False, lisa=Overlap(0, 50, 0.0)),
        replace(PLAIN, lisa=Overlap(30, 60, 0.5)),
        replace(PLAIN, empty=True, lisa=Overlap(0, 40, 0.0)),
    ]
    found = figures(GresMetric(), cases)
    assert found["giou"] == pytest.approx((1 + 1 + 0 + 0.5 + 0) / 5)
    assert found["ciou"] == pytest.approx(30 / 150)
    assert found["n_acc"] == pytest.approx(2 / 3)
    assert found["t_acc"] == pytest.approx(1 / 2)


def test_presence_precision_recall_and_calibration_follow_their_formulas() -> None:
    said = [(True, False, 0.95), (True, False, 0.91), (False, False, 0.93), (True, True, 0.35), (False, True, 0.05)]
    cases = [replace(PLAIN, has_target=there, empty=empty, presence=p) for there, empty, p in said]
    found = figures(PresenceMetric(), cases)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3)
    gaps = [(3, (0.95 + 0.91 + 0.93) / 3 - 2 / 3), (1, 0.35 - 1), (1, 0.05 - 0)]
    assert found["ece"] == pytest.approx(sum(n * abs(gap) for n, gap in gaps) / 5)
    assert found["largest_gap"] == pytest.approx(0.65)
    assert found["brier"] == pytest.approx((0.05**2 + 0.09**2 + 0.93**2 + 0.65**2 + 0.05**2) / 5)
    bins = PresenceMetric().reliability(np.sum([PresenceMetric().row(case) for case in cases], axis=0))
    assert [(row["from"], row["cases"]) for row in bins] == [(0.0, 1), (0.3, 1), (0.9, 3)]
    assert bins[2]["there"] == pytest.approx(2 / 3)


def test_a_solver_that_says_no_presence_has_no_calibration_and_certainty_falls_into_the_last_bin() -> None:
    assert np.isnan(figures(PresenceMetric(), [PLAIN])["ece"])
    assert figures(PresenceMetric(), [replace(PLAIN, presence=1.0)])["ece"] == 0.0


def test_counting_errors_have_sign_and_size() -> None:
    counts = [(3, 3), (5, 3), (0, 2), (1, 0)]
    cases = [replace(PLAIN, pair=PairCounts((0,) * 10, p, t)) for p, t in counts] + [PLAIN]
    found = figures(CountingMetric(), cases)
    assert found["mae"] == pytest.approx((0 + 2 + 2 + 1) / 4)
    assert found["bias"] == pytest.approx((0 + 2 - 2 + 1) / 4)
    assert found["rmse"] == pytest.approx(((0 + 4 + 4 + 1) / 4) ** 0.5)
    assert found["exact"] == pytest.approx(1 / 4)


def oracle_figures(text: str, kind: str) -> list[float]:
    part = text.split(f"type={kind}")[1].split("type=")[0]
    return [float(value) for value in re.findall(r"= (0\.\d{3})", part)]


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_all_twelve_coco_figures_equal_those_of_the_published_example(shared_data: Path, kind: Kind) -> None:
    folder = shared_data / "coco_ap_oracle"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / f"instances_val2014_fake{kind}100_results.json").read_text())
    expected = oracle_figures((folder / "val2014_fake_eval_res.txt").read_text(), kind)
    found = coco_ap(truth, results, kind)
    assert len(expected) == len(FIGURES) == 12
    assert [found[name] for name in FIGURES] == pytest.approx(expected, abs=0.0005 + 1e-9)


def crowded_truth() -> dict[str, Any]:
    entries = [(1, 0, 0), (1, 20, 0), (2, 0, 0), (3, 40, 40)]
    return {
        "images": [{"id": i, "height": 64, "width": 64} for i in (1, 2, 3)],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {"id": n, "image_id": image, "category_id": 1, "bbox": [x, y, 16, 16], "area": 256, "iscrowd": 0,
             "segmentation": area(x, y).to_coco()}
            for n, (image, x, y) in enumerate(entries, 1)
        ],
    }  # fmt: skip


def result(image: int, x: int, y: int, score: float) -> dict[str, Any]:
    return {"image_id": image, "category_id": 1, "segmentation": area(x, y).to_coco(), "score": score}


def test_average_precision_of_no_result_is_0_and_its_interval_holds_the_value() -> None:
    assert coco_ap(crowded_truth(), [], "segm")["ap50"] == 0.0
    results = [result(1, 0, 0, 0.9), result(2, 0, 0, 0.8), result(3, 0, 0, 0.7)]
    value, low, high = coco_ap_intervals(crowded_truth(), results, "segm", resamples=40)["ap50"]
    assert value == coco_ap(crowded_truth(), results, "segm")["ap50"]
    assert low is not None
    assert high is not None
    assert value is not None
    assert low <= value <= high
    assert low < high


def test_nothing_is_printed_by_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    coco_ap(crowded_truth(), [], "bbox")
    assert capsys.readouterr().out == ""
