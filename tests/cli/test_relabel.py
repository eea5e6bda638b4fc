"""`sam3-agent relabel`: what it says before it loads a model, and one round with the embedded weights."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from sam3_agent.cli.commands.relabel import print_report, report_json
from sam3_agent.labeling.relabel.round import RoundReport
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.store.journal import Journal
from tests.cli.conftest import Run
from tests.labeling.fixtures_rounds import begin, decide, one_round


def test_a_folder_without_a_run_says_what_to_give(run: Run, tmp_path: Path) -> None:
    assert "give the --out folder of 'sam3-agent label'" in run("relabel", tmp_path, "--dry-run").error()


def test_a_dry_run_says_what_there_is_to_be_taught(run: Run, tmp_path: Path) -> None:
    with closing(begin(tmp_path)) as journal:
        decide(journal, tmp_path, 3)
    (told,) = run("relabel", tmp_path / "run", "--dry-run", "--json").json()
    assert (told["class"], told["objects"], told["images"], told["absent"], told["version"]) == ("gizmo", 4, 2, 1, None)
    assert "gizmo: 4 objects on 2 images, 1 without" in run("relabel", tmp_path / "run", "--dry-run").out
    assert (
        "unknown class 'gear'; known: gizmo" in run("relabel", tmp_path / "run", "--dry-run", "--class", "gear").error()
    )


def test_a_run_that_nobody_reviewed_points_to_the_review(run: Run, tmp_path: Path) -> None:
    begin(tmp_path, 2).close()
    assert "no label of this run was decided by a person yet" in run("relabel", tmp_path / "run", "--dry-run").out


def test_the_report_tells_counts_before_and_after_and_what_comes_next(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(begin(tmp_path)) as journal:
        decide(journal, tmp_path, 3)
        report = one_round(journal)
    print_report(report, tmp_path / "run")
    out = capfd.readouterr().out
    assert "gizmo: 4 objects on 2 images, 1 without -> @gizmo.v1 (learned)" in out
    assert "7 images labeled anew; labels before -> after" in out
    assert "next: " in out
    document = json.loads(json.dumps(report_json(report)))
    # Pictures 3 to 6 are labeled anew: two gizmos each on 4 and 5, and a blue block less on every one.
    assert document["changes"] == {"gizmo": {"found": 4, "lost": 4}}
    assert document["lessons"][0]["used"] is True


def test_a_run_of_another_model_is_refused(run: Run, tmp_path: Path) -> None:
    with closing(begin(tmp_path, 2)) as journal:
        ReviewDecisions(journal, "me").confirm(journal.images("done")[0].sha)
    assert "was labeled by fake, not tiny: give --model" in run("relabel", tmp_path / "run").error()
    with closing(Journal.open(tmp_path / "run")) as journal:
        assert journal.meta("versions") is None


def test_a_stopped_round_that_went_on_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    print_report(RoundReport((), True, 0, {}, {}, {}, ()), tmp_path)
    out = capfd.readouterr().out
    assert "went on with the round that was stopped" in out
    assert "nothing was labeled anew" in out
