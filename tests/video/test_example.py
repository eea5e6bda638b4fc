"""The example of the manual runs as it stands."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "video_frames.py"


def test_the_example_writes_a_video_and_reads_it_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE))["main"](str(tmp_path / "clip.webm"))
    told = capsys.readouterr().out
    assert "24 frames" in told
    assert "frame 23 at 1.92 s" in told
    assert "leaves_first: " in told
