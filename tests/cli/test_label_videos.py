"""Videos in `sam3-agent label`: tracks are labels, a run goes on where it was killed, exports carry track ids."""

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sam3_agent.cli.commands.export import export_run, print_report
from sam3_agent.cli.commands.label_videos import VideoSummary, check_trackable, refuse_videos_only
from sam3_agent.errors import InputError
from sam3_agent.formats.video import FORMATS
from sam3_agent.formats.video.ytvis import read_ytvis
from sam3_agent.labeling.io.journal_labels import Selection
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.videos.track_label import TrackLabel
from sam3_agent.labeling.videos.video_journal import FOLDER, VideoJournal
from tests.cli.conftest import CHECKOUT, Run
from tests.environment import python_path
from tests.labeling.fixtures_runs import ontology
from tests.labeling.fixtures_videos import CONCEPTS, FRAMES, Counting, contents, label, write_folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("labeled") / "images")


@pytest.fixture(scope="module")
def made(images: Path) -> Path:
    """A run that has labeled them."""
    label(images, images.parent / "run", Counting()).close()
    return images.parent / "run"


@pytest.fixture
def journal(made: Path) -> Iterator[Journal]:
    opened = Journal.open(made)
    yield opened
    opened.close()


def labels_of(journal: Journal, path: str) -> list[TrackLabel]:
    videos = VideoJournal(journal)
    (row,) = [row for row in videos.videos() if row.path == path]
    return videos.labels(row.sha)


def test_tracks_are_labels_that_the_rule_routes(journal: Journal) -> None:
    walking, sly, dog = sorted(labels_of(journal, "one.mp4"), key=lambda each: -each.label.score)
    assert (walking.label.score, sly.label.score, dog.label.score) == (0.9025, 0.76, 0.741)
    assert (walking.label.class_name, walking.label.route, walking.label.phrase) == ("cat", "accepted", "cat")
    assert [support.phrase for support in walking.label.evidence.supports] == ["cat", "kitten"]
    assert walking.label.attributes == {"home": True}
    assert [frame.index for frame in walking.track.visible] == list(range(FRAMES))
    assert (sly.label.route, sly.label.reason) == ("rejected", "fox scores 0.90 there, this 0.76")
    assert (dog.label.class_name, dog.label.route) == ("dog", "review")
    assert [frame.index for frame in dog.track.visible] == [*range(8), *range(13, FRAMES)]
    assert dog.label.id == f"{dog.label.sha[:16]}.{dog.track.id}"


def test_the_journal_keeps_every_mask_and_each_video_has_the_folder_that_track_makes(
    made: Path, journal: Journal
) -> None:
    rows = VideoJournal(journal).videos()
    assert [(row.path, row.state, row.folder) for row in rows] == [
        ("broken.mp4", "unreadable", "broken"),
        ("more/one.mkv", "done", "more-one"),
        ("one.mp4", "done", "one"),
    ]
    assert "not a video" in rows[0].reason
    assert (rows[2].frames, rows[2].fps, rows[2].width) == (FRAMES, 10.0, 128)
    for folder in ("more-one", "one"):
        assert (made / FOLDER / folder / "tracks.jsonl").is_file()
        (question,) = json.loads((made / FOLDER / folder / "questions.json").read_text())
        assert question["done"]
    walking = labels_of(journal, "one.mp4")[0].track
    for index in (0, 7, FRAMES - 1):
        seen = walking.at(index)
        assert seen is not None
        assert seen.box == (5 + 2 * index, 8, 25 + 2 * index, 28)
    assert len(journal.images("done")) == 1


def test_a_run_that_is_given_again_looks_at_nothing_twice_and_new_thresholds_route_anew(
    images: Path, made: Path, journal: Journal
) -> None:
    before = contents(journal)
    model = Counting()
    label(images, made, model).close()
    assert (model.encodes, contents(journal)) == (0, before)
    label(images, made, model, CONCEPTS.replace("- name: dog", "- {name: dog, accept: 0.4}")).close()
    routes = {each.label.class_name: each.label.route for each in labels_of(journal, "one.mp4")}
    assert (model.encodes, routes["dog"]) == (0, "accepted")
    label(images, made, model).close()
    assert contents(journal) == before


