"""Scores: missing predictions are empty ones, comparisons are paired, tables say what they must."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from inline_snapshot import snapshot
from PIL import Image

from evals.compare import compare
from evals.datasets import open_dataset
from evals.manifest import Manifest
from evals.prediction import Prediction
from evals.run import PREDICTIONS
from evals.score import Score, Scored, score_case, score_run
from evals.table import comparison_table, score_table
from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.reasonseg import write_record
from tests.evals.staging import Squares, square, whole_run

MANIFEST = Manifest("squares", "0123456789abcdef", 4, "concept", "fake", "", "0.1.0+0")
EXACT: dict[str, int] = dict.fromkeys(("c0", "c1", "c2", "c3"), 0)


def score_of(name: str, shifts: dict[str, int]) -> Score:
    """The squares as predicted when moved by some pixels; a case that is not named has no prediction."""
    scored: list[Scored] = []
    for case in Squares(4).cases(None):
        prediction = None
        if case.id in shifts:
            moved = [masks.encode(np.roll(masks.decode(rle), shifts[case.id], axis=1)) for rle in case.targets]
            prediction = Prediction(case.id, tuple(moved), (0.9,) * len(moved))
        scored.append(score_case(case, prediction))
    return Score(name, MANIFEST, tuple(scored))


def test_a_missing_prediction_scores_as_empty_and_the_run_is_called_incomplete(tmp_path: Path) -> None:
    run = whole_run(tmp_path, Squares(8))
    lines = (run / PREDICTIONS).read_text().splitlines(keepends=True)
    (run / PREDICTIONS).write_text("".join(lines[2:]))  # c0, which has a target, and c1, which has none
    found = score_run(run).to_json()
    assert (found["complete"], found["cases"], found["missing"]) == (False, 8, 2)
    assert found["overall"]["lisa"]["giou"] == pytest.approx(7 / 8, abs=1e-6)
    assert found["overall"]["instances"]["il_fn"] == 1
    assert "**INCOMPLETE: 2 of 8 cases have no prediction; they score as empty.**" in score_table(score_run(run))


def test_the_table_shows_both_conventions_by_stratum() -> None:
    table = score_table(score_of("run", {**EXACT, "c2": 8}))
    assert table == snapshot("""\
# squares with concept (eye fake)

| cases           |  n |  gIoU |           95 % | cIoU |  P@.5 |  P@.9 | gIoU VR | cIoU VR | N-acc | T-acc |
| :-------------- | -: | ----: | -------------: | ---: | ----: | ----: | ------: | ------: | ----: | ----: |
| all             |  4 |  83.3 |  50.0 .. 100.0 | 60.0 |  75.0 |  75.0 |    33.3 |    60.0 | 100.0 | 100.0 |
| kind: plain     |  2 |  66.7 |  33.3 .. 100.0 | 60.0 |  50.0 |  50.0 |    66.7 |    60.0 |     - | 100.0 |
| kind: no_target |  2 | 100.0 | 100.0 .. 100.0 |    - | 100.0 | 100.0 |     0.0 |       - | 100.0 |     - |

gIoU, cIoU, P@: LISA's convention; VR: VisionReasoner's (`evals/metrics/iou.py`). All figures x 100.

| cases           |  n | cgF1 | IL_MCC | pos. micro F1 | cgF1@.5 | pos. micro F1@.5 | F1@.5 |
| :-------------- | -: | ---: | -----: | ------------: | ------: | ---------------: | ----: |
| all             |  4 | 50.0 |  100.0 |          50.0 |    50.0 |             50.0 |  50.0 |
| kind: plain     |  2 |    - |      - |          50.0 |       - |             50.0 |  50.0 |
| kind: no_target |  2 |    - |      - |             - |       - |                - |     - |

0.0 s, 0 encodes, 0 brain calls, 0.0000 USD. Code 0.1.0+0, cases 0123456789abcdef.\
""")


def test_a_comparison_is_paired_and_lists_the_flipped_cases() -> None:
    found = compare(score_of("a", {**EXACT, "c2": 8}), score_of("b", EXACT))
    row = found.rows[0]
    assert (row.group, row.cases, row.b_better, row.ties, row.a_better) == ("all", 4, 1, 3, 0)
    assert row.difference == pytest.approx((1 - 1 / 3) / 4, abs=1e-6)
    assert row.low <= row.difference <= row.high
    assert [flip.case for flip in found.flips] == ["c2"]
    assert comparison_table(found) == snapshot("""\
# A = a, B = b

| cases           |  n | gIoU A | gIoU B | B - A |          95 % | B better | tie | A better |
| :-------------- | -: | -----: | -----: | ----: | ------------: | -------: | --: | -------: |
| all             |  4 |   83.3 |  100.0 | +16.7 | +0.0 .. +50.0 |        1 |   3 |        0 |
| kind: plain     |  2 |   66.7 |  100.0 | +33.3 | +0.0 .. +66.7 |        1 |   1 |        0 |
| kind: no_target |  2 |  100.0 |  100.0 |  +0.0 |  +0.0 .. +0.0 |        0 |   2 |        0 |

flipped cases (IoU crosses .5): 1
- c2: 0.33 -> 1.00  'thing 2'\
""")


def test_runs_over_different_cases_are_not_compared() -> None:
    other = dataclasses.replace(score_of("b", {}), manifest=dataclasses.replace(MANIFEST, dataset_hash="other"))
    with pytest.raises(InputError, match="a and b asked different cases"):
        compare(score_of("a", {}), other)


def test_a_reasonseg_folder_is_asked_by_its_first_text_and_scored_without_instances(tmp_path: Path) -> None:
    folder = tmp_path / "val"
    folder.mkdir()
    picture = Image.new("RGB", (64, 64), "grey")
    write_record(folder, "a", picture, "the square", square(8, 8), extra={"kind": "plain"})
    write_record(folder, "b", picture, "what is not there?", np.zeros((64, 64), dtype=bool), is_sentence=True)
    dataset = open_dataset(f"reasonseg:{folder}", "concept")
    first, second = dataset.cases(None)
    assert (first.query, first.strata) == ("the square", {"kind": "plain", "form": "short", "target": "present"})
    assert (second.targets, second.strata) == ((), {"form": "long", "target": "absent"})
    assert np.array_equal(first.target, square(8, 8))
    overall = score_run(whole_run(tmp_path / "run", dataset)).to_json()["overall"]
    assert overall["lisa"]["giou"] == pytest.approx(1.0, abs=1e-6)
    assert overall["vision_reasoner"]["giou"] == pytest.approx(0.5, abs=1e-6)
    assert (overall["n_acc"], overall["t_acc"]) == (1.0, 1.0)
    assert "instances" not in overall
