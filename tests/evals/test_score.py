"""Scores: missing predictions are empty ones, figures have intervals, comparisons are paired, tables say it all."""

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from inline_snapshot import snapshot
from PIL import Image
from sam3_evals.compare import compare
from sam3_evals.datasets import open_dataset
from sam3_evals.journal import Journal
from sam3_evals.manifest import Manifest
from sam3_evals.prediction import Prediction
from sam3_evals.resampling import PERMUTATIONS, interval, p_value, signs, weights
from sam3_evals.run import CASES, PREDICTIONS
from sam3_evals.sample import Case
from sam3_evals.score import score_case, score_run
from sam3_evals.strata import strata_of
from sam3_evals.table import comparison_table, rounded, score_table

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.reasonseg import write_record
from tests.evals.fixtures_runs import SIDE, Squares, square, whole_run

MANIFEST = Manifest(
    dataset="squares",
    dataset_hash="0123456789abcdef",
    cases=4,
    solver="concept",
    model="fake",
    weights="",
    llm="",
    prompts="",
    seed=0,
    code="0.1.0+0",
)
EXACT: dict[str, int] = dict.fromkeys(("c0", "c1", "c2", "c3"), 0)
TABLE = snapshot("""\
# squares with concept (model fake)

gIoU 83.3 (95 % 66.7 .. 100.0), cgF1 50.0 over 4 cases of 2 images (2 images are few: rough): 66.7 on the 2 with a target; 2 of 2 without a target rightly left empty.

| cases           |  n |        gIoU |        cIoU |    gIoU VR |     cIoU VR |        P@.5 |        P@.7 |        P@.9 |
| :-------------- | -: | ----------: | ----------: | ---------: | ----------: | ----------: | ----------: | ----------: |
| all             |  4 |        83.3 |        60.0 |       33.3 |        60.0 |        75.0 |        75.0 |        75.0 |
|   95 %          |    | 66.7..100.0 | 33.3..100.0 | 16.7..50.0 | 33.3..100.0 | 50.0..100.0 | 50.0..100.0 | 50.0..100.0 |
| kind: plain     |  2 |        66.7 |        60.0 |       66.7 |        60.0 |        50.0 |        50.0 |        50.0 |
| kind: no_target |  2 |       100.0 |           - |        0.0 |           - |       100.0 |       100.0 |       100.0 |
| target: present |  2 |        66.7 |        60.0 |       66.7 |        60.0 |        50.0 |        50.0 |        50.0 |
| target: absent  |  2 |       100.0 |           - |        0.0 |           - |       100.0 |       100.0 |       100.0 |
| size: small     |  2 |        66.7 |        60.0 |       66.7 |        60.0 |        50.0 |        50.0 |        50.0 |
| instances: 0    |  2 |       100.0 |           - |        0.0 |           - |       100.0 |       100.0 |       100.0 |
| instances: 1    |  2 |        66.7 |        60.0 |       66.7 |        60.0 |        50.0 |        50.0 |        50.0 |

gIoU, cIoU, P@: LISA's convention; VR: VisionReasoner's (`evals/sam3_evals/metrics/iou.py`). x 100.

| cases           |  n |       cgF1 |       IL_MCC | pos. micro F1 |       pmF1 |    cgF1@.5 |      F1@.5 |
| :-------------- | -: | ---------: | -----------: | ------------: | ---------: | ---------: | ---------: |
| all             |  4 |       50.0 |        100.0 |          50.0 |       50.0 |       50.0 |       50.0 |
|   95 %          |    | 0.0..100.0 | 100.0..100.0 |    0.0..100.0 | 0.0..100.0 | 0.0..100.0 | 0.0..100.0 |
| kind: plain     |  2 |          - |            - |          50.0 |       50.0 |          - |       50.0 |
| target: present |  2 |          - |            - |          50.0 |       50.0 |          - |       50.0 |
| size: small     |  2 |          - |            - |          50.0 |       50.0 |          - |       50.0 |
| instances: 1    |  2 |          - |            - |          50.0 |       50.0 |          - |       50.0 |

| cases           |  n |   gIoU GRES |   cIoU GRES |        N-acc |        T-acc |    precision |       recall | ECE | Brier |
| :-------------- | -: | ----------: | ----------: | -----------: | -----------: | -----------: | -----------: | --: | ----: |
| all             |  4 |        83.3 |        60.0 |        100.0 |        100.0 |        100.0 |        100.0 |   - |     - |
|   95 %          |    | 66.7..100.0 | 33.3..100.0 | 100.0..100.0 | 100.0..100.0 | 100.0..100.0 | 100.0..100.0 |   - |     - |
| kind: plain     |  2 |        66.7 |        60.0 |            - |        100.0 |        100.0 |        100.0 |   - |     - |
| kind: no_target |  2 |       100.0 |           - |        100.0 |            - |            - |            - |   - |     - |
| target: present |  2 |        66.7 |        60.0 |            - |        100.0 |        100.0 |        100.0 |   - |     - |
| target: absent  |  2 |       100.0 |           - |        100.0 |            - |            - |            - |   - |     - |
| size: small     |  2 |        66.7 |        60.0 |            - |        100.0 |        100.0 |        100.0 |   - |     - |
| instances: 0    |  2 |       100.0 |           - |        100.0 |            - |            - |            - |   - |     - |
| instances: 1    |  2 |        66.7 |        60.0 |            - |        100.0 |        100.0 |        100.0 |   - |     - |

GRES: gRefCOCO's. Precision, recall: anything predicted against anything there. ECE, Brier: of presence.

| cases           |  n | exact count % | count error |       RMSE |       bias | gIoU objects | cIoU objects |
| :-------------- | -: | ------------: | ----------: | ---------: | ---------: | -----------: | -----------: |
| all             |  4 |         100.0 |        0.00 |       0.00 |       0.00 |         66.7 |         60.0 |
|   95 %          |    |  100.0..100.0 |  0.00..0.00 | 0.00..0.00 | 0.00..0.00 |  33.3..100.0 |  33.3..100.0 |
| kind: plain     |  2 |         100.0 |        0.00 |       0.00 |       0.00 |         66.7 |         60.0 |
| kind: no_target |  2 |         100.0 |        0.00 |       0.00 |       0.00 |            - |            - |
| target: present |  2 |         100.0 |        0.00 |       0.00 |       0.00 |         66.7 |         60.0 |
| target: absent  |  2 |         100.0 |        0.00 |       0.00 |       0.00 |            - |            - |
| size: small     |  2 |         100.0 |        0.00 |       0.00 |       0.00 |         66.7 |         60.0 |
| instances: 0    |  2 |         100.0 |        0.00 |       0.00 |       0.00 |            - |            - |
| instances: 1    |  2 |         100.0 |        0.00 |       0.00 |       0.00 |         66.7 |         60.0 |

In instances; a bias above 0 means too many. gIoU, cIoU: object by object, MUSE's.

0.0 s, 0 encodes, 0 LLM calls, 0.0000 USD. Code 0.1.0+0, cases 0123456789abcdef.\
""")  # noqa: E501 - a table is as wide as it is


