"""`sam3-agent ask` about a video: its JSON, its words, its sheet, and what it refuses."""

from pathlib import Path

import pytest
from PIL import Image

from sam3_agent.cli.commands import ask_video as room
from sam3_agent.cli.commands.ask import Written
from sam3_agent.loop.video_agent import VideoAgent
from sam3_agent.planner import RulesLLM
from sam3_agent.workspace import Workspace
from tests.cli.conftest import Run
from tests.workspace.tracking.scripted import FRAMES, frame, scripted_model


@pytest.fixture
def agent() -> VideoAgent:
    return VideoAgent(Workspace(scripted_model()), RulesLLM())


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A folder of frames, which say their own number."""
    folder = tmp_path / "video"
    folder.mkdir()
    for index in range(FRAMES):
        Image.fromarray(frame(index)).save(folder / f"{index:03d}.png")
    return folder


def written(folder: Path) -> Written:
    return Written(folder / "trace.jsonl", folder / "page.html")


def test_the_json_tells_the_tracks_frame_by_frame(agent: VideoAgent, video: Path, tmp_path: Path) -> None:
    report = room.ask(agent, str(video), "the cat that moves to the right", written(tmp_path))
    document = report.to_json()
    assert list(document) == ["video", "query", "outcome", "reason", "tracks", "usage", "trace"]
    assert (document["outcome"], document["video"]["frames"]) == ("answered", FRAMES)
    (track,) = document["tracks"]
    assert (track["id"], track["concept"], len(track["frames"])) == ("t1", "cat", FRAMES)
    assert document["usage"]["encodes"] == FRAMES
    assert Path(document["trace"]).is_file()
    assert report.page is not None
    assert "the cat that moves to the right" in report.page.read_text(encoding="utf-8")
    assert report.line() == f"{video}  answered: 2 tracks for 'cat'; moves right: t1  t1"
    room.write_sheet(agent.workspace, report, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 300
    agent.workspace.forget_video(report.handle.id)


def test_a_person_reads_outcome_and_timeline(agent: VideoAgent, video: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = room.ask(agent, str(video), "all cats", Written())
    report.print(None)
    out, err = capfd.readouterr()
    assert "answered: 2 tracks for 'cat'" in out + err
    assert "t2 cat  0-29, 40-79" in out + err
    agent.workspace.forget_video(report.handle.id)


def test_a_video_that_is_not_there_and_what_videos_cannot_have_are_refused(run: Run, tmp_path: Path) -> None:
    assert "no such file" in run("ask", tmp_path / "gone.mp4", "the car").error()
    both = run("ask", "a.mp4", "b.jpg", "the car")
    assert (both.status, "images or videos, not both" in both.err) == (2, True)
    refused = run("ask", "a.mp4", "the car", "--votes", "3")
    assert (refused.status, "--votes" in refused.err) == (2, True)


def test_an_animated_gif_is_asked_about_as_an_image() -> None:
    assert room.is_video("a.MP4")
    assert not room.is_video("a.gif")
