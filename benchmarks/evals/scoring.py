"""Time and memory of scoring: `python -m benchmarks.evals.scoring [--cases 10000]`.

Writes runs of made-up predictions at 640x480 (blobs of a few hundred run lengths, one to three a case) into a temporary
folder and scores them in a process of their own, whose peak memory is told for a tenth of the cases and for all.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sam3_evals.journal import Journal
from sam3_evals.manifest import Manifest
from sam3_evals.prediction import Prediction
from sam3_evals.run import CASES, PREDICTIONS
from sam3_evals.sample import Case
from sam3_evals.score import score_run

from benchmarks.machine import machine_words
from sam3_agent import masks
from sam3_agent.masks import Rle

HEIGHT, WIDTH = 480, 640
_KINDS = ("color", "relation", "superlative", "ordinal")
_POOL = 400


def blob(rng: np.random.Generator) -> Rle:
    """An ellipse with a wavy edge."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    cy, cx, ry, rx = rng.uniform((80, 80, 20, 20), (400, 560, 120, 160))
    angle = np.arctan2(y - cy, x - cx)
    edge = 1 + 0.15 * np.sin(rng.integers(5, 30) * angle)
    mask: NDArray[np.bool_] = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < edge
    return masks.encode(mask)


def write_run(run: Path, count: int) -> None:
    """A run of `count` cases, two to a picture, one in six without a target."""
    rng = np.random.default_rng(0)
    pool = [blob(rng) for _ in range(_POOL)]
    run.mkdir()
    made = Manifest("made-up", "0" * 16, count, "made-up", "", "", "", "", 0, "0")
    replace(made, cases=count).write(run)
    with Journal(run / CASES) as cases, Journal(run / PREDICTIONS) as predictions:
        for number in range(count):
            present = number % 6 > 0
            targets = tuple(pool[i] for i in rng.integers(0, _POOL, rng.integers(1, 4))) if present else ()
            ignore = pool[int(rng.integers(_POOL))] if number % 5 == 0 else None
            strata = {"kind": _KINDS[number % 4], "form": "long" if number % 3 else "short"}
            case = Case(f"c{number}", f"p{number // 2}", "which one?", (HEIGHT, WIDTH), targets, ignore, strata)
            rles = targets if rng.random() < 0.5 else tuple(pool[i] for i in rng.integers(0, _POOL, rng.integers(0, 4)))
            said = Prediction(case.id, rles, (0.8,) * len(rles), presence=round(float(rng.random()), 3))
            cases.append(case.to_json())
            predictions.append(said.to_json())


def measured(run: Path) -> dict[str, float]:
    """Seconds, and megabytes of peak memory, of scoring a run in a fresh process."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.evals.scoring", "--score", str(run)],
        check=True,
        capture_output=True,
        text=True,
    )
    return {**json.loads(done.stdout), "seconds_with_start": round(time.monotonic() - began, 2)}


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--score", type=Path)
    given = parser.parse_args()
    if given.score:
        began = time.monotonic()
        score_run(given.score).to_json()
        used = resource.getrusage(resource.RUSAGE_SELF)
        told = {"seconds": time.monotonic() - began, "cpu_seconds": used.ru_utime + used.ru_stime}
        print(json.dumps({key: round(value, 2) for key, value in {**told, "peak_mb": used.ru_maxrss / 1024}.items()}))
        return
    found: dict[str, object] = {"machine": machine_words()}
    with tempfile.TemporaryDirectory() as folder:
        for count in (given.cases // 10, given.cases):
            write_run(Path(folder) / str(count), count)
            found[f"{count} cases"] = measured(Path(folder) / str(count))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