@pytest.mark.integration
@pytest.mark.parametrize("frames", [4, 15, 25])
def test_a_run_that_was_killed_goes_on_to_the_same_labels(
    images: Path, journal: Journal, tmp_path: Path, frames: int
) -> None:
    command = [sys.executable, "-m", "tests.labeling.fixtures_videos", str(images), str(tmp_path / "run"), str(frames)]
    environment = {"PYTHONPATH": python_path(CHECKOUT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    killed = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, timeout=200)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    again = label(images, tmp_path / "run", Counting())
    try:
        assert contents(again) == contents(journal)
    finally:
        again.close()


def test_a_changed_video_is_labeled_anew_in_a_folder_of_its_own(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images", pictures=0)
    label(folder, tmp_path / "run", Counting()).close()
    (folder / "one.mp4").write_bytes((folder / "more" / "one.mkv").read_bytes())
    journal = label(folder, tmp_path / "run", Counting())
    try:
        row = VideoJournal(journal).videos()[2]
        assert (row.folder, row.state, row.frames) == ("one-2", "done", FRAMES // 2)
        assert {each.label.sha for each in VideoJournal(journal).labels()} == {row.sha}
    finally:
        journal.close()


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_of_tracks_is_written_for_every_video(made: Path, tmp_path: Path, form: str) -> None:
    report = export_run(made, form, tmp_path / "out", Selection(("accepted", "review")), pictures=False)
    assert report.videos is not None
    assert (report.videos.videos, report.videos.tracks) == (2, 4)
    assert report.videos.left_out == {"rejected": 2, "unreadable": 1}
    assert (report.images is not None) == (form in ("cvat", "label-studio"))
    lines = [json.loads(line) for line in (report.videos.out / "provenance.jsonl").read_text().splitlines()]
    assert {(line["video"], line["class"]) for line in lines} == {
        (video, name) for video in ("one.mp4", "more/one.mkv") for name in ("cat", "dog")
    }
    print_report(report)


def test_an_export_carries_the_track_ids_of_the_folders_and_the_names_of_classes(made: Path, tmp_path: Path) -> None:
    export_run(made, "ytvis", tmp_path / "y", Selection(), pictures=False)
    document = json.loads((tmp_path / "y" / "annotations.json").read_text())
    assert [each["noun_phrase"] for each in document["annotations"]] == ["cat", "cat"]
    assert all(each["track"].startswith("t") for each in document["annotations"])
    videos = read_ytvis(tmp_path / "y" / "annotations.json")
    assert [video.tracks.frames for video in videos] == [FRAMES // 2, FRAMES]
    export_run(made, "csv", tmp_path / "c", Selection(), pictures=False)
    with (tmp_path / "c" / "one" / "tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["concept"] for row in rows} == {"cat"}
    assert {row["id"] for row in rows} == {document["annotations"][1]["track"]}


def test_formats_go_to_what_they_are_for_and_say_so_otherwise(made: Path, tmp_path: Path) -> None:
    of_images = export_run(made, "coco", tmp_path / "coco", Selection(), pictures=False)
    assert (of_images.videos, set(of_images.to_json())) == (
        None,
        {"out", "format", "images", "labels", "splits", "left_out", "warnings"},
    )
    both = export_run(made, "cvat", tmp_path / "cvat", Selection(), pictures=False)
    assert both.to_json()["tracks"]["out"] == str(tmp_path / "cvat" / FOLDER)
    with pytest.raises(InputError, match="for images: leave them out"):
        export_run(made, "ytvis", tmp_path / "y", Selection(), pictures=True)
    folder = write_folder(tmp_path / "videos", pictures=0)
    label(folder, tmp_path / "run", Counting()).close()
    with pytest.raises(InputError, match="has videos only: their formats are ytvis"):
        export_run(tmp_path / "run", "coco", tmp_path / "x", Selection(), pictures=False)
    with pytest.raises(InputError, match="unknown format 'word'"):
        export_run(made, "word", tmp_path / "x", Selection(), pictures=False)


def test_a_run_of_videos_alone_names_the_folder_to_review(made: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "journal.sqlite").write_bytes((made / "journal.sqlite").read_bytes())
    journal = Journal.open(tmp_path / "run")
    try:
        refuse_videos_only(journal)  # it has an image
        with journal.writing() as db:
            db.execute("DELETE FROM images")
        with pytest.raises(InputError, match=f"sam3-agent review {tmp_path / 'run' / FOLDER / 'more-one'}$"):
            refuse_videos_only(journal)
    finally:
        journal.close()


def test_a_damaged_journal_is_one_line(made: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "journal.sqlite").write_bytes((made / "journal.sqlite").read_bytes())
    journal = Journal.open(tmp_path / "run")
    videos = VideoJournal(journal)
    try:
        with journal.writing() as db:
            db.execute("UPDATE tracks SET document=replace(document, '\"size\":[96', '\"size\":[95')")
            db.execute('UPDATE videos SET document=replace(document, \'"folder": "one"\', \'"folder": "../x"\')')
        with pytest.raises(InputError, match="damaged track"):
            videos.labels()
        with pytest.raises(InputError, match=r"damaged video 'one\.mp4'"):
            videos.videos()
    finally:
        journal.close()


def test_the_summary_counts_videos_and_tracks(journal: Journal, made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    summary = VideoSummary.of(journal)
    document = summary.to_json()
    assert document["states"] == {"done": 2, "pending": 0, "unreadable": 1}
    assert document["tracks"]["cat"] == {"accepted": 2, "review": 0, "rejected": 2}
    summary.print(made)
    told = capfd.readouterr().out
    assert "videos: 2 done, 1 unreadable" in told
    assert "unreadable: broken.mp4" in told


def test_what_videos_cannot_be_labeled_by_is_refused_in_one_line(run: Run, images: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "new")
    both = run("label", images, *out)
    assert (both.status, "--concept" in both.err) == (2, True)
    assert "leave --engine ray out" in run("label", images, "--concept", "cat", "--engine", "ray", *out).error()
    assert "belongs to class 'cat'" in run("label", images, "--concept", "cat", "--concept", "Cat", *out).error()
    with pytest.raises(InputError, match="a query is not asked of videos"):
        check_trackable(ontology("classes: [{name: a, query: the largest cat}]"))


@pytest.mark.integration
def test_a_procedural_video_is_labeled_by_the_embedded_model(run: Run, tmp_path: Path) -> None:
    assert run("scenes", "--video", "--out", tmp_path / "c", "--count", "1", "--frames", "5").status == 0
    ran = run("label", tmp_path / "c" / "videos", "--concept", "shape", "--out", tmp_path / "run", "--json")
    document = ran.json()
    assert document["videos"]["states"] == {"done": 1, "pending": 0, "unreadable": 0}
    assert sum(document["videos"]["tracks"].get("shape", {}).values()) >= 1
    exported = run("export", tmp_path / "run", "--format", "ytvis", "--with-review", "--json").json()
    assert exported["videos"] == 1
