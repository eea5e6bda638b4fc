"""Memory that is given back to the system."""

import sys
from pathlib import Path

import numpy as np
import pytest

from sam3_agent.model.heap import HeapTrimmer, give_back_freed_memory


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc's heap can be trimmed")
def test_freed_memory_goes_back_to_the_system() -> None:
    many = [np.ones(100_000, np.uint8) for _ in range(600)]  # 60 MB in pieces of the heap
    kept = many[::10]
    full = _resident()
    del many
    if not give_back_freed_memory():
        pytest.skip("this C library cannot trim its heap")
    assert full - _resident() > 20e6
    assert all(piece.all() for piece in kept)


def test_quick_steps_are_not_held_up_and_long_ones_trim_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    trims: list[float] = []
    monkeypatch.setattr("sam3_agent.model.heap.time.monotonic", lambda: now[0])
    monkeypatch.setattr("sam3_agent.model.heap.give_back_freed_memory", lambda: trims.append(now[0]) or True)
    trimmer = HeapTrimmer(0.1)
    for step in (0.03, 0.03, 0.03, 0.03, 0.4, 0.4):
        now[0] += step
        trimmer.step()
    assert trims == pytest.approx([0.12, 0.52, 0.92])
