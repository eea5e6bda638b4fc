"""The cgF1 family against Meta's own toy result, plus the cases that the toy cannot tell apart."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco  # pyright: ignore[reportMissingTypeStubs]
from sam3_evals.metrics.cgf1 import (
    CgF1,
    PairCounts,
    aggregate,
    best_annotator,
    family,
    row,
    score_masks,
    score_pair,
)

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle

EXPECTED = {
    "cgf1": "cgf1_micro_50_95",
    "il_mcc": "ilmcc_50_95",
    "positive_micro_f1": "positive_micro_f1_50_95",
    "positive_macro_f1": "pmf1_50_95",
    "positive_macro_f1_with_missed": "pmf1_w0dt_50_95",
    "f1": "f1_50_95",
    "precision": "precision_50_95",
    "recall": "recall_50_95",
    "cgf1_50": "cgf1_micro_50",
    "cgf1_75": "cgf1_micro_75",
    "positive_micro_f1_50": "positive_micro_f1_50",
    "positive_micro_f1_75": "positive_micro_f1_75",
    "f1_50": "f1_50",
    "f1_75": "f1_75",
}


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / f"toy_saco_veval_sav_test_{name}.json").read_text())


def volume_ious(predicted: list[Mapping[str, Any]], truth: list[Mapping[str, Any]]) -> NDArray[np.float64]:
    """(P, G): intersection over union of whole masklets, summed over the frames."""
    table = np.zeros((len(predicted), len(truth)))
    for p, guess in enumerate(predicted):
        for g, target in enumerate(truth):
            inter = union = 0
            for a, b in zip(guess["segmentations"], target["segmentations"], strict=True):
                one, other = (int(coco.area(x)) if x else 0 for x in (a, b))  # pyright: ignore
                both = int(coco.area(coco.merge([a, b], intersect=True))) if a and b else 0  # pyright: ignore
                inter, union = inter + both, union + one + other - both
            table[p, g] = inter / union if union else 0.0
    return table


@pytest.fixture(scope="module")
def toy(shared_data: Path) -> tuple[CgF1, dict[str, float]]:
    folder = shared_data / "sam3_veval_toy"
    truth, predicted = read(folder, "gt"), read(folder, "pred")
    pairs: list[PairCounts] = []
    for pair in truth["video_np_pairs"]:
        key = (pair["video_id"], pair["category_id"])
        mine = [p for p in predicted if (p["video_id"], p["category_id"]) == key]
        real = [t for t in truth["annotations"] if (t["video_id"], t["category_id"]) == key]
        pairs.append(score_pair(volume_ious(mine, real), [p["score"] for p in mine]))
    return aggregate(pairs), read(folder, "eval_res")["dataset_results"]


@pytest.mark.parametrize(("ours", "theirs"), EXPECTED.items())
def test_meta_s_toy_result_is_reproduced_to_nine_digits(
    toy: tuple[CgF1, dict[str, float]], ours: str, theirs: str
) -> None:
    family, expected = toy
    assert getattr(family, ours) == pytest.approx(expected[f"video_mask_demo_{theirs}"], abs=1e-9, rel=0)


def test_a_false_positive_on_a_negative_pair_lowers_the_mcc_and_the_plain_f1_but_not_the_positive_one() -> None:
    found, quiet = score_pair(np.eye(2)), score_pair(np.zeros((0, 0)))
    loud = score_pair(np.zeros((3, 0)))
    without, with_it = aggregate([found, quiet, quiet]), aggregate([found, quiet, loud])
    assert with_it.positive_micro_f1 == without.positive_micro_f1
    assert with_it.f1 < without.f1
    assert with_it.il_mcc == pytest.approx(0.5, abs=1e-5)
    assert (with_it.il_tp, with_it.il_fp, with_it.il_fn, with_it.il_tn) == (1, 1, 0, 1)


def test_predictions_below_the_threshold_do_not_exist_and_the_threshold_itself_is_kept() -> None:
    pair = score_pair(np.array([[0.9], [0.8], [0.7]]), [0.49, 0.5, 0.2])
    assert (pair.predictions, pair.targets) == (1, 1)
    assert pair.true_positives == (1, 1, 1, 1, 1, 1, 1, 0, 0, 0)


def test_matching_is_one_to_one_and_maximises_the_total_iou() -> None:
    pair = score_pair(np.array([[0.9, 0.8], [0.85, 0.0]]))
    assert pair.true_positives[0] == 2
    twice = score_pair(np.array([[0.9], [0.9]]))
    assert twice.true_positives[0] == 1
    assert twice.false_positives()[0] == 1


def test_a_wholly_missed_pair_counts_in_recall_and_mcc() -> None:
    family = aggregate([score_pair(np.eye(1)), score_pair(np.zeros((0, 3))), score_pair(np.zeros((0, 0)))])
    assert family.recall == pytest.approx(0.25, abs=1e-4)
    assert (family.il_fn, family.pairs) == (1, 3)
    assert family.positive_macro_f1_with_missed == pytest.approx(family.positive_macro_f1 / 2)


def test_nothing_at_all_scores_zero_without_a_division_error() -> None:
    assert aggregate([]).cgf1 == 0.0


def test_masks_are_scored_by_their_iou() -> None:
    left, both = np.zeros((4, 4), dtype=bool), np.ones((4, 4), dtype=bool)
    left[:, :3] = True
    pair = score_masks([masks.encode(left)], [masks.encode(both)], [0.9])
    assert pair.true_positives == (1, 1, 1, 1, 1, 1, 0, 0, 0, 0)


def test_a_table_of_the_wrong_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(InputError, match=r"shape \(2,\).*got \(3,\)"):
        score_pair(np.zeros((2, 1)), [1.0, 1.0, 1.0])
    with pytest.raises(InputError, match="predictions, targets"):
        score_pair(np.zeros(3))


def test_of_several_annotators_the_best_counts_and_a_rightly_empty_answer_wins() -> None:
    weak, strong = score_pair(np.array([[0.6]])), score_pair(np.array([[0.9]]))
    assert best_annotator([weak, strong]) == 1
    assert best_annotator([strong, weak]) == 0
    assert best_annotator([strong, strong]) == 0
    missed, silent = score_pair(np.zeros((0, 2))), score_pair(np.zeros((0, 0)))
    assert best_annotator([missed, silent]) == 1
    assert best_annotator([silent, missed]) == 0
    assert best_annotator([missed, missed]) == 0


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong_unless_it_hits_a_target() -> None:
    def strip(start: int, stop: int) -> Rle:
        mask = np.zeros((8, 16), dtype=bool)
        mask[:, start:stop] = True
        return masks.encode(mask)

    crowd, target = strip(8, 16), strip(6, 10)
    in_crowd, hit, elsewhere = strip(12, 16), strip(6, 10), strip(0, 4)
    pair = score_masks([in_crowd, hit, elsewhere], [target], crowd=crowd)
    assert (pair.predictions, pair.true_positives[0]) == (2, 1)
    assert score_masks([in_crowd], [], crowd=crowd).predictions == 0
    assert score_masks([in_crowd], [target]).predictions == 1


def test_figures_of_stacked_sums_are_those_of_each_row() -> None:
    sets = [
        [score_pair(np.eye(2)), score_pair(np.zeros((1, 0)))],
        [score_pair(np.eye(3)), score_pair(np.zeros((0, 0)))],
    ]
    stacked = np.stack([np.sum([row(pair) for pair in pairs], axis=0) for pairs in sets])
    assert family(stacked)["cgf1"].tolist() == [aggregate(pairs).cgf1 for pairs in sets]
