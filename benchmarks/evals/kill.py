"""A run that is killed with SIGKILL again and again: `python -m benchmarks.evals.kill [--kills 20]`.

Runs `sam3-eval run` with a quick solver (no model), kills it at random moments, start-up included, resumes it until
it is
done, and compares what it left with an undisturbed run: no case lost, none twice, all figures equal.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sam3_evals.run import CASES, read_cases, read_predictions
from sam3_evals.score import score_run

CASE_SECONDS = 0.03


def answer(picture: NDArray[np.uint8], query: str) -> Any:
    """Something that follows from the question, slowly: the pixels that are brighter than the query is long."""
    time.sleep(CASE_SECONDS)
    return {"masks": [picture[..., 0] > 2 * len(query)], "scores": [0.7], "presence": 0.5, "usd": 0.001}


def command(run: Path, cases: int, jobs: int) -> list[str]:
    """`sam3-eval run`, as one writes it."""
    return [
        sys.executable, "-m", "sam3_evals", "run", "scenes:9/queries", "--solver", "benchmarks.evals.kill:answer",
        "--limit", str(cases), "--jobs", str(jobs), "--out", str(run), "--json",
    ]  # fmt: skip


def killed_run(run: Path, cases: int, jobs: int, moments: list[float]) -> None:
    """Run to the end, killed at each of the moments, in seconds after a start.

    Raises:
        SystemExit: the run failed, or was done before the last kill.
    """
    for number, moment in enumerate(moments):
        process = subprocess.Popen(command(run, cases, jobs), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
        if process.wait() != -signal.SIGKILL:
            raise SystemExit(f"ended with status {process.returncode} before kill {number + 1}; give it more --cases")
    subprocess.run(command(run, cases, jobs), check=True, stdout=subprocess.DEVNULL)


def random_moments(kills: int, start: float, work: float) -> list[float]:
    """A quarter while the program starts, the others while it works, so that about 0.6 of the work is done by then."""
    chance = random.Random(kills)
    return [
        round(chance.uniform(0.05, start) if number % 4 == 0 else start + chance.uniform(0, 1.6 * work / kills), 2)
        for number in range(kills)
    ]


def timed(run: Path, cases: int, jobs: int) -> float:
    """Seconds of an undisturbed run."""
    began = time.monotonic()
    subprocess.run(command(run, cases, jobs), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def main() -> None:
    """Print one JSON document; exits 1 where anything differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cases", type=int, default=800)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, torn = Path(folder) / "whole", Path(folder) / "torn"
        start, seconds = timed(Path(folder) / "one", 1, 1), timed(whole, given.cases, given.jobs)
        moments = random_moments(given.kills, start, seconds - start)
        killed_run(torn, given.cases, given.jobs, moments)
        asked = [case.id for case in read_cases(torn)]
        answered = [prediction.case for prediction in read_predictions(torn)]
        verdict = {
            "undisturbed_seconds": round(seconds, 1),
            "killed_after_seconds": moments,
            "cases": len(asked),
            "lost": len(set(asked) - set(answered)),
            "twice": len(answered) - len(set(answered)),
            "same_questions": (torn / CASES).read_bytes() == (whole / CASES).read_bytes(),
            "same_figures": score_run(torn).to_json()["overall"] == score_run(whole).to_json()["overall"],
        }
    print(json.dumps(verdict, indent=2))
    sound = verdict["same_figures"] and verdict["same_questions"] and not verdict["lost"] and not verdict["twice"]
    raise SystemExit(0 if sound else 1)


if __name__ == "__main__":
    main()