def run_of(folder: Path, shifts: dict[str, int], count: int = 4) -> Path:
    """The squares as predicted when moved by some pixels; a case that is not named has no prediction."""
    folder.mkdir()
    dataclasses.replace(MANIFEST, cases=count).write(folder)
    with Journal(folder / CASES) as cases, Journal(folder / PREDICTIONS) as predictions:
        for case in Squares(count).cases(None):
            cases.append(case.to_json())
            if case.id in shifts:
                moved = [masks.encode(np.roll(masks.decode(rle), shifts[case.id], axis=1)) for rle in case.targets]
                predictions.append(Prediction(case.id, tuple(moved), (0.9,) * len(moved)).to_json())
    return folder


def test_a_missing_prediction_scores_as_empty_and_the_run_is_called_incomplete(tmp_path: Path) -> None:
    run = whole_run(tmp_path, Squares(8))
    lines = (run / PREDICTIONS).read_text().splitlines(keepends=True)
    (run / PREDICTIONS).write_text("".join(lines[2:]))  # c0, which has a target, and c1, which has none
    found = score_run(run).to_json()
    assert (found["complete"], found["cases"], found["missing"]) == (False, 8, 2)
    assert found["overall"]["lisa"]["giou"]["value"] == pytest.approx(7 / 8, abs=1e-6)
    assert found["overall"]["instances"]["il_fn"]["value"] == 1
    assert "**INCOMPLETE: 2 of 8 cases have no prediction; they score as empty.**" in score_table(score_run(run))


def test_the_table_shows_both_conventions_by_stratum_with_intervals(tmp_path: Path) -> None:
    table = score_table(score_run(run_of(tmp_path / "run", {**EXACT, "c2": 8})))
    assert table == TABLE


