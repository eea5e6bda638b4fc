"""CAFE's figures of counterfactual pairs and MUSE's of objects, against numbers made by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sam3_evals.import_predictions import Wanted, import_predictions
from sam3_evals.metrics.cgf1 import score_masks
from sam3_evals.metrics.counterfactual import CounterfactualMetric, align, swap_of
from sam3_evals.metrics.objects import ObjectMetric
from sam3_evals.sample import Case
from sam3_evals.score import score_run
from sam3_evals.table import score_table

from sam3_agent import masks
from sam3_agent.masks import Rle
from tests.evals.fixtures_datasets import pictures, put
from tests.evals.fixtures_runs import SIDE

OBJECT = (0, 0, 20, 10)
THIRD = (0, 0, 20, 30)
"""200 of its 600 pixels are the object's: an IoU of 1/3."""
ELSEWHERE = (40, 40, 50, 50)


def box(corners: tuple[int, int, int, int]) -> Rle:
    return masks.from_box(corners, (SIDE, SIDE))


def answer(*found: tuple[tuple[int, int, int, int], float]) -> tuple[list[Rle], list[float]]:
    return [box(each) for each, _ in found], [score for _, score in found]


def cafe() -> dict[str, Any]:
    """Four images, each with a true phrase (1-4) and a misleading one (11-14)."""
    base = {"width": SIDE, "height": SIDE, "edit_type": "Superficial Mimicry"}
    true: list[dict[str, Any]] = [
        {**base, "id": n, "file_name": f"{n}.png", "text_input": "suitcase"} for n in range(1, 5)
    ]
    misled = [{**each, "id": each["id"] + 10, "text_input": "zebra", "fp_source_id": each["id"]} for each in true]
    truth = {"category_id": 1, "segmentation": box(OBJECT).to_json()}
    return {
        "images": [*true, *misled],
        "annotations": [{"id": n, "image_id": n, **truth} for n in range(1, 5)],
    }


ANSWERS = {
    1: [(OBJECT, 0.9)], 11: [],  # the true phrase is found, the misleading one refused
    2: [(OBJECT, 0.9)], 12: [(THIRD, 0.6), (ELSEWHERE, 0.95)],  # aligned, whatever else is there; and surer
    3: [(ELSEWHERE, 0.7)], 13: [(OBJECT, 0.6)],  # the phrases are swapped, though not with more belief
    4: [], 14: [(ELSEWHERE, 0.6)],  # nothing, and then something else; surer than nothing
}  # fmt: skip
BY_HAND = {
    "afpr": 2 / 4, "ufpr": 1 / 4, "il_fpr": 3 / 4, "acsr": 1 / 4, "ucsr": 1 / 4, "csr": 2 / 4, "soft_swap": 2 / 4,
}  # fmt: skip


def test_pairs_are_counted_as_by_hand() -> None:
    swaps = [
        swap_of(align(*answer(*ANSWERS[n]), box(OBJECT)), align(*answer(*ANSWERS[n + 10]), box(OBJECT)))
        for n in range(1, 5)
    ]
    assert [(s.aligned, s.astray, s.lost, s.surer) for s in swaps] == [
        (False, False, False, False), (True, False, False, True), (True, False, True, False), (False, True, True, True),
    ]  # fmt: skip


def test_a_run_over_cafe_reports_them(tmp_path: Path) -> None:
    file = put(tmp_path / "CAFEval2026_annotations.json", cafe())
    pictures(tmp_path, *(f"{n}.png" for n in range(1, 5)))
    results = [
        {"image_id": n, "category_id": 1, "segmentation": box(corners).to_json(), "score": score}
        for n, found in ANSWERS.items()
        for corners, score in found
    ]
    source = put(tmp_path / "results.json", results)
    import_predictions(source, Wanted(f"cafe:{file}", tmp_path / "run"))
    score = score_run(tmp_path / "run")
    document = score.to_json()
    found = {name: figure["value"] for name, figure in document["overall"]["counterfactual"].items()}
    assert found == pytest.approx(BY_HAND)
    assert document["strata"]["prompt"]["misleading"]["counterfactual"]["afpr"]["value"] == 0.5
    assert "counterfactual" not in document["strata"]["prompt"]["true"]
    assert "AFPR" in score_table(score)
    lines = (tmp_path / "run" / "cases.jsonl").read_text().splitlines()
    assert [Case.from_json(json.loads(line)).to_json() for line in lines] == [json.loads(line) for line in lines]
    (tmp_path / "run" / "cases.jsonl").write_text("\n".join(lines[1:]) + "\n")  # the first true phrase is not asked
    assert score_run(tmp_path / "run").to_json()["overall"]["counterfactual"]["afpr"]["value"] == pytest.approx(2 / 3)


def test_what_asks_no_pairs_reports_none_of_it() -> None:
    sums = CounterfactualMetric().figures(np.zeros(6))
    assert all(value != value for value in sums.values())


def test_objects_are_matched_and_what_is_left_over_counts_against_them() -> None:
    # Two targets of 200 and 100 pixels, one mask on a third of the first, nothing on the second.
    pair = score_masks([box(THIRD)], [box(OBJECT), box(ELSEWHERE)])
    assert (pair.iou, pair.intersection, pair.union) == (pytest.approx(1 / 3), 200, 600 + 100)
    # One target and two masks: the better one is matched, the other adds its pixels.
    more = score_masks([box(ELSEWHERE), box(OBJECT)], [box(OBJECT)])
    assert (more.iou, more.intersection, more.union) == (1, 200, 200 + 100)
    metric = ObjectMetric()
    columns = [[float(max(p.predictions, p.targets)), p.iou, p.intersection, p.union] for p in (pair, more)]
    sums = np.sum(columns, axis=0)
    assert metric.figures(sums) == {"giou": pytest.approx((1 / 3 + 1) / 4), "ciou": pytest.approx(400 / 1000)}
