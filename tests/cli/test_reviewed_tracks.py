"""Tracks that people have decided about: what `track` and `export` make of them, and which folders `review` takes."""

import csv
import json
import shutil
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from PIL import Image

from sam3_agent.cli.commands import track as room
from sam3_agent.cli.images import Images
from sam3_agent.cli.track_report import TrackReport
from sam3_agent.cli.videos import parse_frame_points
from sam3_agent.types import ConceptPrompt
from sam3_agent.video import open_video
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.tracking.reviewed import ReviewedTracks
from tests.cli.conftest import Run
from tests.workspace.tracking.scripted import FRAMES, frame, scripted_model

OUT = Path("out")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripted video in pets/, and its tracks in kept/."""
    folder = tmp_path_factory.mktemp("tracked")
    (folder / "pets").mkdir()
    for index in range(FRAMES):
        Image.fromarray(frame(index)).save(folder / "pets" / f"{index}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        follow("cat", "dog")
    (folder / "out").rename(folder / "kept")
    return folder


@pytest.fixture
def here(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """The working folder: the video in pets/, its tracks in out/, of which t2 was rejected and t3 is a fox."""
    monkeypatch.chdir(tracked)
    shutil.copytree(tracked / "kept", OUT)
    reviewed = ReviewedTracks(OUT, "me")
    reviewed.decide("reject", "t2")
    reviewed.decide("relabel", "t3", concept="fox")
    yield tracked
    shutil.rmtree(tracked / "out")


def follow(*concepts: str) -> TrackReport:
    """Track the video in pets/ into out/."""
    prompts = tuple(ConceptPrompt(concept) for concept in concepts)
    asked = room.Asked(Images(("pets",), many=False, word="video"), prompts)
    began = time.perf_counter()
    return room.track(Workspace(scripted_model()), "pets", asked, room.How(), OUT, ("csv",), began=began)


def rows(path: str) -> set[tuple[str, str]]:
    """(id, concept) of the tracks in a CSV."""
    found = list(csv.DictReader(Path(path).read_text().splitlines()))
    return {(row["id"], row["concept"]) for row in found}


@pytest.mark.usefixtures("here")
def test_tracking_again_keeps_what_people_decided(capfd: pytest.CaptureFixture[str]) -> None:
    report = follow("cat", "dog")
    assert (report.done, report.rejected, report.counts) == (0, 1, {"cat": 1, "dog": 0, "fox": 1})
    assert report.to_json()["left_out"] == {"rejected": 1}
    report.print(None)
    assert "left out: 1 rejected by a person" in capfd.readouterr().out
    assert rows("out/csv/tracks.csv") == {("t1", "cat"), ("t3", "fox")}


@pytest.mark.usefixtures("here")
def test_a_later_question_gives_no_id_that_a_split_has_given() -> None:
    split = ReviewedTracks(OUT).decide("split", "t1", frame=40)
    assert split.new_id == "t4"
    ReviewedTracks(OUT).undo()
    report = follow_by_a_point()
    assert [track.id for track in report.tracks] == ["t1", "t3", "t5"]


def follow_by_a_point() -> TrackReport:
    """Ask for the dog by pointing at it, which is another question."""
    asked = room.Asked(Images(("pets",), many=False, word="video"), (), at=parse_frame_points(["50:65,40"], "--at"))
    began = time.perf_counter()
    return room.track(Workspace(scripted_model()), "pets", asked, room.How(), OUT, ("csv",), began=began)


@pytest.mark.usefixtures("here")
def test_an_export_leaves_out_what_was_rejected_and_counts_it(run: Run, tmp_path: Path) -> None:
    ran = run("export", OUT, "--format", "csv")
    assert ran.status == 0, ran.error()
    assert "2 tracks as csv: out/export/csv/tracks.csv" in ran.out
    assert "left out: 1 rejected tracks" in ran.out
    assert "1 of them wait for review" in ran.out
    assert rows("out/export/csv/tracks.csv") == {("t1", "cat"), ("t3", "fox")}
    told = json.loads(run("export", OUT, "--format", "ytvis", "--out", tmp_path, "--json").out)
    assert told == {
        "out": str(tmp_path / "annotations.json"), "format": "ytvis", "tracks": 2, "undecided": 1,
        "left_out": {"rejected": 1}, "warnings": [],
    }  # fmt: skip
    assert run("export", OUT, "--format", "overlay").status == 0
    (overlay,) = (OUT / "export" / "overlay").iterdir()
    assert len(open_video(overlay)) == FRAMES


@pytest.mark.usefixtures("here")
def test_an_export_does_without_the_video_where_no_picture_is_drawn(run: Run) -> None:
    journal = OUT / "tracks.jsonl"
    header, rest = journal.read_text().split("\n", 1)
    journal.write_text(json.dumps(json.loads(header) | {"source": "/nowhere/dogs"}) + "\n" + rest)
    assert run("export", OUT, "--format", "mot").status == 0
    ran = run("export", OUT, "--format", "overlay")
    assert ran.status == 1
    assert "the video /nowhere/dogs is gone" in ran.error()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--format", "coco"), "'coco' is none of overlay, ytvis"),
        (("--format", "csv", "--val", "0.2"), "only --format and --out are for them"),
        (("--format", "csv", "--pictures"), "only --format and --out are for them"),
    ],
)
def test_what_is_for_labels_of_images_is_refused_of_tracks(run: Run, options: tuple[str, ...], words: str) -> None:
    ran = run("export", OUT, *options)
    assert ran.status == 2
    assert words in ran.error()


@pytest.mark.usefixtures("here")
def test_review_names_the_folders_of_several_videos_and_what_it_needs(run: Run, tmp_path: Path) -> None:
    shutil.copytree(OUT, tmp_path / "one")
    ran = run("review", tmp_path)
    assert ran.status == 1
    assert f"holds the tracks of 1 videos; review one of them: {tmp_path}/one" in ran.error()
    (tmp_path / "bare").mkdir()
    assert "bare holds no journal.sqlite" in run("review", tmp_path / "bare").error()
    (OUT / "decisions.jsonl").write_text("no journal\n")
    assert "decisions.jsonl:1: broken line" in run("review", OUT).error()
