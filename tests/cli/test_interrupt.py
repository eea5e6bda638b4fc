"""Ctrl-C is one line, whenever it comes."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.integration
@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("seconds", [1.0, 3.0])
def test_ctrl_c_while_the_demo_runs_leaves_nothing(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, seconds: float
) -> None:
    process = start("demo", "--out", tmp_path / "demo", "--device", "cpu")
    time.sleep(seconds)
    if process.poll() is not None:
        pytest.skip(f"the demo was over within {seconds} s")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the demo was over before the signal came")
    # Before the interpreter has started, the signal ends the process without a word.
    assert stdout == ""
    assert (process.returncode, stderr) in ((130, "interrupted\n"), (-signal.SIGINT, ""))
    assert not list(tmp_path.rglob(".writing-*"))
