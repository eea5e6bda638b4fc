"""Training of the tiny model on the device, one process that worker processes draw scenes for: is it kept busy?"""

import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from sam3_agent.training.config import TELL_PATTERNS, TINY, Stage
from sam3_agent.training.run import train

STEPS = 50
"""Two lines of the log, the first of which is for the workers to begin."""


def steps_a_second(device: str, *, small: bool) -> dict[str, Any]:
    """Seconds a step, images a second and the share of the time in which the learner did not wait for scenes."""
    workers = 0 if small else max(1, (os.cpu_count() or 2) - 1)
    stage = Stage("dense", "dense", 64, steps=2, images=1) if small else replace(TELL_PATTERNS, steps=STEPS)
    ranks = 1 if small else 8
    config = replace(TINY, stages=(stage,), ranks=ranks, device=device.partition(":")[0])
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        train(config, Path(folder), workers=workers)
        lines = (Path(folder) / "log.jsonl").read_text(encoding="utf-8").splitlines()
    last: dict[str, Any] = json.loads(lines[-1])
    figures = {name: last[name] for name in ("seconds", "images_per_second", "busy")}
    return {"ranks": ranks, "workers": workers, **figures, "whole_seconds": round(time.perf_counter() - began, 1)}
