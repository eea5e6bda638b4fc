"""Forecasts and completion: what is said before long work, what a shell may offer."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam3_agent.cli.commands import segment as room
from sam3_agent.cli.tile_forecast import count_tiles, tiles_forecast
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.workspace import Workspace
from tests.cli.conftest import Run


@pytest.mark.parametrize("size", [(1800, 1200), (3000, 2000), (1008, 1008), (5000, 700), (300, 200)])
def test_the_tiles_that_are_told_are_those_that_are_looked_at(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size).save(tmp_path / "large.png")
    workspace = Workspace(FakeSegmenter({}))
    how, prompts = room.How(tiles="always"), room.prompts_of(["house"], (), ())
    report = room.segment(workspace, str(tmp_path / "large.png"), prompts, how, began=time.perf_counter())
    assert report.results[0].tiles == count_tiles((0, 0, *size), workspace.info)


def test_long_looking_is_told_before_it_begins_and_short_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    info = FakeSegmenter({}).info
    window = (0, 0, 3000, 2000)
    count = count_tiles(window, info)
    with tiles_forecast("always", window, info, encode_seconds=100.0):
        assert f"{count} tiles to look at: about {100 * count} s" in capsys.readouterr().err
    for mode, seconds in (("always", 0.0), ("never", 100.0), ("auto", 100.0)):
        with tiles_forecast(mode, window, info, seconds):
            assert capsys.readouterr().err == ""


def test_rounds_of_tiles_are_told_as_they_are_called_for(capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(FakeSegmenter({}))
    image = workspace.open(np.zeros((2000, 3000, 3), dtype=np.uint8))
    with tiles_forecast("auto", (0, 0, 3000, 2000), workspace.info, encode_seconds=100.0):
        workspace.segment(image.id, ["house"], tiles="always")
    assert "tiles to look at: about" in capsys.readouterr().err
    workspace.segment(image.id, ["house"], tiles="always")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_calls_the_command(run: Run, shell: str) -> None:
    ran = run("completion", shell)
    assert ran.status == 0
    assert f"_SAM3_AGENT_COMPLETE=complete_{shell}" in ran.out


def test_a_shell_is_offered_commands_and_options(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SAM3_AGENT_COMPLETE", "complete_bash")
    for words, number, offered in (
        ("sam3-agent seg", "1", ["segment", "segment-at"]),
        ("sam3-agent ask --tra", "2", ["--trace"]),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", number)
        assert run("ignored").out.split() == offered