def test_every_figure_that_there_is_has_an_interval_around_it(tmp_path: Path) -> None:
    found = score_run(run_of(tmp_path / "run", {f"c{n}": n % 5 for n in range(40)}, count=40)).to_json()["overall"]
    figures = [
        figure for metric, group in found.items() if metric not in ("cases", "images") for figure in group.values()
    ]
    known = [figure for figure in figures if figure["value"] is not None]
    assert len(known) > 40
    assert all(figure["low"] <= figure["value"] + 1e-9 for figure in known)
    assert all(figure["value"] <= figure["high"] + 1e-9 for figure in known)
    giou = found["lisa"]["giou"]
    assert giou["low"] < giou["value"] < giou["high"]


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(3).random(400)
    drawn = np.stack([weights(f"p{n}") for n in range(400)]).astype(float)  # (400, RESAMPLES)
    low, high = interval((values @ drawn) / drawn.sum(axis=0))
    mean, spread = float(values.mean()), float(1.96 * values.std() / 400**0.5)
    assert low == pytest.approx(mean - spread, abs=0.006)
    assert high == pytest.approx(mean + spread, abs=0.006)
    assert np.array_equal(weights("p1"), weights("p1"))
    assert not np.array_equal(weights("p1"), weights("p2"))
    assert np.isnan(interval(np.full(5, np.nan))[0])


def test_a_permutation_test_finds_a_difference_and_none_where_chance_trades_places() -> None:
    rng = np.random.default_rng(5)
    for shift, most in ((0.2, 0.001), (0.0, 1.0)):
        differences = rng.normal(shift, 0.3, 200)
        permuted = sum(d * signs(f"p{n}") for n, d in enumerate(differences))
        assert isinstance(permuted, np.ndarray)
        p = p_value(float(differences.sum()), permuted)
        assert 1 / (PERMUTATIONS + 1) <= p <= most
    assert p > 0.01
    assert p_value(0.0, np.zeros(PERMUTATIONS)) == 1.0


def test_a_comparison_is_paired_and_lists_the_flipped_cases(tmp_path: Path) -> None:
    found = compare(run_of(tmp_path / "a", {**EXACT, "c2": 8}), run_of(tmp_path / "b", EXACT))
    row = found.rows[0]
    assert (row.group, row.cases, row.b_better, row.ties, row.a_better) == ("all", 4, 1, 3, 0)
    assert row.difference == pytest.approx((1 - 1 / 3) / 4, abs=1e-6)
    assert row.low is not None
    assert row.high is not None
    assert row.low <= row.difference <= row.high
    assert row.p == 1.0  # a single difference: trading places or not is as large
    assert [flip.case for flip in found.flips] == ["c2"]
    assert found.differences["instances"]["il_tp"]["difference"] == 0
    assert found.differences["lisa"]["ciou"]["difference"] == pytest.approx(0.4, abs=1e-6)
    assert comparison_table(found).replace(str(tmp_path), "") == snapshot("""\
# A = /a, B = /b

B - A: gIoU +16.7 (95 % +0.0 .. +33.3, p = 1.0000; 2 images are few, so both are rough) over 4 cases of 2 images: with a target +33.3 (n = 2), without one +0.0 (n = 2); 1 cases flipped, 1 of them for the better.

| cases           |  n | gIoU A | gIoU B | B - A |          95 % |      p | B better | tie | A better |
| :-------------- | -: | -----: | -----: | ----: | ------------: | -----: | -------: | --: | -------: |
| all             |  4 |   83.3 |  100.0 | +16.7 | +0.0 .. +33.3 | 1.0000 |        1 |   3 |        0 |
| kind: plain     |  2 |   66.7 |  100.0 | +33.3 | +0.0 .. +66.7 | 1.0000 |        1 |   1 |        0 |
| kind: no_target |  2 |  100.0 |  100.0 |  +0.0 |  +0.0 .. +0.0 | 1.0000 |        0 |   2 |        0 |
| target: present |  2 |   66.7 |  100.0 | +33.3 | +0.0 .. +66.7 | 1.0000 |        1 |   1 |        0 |
| target: absent  |  2 |  100.0 |  100.0 |  +0.0 |  +0.0 .. +0.0 | 1.0000 |        0 |   2 |        0 |
| size: small     |  2 |   66.7 |  100.0 | +33.3 | +0.0 .. +66.7 | 1.0000 |        1 |   1 |        0 |
| instances: 0    |  2 |  100.0 |  100.0 |  +0.0 |  +0.0 .. +0.0 | 1.0000 |        0 |   2 |        0 |
| instances: 1    |  2 |   66.7 |  100.0 | +33.3 | +0.0 .. +66.7 | 1.0000 |        1 |   1 |        0 |

flipped cases (IoU crosses .5): 1
- c2: 0.33 -> 1.00  'thing 2'\
""")  # noqa: E501 - a line of a terminal that wraps


def test_a_consistent_difference_is_significant_and_a_run_against_itself_is_not(tmp_path: Path) -> None:
    every = [f"c{n}" for n in range(60)]
    worse, better = (
        run_of(tmp_path / "a", dict.fromkeys(every, 4), 60),
        run_of(tmp_path / "b", dict.fromkeys(every, 1), 60),
    )
    row = compare(worse, better).rows[0]
    assert row.low is not None
    assert row.low > 0
    assert row.p < 0.001
    same = compare(worse, worse).rows[0]
    assert (same.difference, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)


