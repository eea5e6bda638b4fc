"""The oracle chooses best, and a function of one's own is a solver, whatever it does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sam3_evals.sample import Case
from sam3_evals.solvers import check_solver, make_solver, needs_model
from sam3_evals.solvers.function import FunctionSolver, load_function
from sam3_evals.solvers.oracle import OracleSolver, best_subset, phrases_of

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.workspace import Workspace
from tests.evals.fixtures_runs import SIDE, square

PICTURE = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)


def rle(x: int, y: int, side: int = 16) -> Rle:
    return masks.encode(square(x, y, side))


def iou_of(chosen: list[Rle], target: Rle) -> float:
    return float(masks.iou([masks.union(chosen)], [target])[0, 0]) if chosen else 0.0


def test_the_best_subset_of_disjoint_masks_is_found_exactly() -> None:
    rng = np.random.default_rng(11)
    for _ in range(25):
        blocks = [rle(8 * x, 8 * y, 8) for x in range(4) for y in range(2)]
        target = masks.encode(rng.random((SIDE, SIDE)) < np.repeat(np.repeat(rng.random((8, 8)), 8, 0), 8, 1) ** 2)
        every = ([b for i, b in enumerate(blocks) if n >> i & 1] for n in range(1, 256))
        assert iou_of(best_subset(blocks, target), target) == pytest.approx(max(iou_of(s, target) for s in every))


def test_overlapping_masks_are_exchanged_while_it_helps_and_ignored_pixels_do_not_count() -> None:
    target = rle(0, 0, 32)
    whole, half, beyond = rle(0, 0, 34), rle(0, 0, 16), rle(40, 40, 8)
    assert best_subset([half, whole, beyond], target) == [whole]
    assert best_subset([beyond], target) == []
    ring = masks.subtract(rle(0, 0, 48), target)
    assert best_subset([half, rle(0, 0, 48)], target, ignore=ring) == [rle(0, 0, 48)]


def test_a_query_is_taken_apart_into_its_telling_words() -> None:
    assert phrases_of("the red cube left of the  big ball") == [
        "the red cube left of the big ball", "object", "red cube", "cube left", "big ball",
        "red", "cube", "left", "big", "ball",
    ]  # fmt: skip


def test_the_oracle_answers_with_near_misses_too_and_with_nothing_where_nothing_is() -> None:
    segmenter = FakeSegmenter({"cube": detection([square(0, 0), square(30, 30)], [0.9, 0.05], presence=0.2)})
    solver = OracleSolver(Workspace(segmenter))
    case = Case("a", "p", "the cube over there", (SIDE, SIDE), (rle(30, 30),))
    answer = solver.solve(case, PICTURE)
    assert answer.rles == (rle(30, 30),)
    assert answer.usage.encodes == 1
    assert solver.solve(Case("b", "p", "the cube over there", (SIDE, SIDE)), PICTURE).outcome == "no_match"


CASE = Case("a", "p", "the thing", (SIDE, SIDE))


@pytest.mark.parametrize(
    ("said", "count"),
    [
        (square(0, 0), 1),
        (np.stack([square(0, 0), square(20, 20)]), 2),
        (np.zeros((0, SIDE, SIDE), dtype=bool), 0),
        ([square(0, 0)], 1),
        ([rle(0, 0).to_json()], 1),
        ([], 0),
        ({"masks": [square(0, 0)], "scores": [0.4], "presence": 0.7, "usd": 0.01, "reason": "so"}, 1),
    ],
)
def test_a_function_may_answer_in_several_forms(said: Any, count: int) -> None:
    answer = FunctionSolver(lambda picture, query: said).solve(CASE, PICTURE)
    assert answer.error == ""
    assert len(answer.rles) == count
    if isinstance(said, dict):
        assert (answer.scores, answer.presence, answer.usage.usd, answer.reason) == ((0.4,), 0.7, 0.01, "so")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (np.zeros((SIDE, SIDE), dtype=np.uint8), "a mask is a bool array, got uint8"),
        (np.zeros((4, 4), dtype=bool), r"a mask of shape (4, 4) for an image of shape (64, 64)"),
        (7, "expected masks as an array or a list, got int"),
        ({"masks": [square(0, 0)], "scores": []}, "0 scores for 1 masks"),
        ({"masks": [], "presence": 3}, "presence lies in 0..1, got 3"),
        ({"mask": []}, "KeyError"),
    ],
)
def test_what_is_no_mask_is_an_error_prediction(said: Any, words: str) -> None:
    assert words in FunctionSolver(lambda picture, query: said).solve(CASE, PICTURE).error


def test_what_a_function_raises_is_an_error_prediction_and_it_cannot_spoil_the_picture() -> None:
    def spoils(picture: NDArray[np.uint8], query: str) -> Any:
        assert not picture.any()
        picture[:] = 255
        raise RuntimeError("out of luck")

    solver = FunctionSolver(spoils)
    assert solver.solve(CASE, PICTURE).error == "RuntimeError: out of luck"
    assert solver.solve(CASE, PICTURE).error == "RuntimeError: out of luck"


def test_solvers_are_made_by_name_and_a_wrong_name_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(FakeSegmenter({}))
    assert isinstance(make_solver("oracle", workspace, ""), OracleSolver)
    assert isinstance(make_solver("math:sqrt", None, ""), FunctionSolver)
    assert (needs_model("concept"), needs_model("math:sqrt")) == (True, False)
    for wrong in ("no_such_module:f", "math:no_such", "math:pi"):
        with pytest.raises(InputError, match="the solver"):
            load_function(wrong)
    with pytest.raises(InputError, match="unknown solver 'best'"):
        check_solver("best", "")
