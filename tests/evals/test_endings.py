"""A run's end: the answer on one screen, a failing solver as a failure, negatives apart, a limit that can be raised."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sam3_evals.__main__ import app
from sam3_evals.compare import compare
from sam3_evals.datasets import open_dataset
from sam3_evals.headline import comparison_headline, headline
from sam3_evals.run import execute, prepare, read_cases, read_predictions
from sam3_evals.sample import Case
from sam3_evals.score import score_run
from sam3_evals.solvers.concept import ConceptSolver
from typer.testing import CliRunner

from sam3_agent.errors import InputError
from tests.evals.fixtures_runs import Squares, plan_for, whole_run, workspace_for

SOLVERS = """
import numpy as np

def blind(picture, query):
    return []

def broken(picture, query):
    raise RuntimeError("no such\\n  server")

def half(picture, query, asked=[]):
    asked.append(query)
    if len(asked) % 2:
        raise RuntimeError("now and then")
    return []
"""

call = CliRunner().invoke


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "odd_solvers.py").write_text(SOLVERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def run_of(solver: str, *options: str) -> list[str]:
    return ["run", "scenes:1", "--solver", f"odd_solvers:{solver}", "--out", "run", "--limit", "6", *options]


@pytest.mark.usefixtures("here")
def test_a_run_ends_in_one_screen_that_begins_with_its_answer() -> None:
    result = call(app, run_of("blind"))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) <= 24
    assert lines[2].startswith("gIoU ")
    assert "6 cases" in result.stdout
    assert "worst:" in lines
    assert "sam3-eval score run" in lines[-1]


@pytest.mark.usefixtures("here")
def test_a_run_whose_solver_fails_on_most_cases_exits_1_with_one_line_and_no_figures() -> None:
    result = call(app, run_of("broken"))
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "the solver failed on 6 of 6 cases, first on s0-q0: RuntimeError: no such server" in line


@pytest.mark.usefixtures("here")
def test_a_failing_run_prints_its_document_where_json_is_wanted_and_still_exits_1() -> None:
    result = call(app, run_of("broken", "--json"))
    assert result.exit_code == 1
    assert json.loads(result.stdout)["errors"] == 6


@pytest.mark.usefixtures("here")
def test_a_solver_that_fails_on_half_of_the_cases_only_is_scored() -> None:
    result = call(app, run_of("half"))
    assert result.exit_code == 0
    assert "3 cases ended in an error" in result.stdout.replace("\n", " ")


def test_a_headline_tells_cases_without_a_target_apart(tmp_path: Path) -> None:
    run = whole_run(tmp_path / "whole", Squares(8))
    (run / "predictions.jsonl").write_text("")  # silence: right where nothing is meant
    assert headline(score_run(run).to_json()) == (
        "gIoU 50.0 (95 % 50.0 .. 50.0), cgF1 0.0 over 8 cases of 4 images (4 images are few: rough):"
        " 0.0 on the 4 with a target; 4 of 4 without a target rightly left empty."
    )


def test_many_images_are_not_called_few(tmp_path: Path) -> None:
    assert "few" not in headline(score_run(whole_run(tmp_path, Squares(40))).to_json())


def test_a_comparison_says_how_many_images_it_rests_on(tmp_path: Path) -> None:
    first, second = whole_run(tmp_path / "a", Squares(8)), whole_run(tmp_path / "b", Squares(8))
    (first / "predictions.jsonl").write_text("")
    told = comparison_headline(compare(first, second))
    assert "gIoU +50.0" in told
    assert "4 images are few, so both are rough) over 8 cases of 4 images" in told
    assert "with a target +100.0 (n = 4), without one +0.0 (n = 4); 4 cases flipped, 4 of them for the better" in told


def test_a_limit_is_raised_and_what_was_answered_stays(tmp_path: Path) -> None:
    dataset = Squares(8)
    whole_run(tmp_path, dataset, limit=3)
    before = (tmp_path / "predictions.jsonl").read_bytes()
    assert prepare(plan_for(dataset, 7), tmp_path).cases == 7
    assert execute(tmp_path, dataset, [ConceptSolver(workspace_for(dataset))]) == 4
    assert (tmp_path / "predictions.jsonl").read_bytes().startswith(before)
    assert [p.case for p in read_predictions(tmp_path)] == [f"c{n}" for n in range(7)]
    whole = whole_run(tmp_path / "at_once", dataset, limit=7)
    assert (tmp_path / "cases.jsonl").read_bytes() == (whole / "cases.jsonl").read_bytes()
    assert (tmp_path / "manifest.json").read_bytes() == (whole / "manifest.json").read_bytes()


def test_a_raise_that_was_killed_between_its_two_files_is_taken_up(tmp_path: Path) -> None:
    dataset = Squares(8)
    whole_run(tmp_path, dataset, limit=3)
    manifest = (tmp_path / "manifest.json").read_bytes()
    prepare(plan_for(dataset, 7), tmp_path)
    (tmp_path / "manifest.json").write_bytes(manifest)  # the questions are written first
    assert prepare(plan_for(dataset, 7), tmp_path).cases == 7
    (tmp_path / "manifest.json").write_bytes(manifest)
    assert prepare(plan_for(dataset, 3), tmp_path).cases == 3
    assert len(list(read_cases(tmp_path))) == 3


def test_a_limit_is_not_raised_over_another_dataset(tmp_path: Path) -> None:
    class Moved(Squares):
        def cases(self, limit: int | None) -> Iterator[Case]:
            return reversed(list(super().cases(limit)))

    whole_run(tmp_path, Squares(8), limit=3)
    with pytest.raises(InputError, match="dataset_hash was"):
        prepare(plan_for(Moved(8), 7), tmp_path)
    with pytest.raises(InputError, match="a limit can be raised, not lowered"):
        prepare(plan_for(Squares(8), 2), tmp_path)


def test_scenes_of_a_seed_ask_the_same_of_every_solver() -> None:
    specs = {open_dataset("scenes:1", solver).name for solver in ("concept", "agent", "oracle", "m:f")}
    assert specs == {"scenes:1/queries"}