def test_cases_about_a_single_picture_have_no_interval(tmp_path: Path) -> None:
    one, other = run_of(tmp_path / "a", {"c0": 4, "c1": 0}, 2), run_of(tmp_path / "b", {"c0": 0, "c1": 0}, 2)
    figure = score_run(one).to_json()["overall"]["lisa"]["giou"]
    assert (figure["low"], figure["high"]) == (None, None)
    assert "|   95 %          |    |    - |" in score_table(score_run(one))
    row = compare(one, other).rows[0]
    assert (row.low, row.high) == (None, None)
    assert row.difference > 0
    assert comparison_table(compare(one, other))


def test_runs_over_different_cases_are_not_compared(tmp_path: Path) -> None:
    one, other = run_of(tmp_path / "a", {}), run_of(tmp_path / "b", {})
    dataclasses.replace(MANIFEST, dataset_hash="other").write(other)
    with pytest.raises(InputError, match="asked different cases"):
        compare(one, other)


def test_strata_tell_presence_size_and_number() -> None:
    def case(*sides: int, by_instance: bool = True) -> Case:
        targets = tuple(masks.encode(square(0, 0, side)) for side in sides)
        return Case("a", "p", "q", (SIDE, SIDE), targets, by_instance=by_instance, strata={"kind": "x"})

    assert strata_of(case()) == {"kind": "x", "target": "absent", "instances": "0"}
    assert strata_of(case(31)) == {"kind": "x", "target": "present", "size": "small", "instances": "1"}
    assert strata_of(case(32, 40))["size"] == "medium"
    assert [strata_of(case(*[2] * n))["instances"] for n in (2, 3, 4, 9, 10)] == ["2-3", "2-3", "4-9", "4-9", "10+"]
    assert "instances" not in strata_of(case(2, by_instance=False))


def test_the_best_of_several_annotators_settles_all_figures_of_a_case() -> None:
    targets = [(masks.encode(square(0, 0, side)),) for side in (10, 20)]
    case = Case("a", "p", "q", (SIDE, SIDE), targets[0], others=(targets[1], ()))
    found = score_case(case, Prediction("a", targets[1], (0.9,)))
    assert found.lisa.iou == pytest.approx(1.0, abs=1e-6)
    silent = score_case(case, Prediction("a"))
    assert (silent.has_target, silent.lisa.iou) == (False, 1.0)


def test_a_mask_of_another_size_is_refused_with_its_case() -> None:
    case = Case("a7", "p", "q", (SIDE, SIDE))
    with pytest.raises(InputError, match=r"case a7: a mask of size \[4, 4\]"):
        score_case(case, Prediction("a7", (masks.empty(4, 4),), (0.9,)))


@pytest.mark.integration
def test_memory_does_not_grow_with_the_cases(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        run = run_of(tmp_path / f"{count}", {f"c{n}": 0 for n in range(count)}, count)
        tracemalloc.start()
        score_run(run)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = peak(150), peak(1200)
    assert many - few < 1050 * 200  # its place in the journal while that is sorted; a case has 1000 bytes and more


def test_a_reasonseg_folder_is_asked_by_its_first_text_and_scored_without_instances(tmp_path: Path) -> None:
    folder = tmp_path / "val"
    folder.mkdir()
    picture = Image.new("RGB", (64, 64), "grey")
    write_record(folder, "a", picture, "the square", square(8, 8), extra={"kind": "plain"})
    write_record(folder, "b", picture, "what is not there?", np.zeros((64, 64), dtype=bool), is_sentence=True)
    dataset = open_dataset(f"reasonseg:{folder}", "concept")
    first, second = dataset.cases(None)
    assert (first.query, first.strata) == ("the square", {"kind": "plain", "form": "short"})
    assert (second.targets, second.strata) == ((), {"form": "long"})
    assert np.array_equal(masks.decode(first.target), square(8, 8))
    overall = score_run(whole_run(tmp_path / "run", dataset)).to_json()["overall"]
    assert overall["lisa"]["giou"]["value"] == pytest.approx(1.0, abs=1e-6)
    assert overall["vision_reasoner"]["giou"]["value"] == pytest.approx(0.5, abs=1e-6)
    assert (overall["gres"]["n_acc"]["value"], overall["gres"]["t_acc"]["value"]) == (1.0, 1.0)
    assert "instances" not in overall


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert [rounded(value, 1) for value in (-0.04, -0.05000001, 0.0, -3.21)] == ["0.0", "-0.1", "0.0", "-3.2"]
