"""A disk that is full: whatever is written is whole or not there, the error is one line, and work goes on after it."""

import resource
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from sam3_agent.errors import InputError
from sam3_agent.llm.base import ToolCall
from sam3_agent.llm.recording import RecordingLLM, read_recording
from sam3_agent.llm.scripted import ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.trace import write_trace
from sam3_agent.tools import ALL_TOOLS
from sam3_agent.types import Step, Trace
from sam3_agent.workspace import Workspace, WorkspaceConfig
from sam3_agent.workspace.output_folder import OutputFolder
from sam3_agent.workspace.tracking.journal import FrameLine, Header, JournalWriter
from sam3_agent.workspace.tracking.track import TrackStore
from tests.fixtures_workspace import fake_segmenter, make_workspace, picture
from tests.workspace.tracking.fixtures_tracks import SIZE, lines_of, moving, track_of

TOOLS = {tool.name: tool for tool in ALL_TOOLS}


@contextmanager
def full_disk(most: int) -> Generator[None]:
    """No file grows beyond so many bytes: the system refuses a write as it does on a disk without space."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_all(path: Path, header: Header, lines: Sequence[FrameLine]) -> None:
    with JournalWriter(path, header) as journal:
        for line in lines:
            journal.write(line)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("form", ["coco", "png", "yolo", "labelme", "viewer"])
def test_an_export_that_does_not_fit_is_told_and_leaves_no_half_file(tmp_path: Path, form: str) -> None:
    workspace = Workspace(fake_segmenter(), setting=WorkspaceConfig(output=OutputFolder(tmp_path)))
    image = workspace.open(picture())
    workspace.segment(image.id, ["circle"])
    call = {"mask_ids": ["m1"], "format": form, "path": "out"}
    with full_disk(5), pytest.raises(InputError, match=r"cannot write .*: File too large"):
        TOOLS["export_masks"].call(workspace, call)
    assert files_in(tmp_path) == []
    TOOLS["export_masks"].call(workspace, call)
    assert files_in(tmp_path)


def test_a_trace_that_does_not_fit_is_told_and_the_old_one_stays(tmp_path: Path) -> None:
    trace = Trace((Step("call", 0.1, {"text": "x" * 500}),))
    path = write_trace(trace, tmp_path / "trace.jsonl")
    before = path.read_bytes()
    with full_disk(100), pytest.raises(InputError, match="cannot write the trace"):
        write_trace(trace, path)
    assert path.read_bytes() == before
    assert files_in(tmp_path) == ["trace.jsonl"]


def test_a_recording_that_does_not_fit_ends_the_run_with_words_and_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    line = ToolCall("1", "segment_concepts", {"image_id": "img1", "concepts": ["circle"]})
    agent = Agent(make_workspace(), RecordingLLM(ScriptedLLM(line, line, line), path))
    most = path.stat().st_size + 700
    with full_disk(most), pytest.raises(InputError, match="cannot record into"):
        agent.ask("img1", "the circle")
    assert path.stat().st_size == most
    assert len(read_recording(path).heard) >= 1


def test_a_journal_of_tracks_that_does_not_fit_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    header = Header("fish.mp4", SIZE[1], SIZE[0], "paper", 10.0)
    fish = track_of("t1", moving((0, 10, 10, 20), (2, 0), range(20)))
    lines = lines_of([fish], 20)
    with full_disk(1500), pytest.raises(OSError, match="File too large"):
        write_all(path, header, lines)
    kept = TrackStore(path).frames
    assert 0 < kept < 20
    write_all(path, header, lines[kept:])
    assert TrackStore(path).tracks() == (fish,)
