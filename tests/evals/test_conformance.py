"""`sam3-eval conformance`: a right harness passes, each kind of wrong one is told where."""

import copy
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sam3_evals.__main__ import app
from sam3_evals.conformance.command import check_answers, check_implementation, export_fixtures, own_answers, template
from sam3_evals.conformance.fixtures import mask_hash
from typer.testing import CliRunner

from sam3_agent.errors import InputError
from sam3_agent.formats.reasonseg import read_record

HERE = "tests.evals.test_conformance"


@pytest.fixture(scope="module")
def computed() -> dict[str, Any]:
    return own_answers()


@pytest.fixture
def answers(computed: dict[str, Any]) -> dict[str, Any]:
    """What this project finds, to be changed."""
    return copy.deepcopy(computed)


def right(annotation: Path, picture: Path) -> NDArray[Any]:
    record = read_record(annotation, picture)
    return record.target * 1 + record.ignore * 255


def without_outline(annotation: Path, picture: Path) -> NDArray[Any]:
    """What many harnesses do: fill alone, in the order of the file, UTF-8 alone."""
    size = cv2.imread(str(picture))
    assert size is not None
    painted = np.zeros(size.shape[:2], np.uint8)
    for shape in json.loads(annotation.read_text(encoding="utf-8"))["shapes"]:
        cv2.fillPoly(painted, [np.array(shape["points"], np.int32)], 255 if "ignore" in shape["label"].lower() else 1)
    return painted


def test_this_project_conforms() -> None:
    verdict = check_implementation("")
    assert verdict.conforms, verdict.table()
    assert len(verdict.checks) >= 50


def test_a_painter_of_one_s_own_is_checked_and_a_wrong_one_is_told_where() -> None:
    assert check_implementation(f"{HERE}:right").conforms
    failed = {
        check.what.split(":")[0] for check in check_implementation(f"{HERE}:without_outline").checks if not check.passed
    }
    assert {"04_small_over_large", "05_flag_is_dropped", "07_cp1252_text"} <= failed
    assert "01_concave_polygon" not in failed


def write(path: Path, answers: dict[str, Any]) -> Path:
    path.write_text(json.dumps(answers))
    return path


def test_answers_are_checked_and_a_convention_may_be_left_out(tmp_path: Path, answers: dict[str, Any]) -> None:
    assert check_answers(write(tmp_path / "a.json", answers)).conforms
    answers["figures"]["lisa"] = None
    for record in answers["records"].values():
        record["iou"]["lisa"] = None
    assert check_answers(write(tmp_path / "b.json", answers)).conforms


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda a: a["records"].pop("08_no_shapes"), "08_no_shapes"),
        (lambda a: a["records"]["01_concave_polygon"].update(sha256="0"), "01_concave_polygon: mask"),
        (lambda a: a["records"]["08_no_shapes"].update(text="the hinge"), "08_no_shapes: text"),
        (lambda a: a["records"]["08_no_shapes"]["iou"].update(lisa=0.5), "08_no_shapes: IoU, lisa"),
        (lambda a: a["figures"]["vision_reasoner"].update(giou=0.6), "giou, vision_reasoner"),
        (lambda a: a["figures"].update(lisa=None, vision_reasoner=None), "figures"),
    ],
)  # fmt: skip
def test_a_difference_is_named(tmp_path: Path, answers: dict[str, Any], change: Any, what: str) -> None:
    change(answers)
    failed = [check.what for check in check_answers(write(tmp_path / "a.json", answers)).checks if not check.passed]
    assert failed == [what]


def test_the_fixtures_can_be_taken_away_and_the_template_does_not_conform(tmp_path: Path) -> None:
    export_fixtures(tmp_path / "out")
    assert not (tmp_path / "out" / "expected.json").exists()
    assert not check_answers(template(tmp_path / "out")).conforms


def test_what_is_no_mask_is_refused_with_what_was_expected() -> None:
    with pytest.raises(InputError, match=r"shape \(2, 3\), got \(3, 2\)"):
        mask_hash(np.zeros((3, 2)), (2, 3))
    with pytest.raises(InputError, match="expected 0, 1"):
        mask_hash(np.full((2, 3), 7), (2, 3))


def test_the_command_exits_1_where_a_harness_differs(tmp_path: Path) -> None:
    call = CliRunner().invoke
    assert call(app, ["conformance"]).exit_code == 0
    result = call(app, ["conformance", f"{HERE}:without_outline"])
    assert result.exit_code == 1
    assert "FAIL 05_flag_is_dropped: mask" in result.stdout
    assert call(app, ["conformance", "--export", str(tmp_path / "x")]).exit_code == 0
    broken = write(tmp_path / "broken.json", {"records": 3})
    result = call(app, ["conformance", "--answers", str(broken)])
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
