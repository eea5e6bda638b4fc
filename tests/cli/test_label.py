"""`sam3-agent label`, `review --calibrate` and `export`: what they print, refuse and leave behind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sam3_agent.cli.commands import label as command
from sam3_agent.cli.commands.review import print_fits
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.summary import summarize
from sam3_agent.labeling.verify.calibrate import calibrate
from sam3_agent.model.fake import FAKE
from tests.cli.conftest import Run
from tests.labeling.fixtures_runs import knowing_segmenter, label, write_scenes

CONCEPTS = "classes: [{name: shape}, {name: animal}]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_scenes(tmp_path / "images", 3)
    (tmp_path / "images" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "concepts.yaml").write_text(CONCEPTS)
    label(tmp_path / "images", tmp_path / "run", knowing_segmenter(3), CONCEPTS).close()
    return tmp_path


def test_a_wrong_call_is_one_line(run: Run, folder: Path) -> None:
    options = ("--concepts", folder / "concepts.yaml", "--out", folder / "run")
    assert "holds a run already: add --resume" in run("label", folder / "images", *options).error()
    (folder / "concepts.yaml").write_text("classes: [{nam: shape}]")
    assert "concepts.yaml:1: classes.0" in run("label", folder / "images", *options).error()
    assert "holds no journal.sqlite" in run("export", folder, "--format", "coco").error()
    assert "unknown format 'word'" in run("export", folder / "run", "--format", "word").error()
    assert "0 labels are decided" in run("review", folder / "run", "--calibrate").error()


def test_all_faults_of_a_concept_file_are_told_a_line_each(run: Run, folder: Path) -> None:
    (folder / "concepts.yaml").write_text("overlap: none\nclasses:\n- name: a\n  phrase: [x]\n- {nam: b}\n")
    ran = run("label", folder / "images", "--concepts", folder / "concepts.yaml", "--out", folder / "new")
    assert (ran.status, ran.out) == (1, "")
    lines = ran.err.splitlines()
    assert [line.split("concepts.yaml:")[1].split(":")[0] for line in lines] == ["1", "4", "5"]
    assert all(line.startswith("error: ") for line in lines)
    assert lines[1].endswith("did you mean 'phrases'?")
    assert not (folder / "new").exists()


def test_an_export_says_what_it_wrote(run: Run, folder: Path) -> None:
    ran = run("export", folder / "run", "--format", "yolo", "--val", "0.5", "--json")
    document = ran.json()
    assert set(document) == {"out", "format", "images", "labels", "splits", "left_out", "warnings"}
    assert document["images"] == 3
    assert (folder / "run" / "export" / "yolo" / "data.yaml").is_file()
    assert "labels on 3 images" in run("export", folder / "run", "--format", "coco").out


def test_an_export_counts_what_it_leaves_out(run: Run, folder: Path) -> None:
    journal = Journal.open(folder / "run")
    waits, rejected = journal.labels()[:2]
    ReviewDecisions(journal).decide([rejected.id], "reject")
    journal.put_labels([replace(waits, route="review")])
    journal.close()
    out = run("export", folder / "run", "--format", "coco").out
    assert (
        "left out: 1 labels that wait for review (--with-review takes them along); 1 rejected labels; 1 unread" in out
    )
    document = run("export", folder / "run", "--format", "coco", "--with-review", "--json").json()
    assert document["left_out"] == {"rejected": 1, "unreadable": 1}


def test_a_format_that_looks_for_images_says_so_without_them(run: Run, folder: Path) -> None:
    said = "looks for images such as images/train/000.png, which --images copies there"
    assert f"note: yolo {said}" in run("export", folder / "run", "--format", "yolo").out
    assert "--images" not in run("export", folder / "run", "--format", "yolo", "--pictures").out
    assert "--images" not in run("export", folder / "run", "--format", "coco").out


def test_an_export_follows_no_link_of_a_strangers_run_folder(run: Run, folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "run" / "export" / "yolo").mkdir(parents=True)
    (folder / "run" / "export" / "yolo" / "labels").symlink_to(folder / "elsewhere")
    assert "labels is a link; remove it" in run("export", folder / "run", "--format", "yolo").error()
    assert list((folder / "elsewhere").iterdir()) == []


def test_the_report_counts_routes_and_lists_what_was_not_labeled(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = label(folder / "images", folder / "run", knowing_segmenter(3), CONCEPTS)
    report = command.LabelReport(folder / "run", "finished", summarize(journal), FAKE, "", 3)
    command.print_report(report)
    out = capsys.readouterr().out
    assert "finished: 3 done, 1 unreadable" in out
    assert "unreadable: broken.png" in out
    document = json.loads(json.dumps(report.to_json()))
    assert document["images"] == {"done": 3, "pending": 0, "duplicate": 0, "unreadable": 1}
    assert document["classes"]["shape"]["accepted"] > 0
    workspace = ReviewDecisions(journal)
    for each in journal.labels():
        workspace.decide([each.id], "accept")
    print_fits(calibrate(journal))
    assert "accept from" in capsys.readouterr().out


@pytest.mark.usefixtures("tiny")
def test_the_embedded_model_labels_and_goes_on(run: Run, folder: Path) -> None:
    (folder / "concepts.yaml").write_text("classes: [{name: shape}, {name: left, query: the leftmost shape}]")
    options = ("--concepts", folder / "concepts.yaml", "--out", folder / "new", "--device", "cpu", "--json")
    first = run("label", folder / "images", *options)
    assert (first.status, first.json()["ended"]) == (0, "finished")
    assert first.json()["images"]["done"] == 3
    again = run("label", folder / "images", *options, "--resume").json()
    assert again["encodes"] == 0
    assert again["classes"] == first.json()["classes"]
    assert json.loads((folder / "new" / "summary.json").read_text())["ended"] == "finished"
