"""Runs of strangers: whatever stands in their lines is refused by file and line, and nothing outside is read."""

import json
from pathlib import Path
from typing import Any

import pytest
from sam3_evals.manifest import read_manifest
from sam3_evals.prediction import Prediction
from sam3_evals.run import CASES, PREDICTIONS
from sam3_evals.score import score_run

from sam3_agent.errors import InputError
from tests.evals.fixtures_runs import Squares, whole_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return whole_run(tmp_path / "run", Squares(4))


def change(path: Path, number: int, **values: Any) -> None:
    lines = path.read_text().splitlines()
    lines[number] = json.dumps({**json.loads(lines[number]), **values})
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", 7),
        ("id", []),
        ("picture", None),
        ("query", {}),
        ("size", [1, 2, 3]),
        ("size", [-1, 5]),
        ("targets", None),
        ("targets", [{"size": [64, 64], "counts": "zzzz"}]),
        ("targets", [7]),
        ("strata", {"kind": 7}),
        ("others", "x"),
        ("frames", 10**12),
    ],
)
def test_a_broken_case_is_told_with_its_line(run: Path, key: str, value: Any) -> None:
    change(run / CASES, 1, **{key: value})
    with pytest.raises(InputError, match=rf"{CASES}:2: ") as refused:
        score_run(run)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("case", 7),
        ("instances", None),
        ("instances", [{"score": 1}]),
        ("instances", [{"score": float("inf"), "mask": {"size": [64, 64], "counts": "0"}}]),
        ("presence", float("nan")),
        ("usage", {"usd": "much"}),
        ("trace", "../../etc/passwd"),
        ("trace", "/etc/passwd"),
        ("reason", "x" * 200_000),
    ],
)
def test_a_broken_prediction_is_told(run: Path, key: str, value: Any) -> None:
    change(run / PREDICTIONS, 0, **{key: value})
    with pytest.raises(InputError, match=PREDICTIONS) as refused:
        score_run(run)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("line", ["[]", "7", "[" * 5000, '{"case": "\\ud800"}', "\udcff"])
def test_a_line_that_is_no_prediction_is_told_with_its_number(run: Path, line: str) -> None:
    path = run / PREDICTIONS
    path.write_bytes(line.encode("utf-8", "surrogateescape") + b"\n" + path.read_bytes())
    with pytest.raises(InputError, match=rf"{PREDICTIONS}:1: "):
        score_run(run)


@pytest.mark.parametrize("change_of", [{"seed": "x"}, {"cases": None}, {"more": 1}, {"dataset": 7}])
def test_a_manifest_of_other_fields_is_refused(run: Path, change_of: dict[str, Any]) -> None:
    document = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**document, **change_of}))
    with pytest.raises(InputError, match="not a manifest of this version"):
        read_manifest(run)


def test_a_prediction_comes_back_as_it_was_written() -> None:
    known = Prediction("c1", outcome="no_match", reason="nothing", presence=0.25, trace_file="traces/c1.jsonl")
    assert Prediction.from_json(json.loads(json.dumps(known.to_json()))) == known
