"""Seconds until a command answers: `python -m benchmarks.startup [--times N]`, on an idle machine with a warm disk.

Wall and CPU seconds of the fastest of N runs, each in a process of its own, beside what the imports of torch and of
transformers' Sam3Model cost alone: below these no command that segments can get without another process.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_CLI = "import sys; from sam3_agent.cli.main import main; sys.exit(main())"


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds of one run."""

    wall: float
    cpu: float


def measure(arguments: list[str]) -> Reading:
    """Run Python with these arguments once.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Reading(time.monotonic() - began, spent)


def best(arguments: list[str], times: int) -> Reading:
    """The fastest of some runs, wall and CPU apart."""
    readings = [measure(arguments) for _ in range(times)]
    return Reading(min(each.wall for each in readings), min(each.cpu for each in readings))


def cases(images: list[Path]) -> dict[str, tuple[list[str], float | None]]:
    """(arguments of Python, bar in seconds) by name."""
    names = [str(path) for path in images]
    return {
        "import torch": (["-c", "import torch"], None),
        "import Sam3Model": (["-c", "from transformers import Sam3Model"], None),
        "sam3-agent --help": (["-c", _CLI, "--help"], 0.5),
        "first mask, tiny": (["-c", _CLI, "segment", names[0], "house", "--json"], 3.0),
        "six images, two concepts": (["-c", _CLI, "segment", *names, "--json", "--", "house", "cat"], 6.0),
    }


def main() -> None:
    """Print a Markdown table, or JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.startup", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scenes = ["scenes", "--out", folder, "--count", "6", "--seed", "1", "--format", "coco"]
        measure(["-c", _CLI, *scenes])
        found = {
            name: (best(arguments, options.times), bar)
            for name, (arguments, bar) in cases(sorted(Path(folder, "images").glob("*.jpg"))).items()
        }
    if options.json:
        print(json.dumps({name: {"wall": each.wall, "cpu": each.cpu} for name, (each, _) in found.items()}, indent=2))
        return
    print(f"load average {os.getloadavg()[0]:.1f}, fastest of {options.times}\n")
    print("| | wall s | CPU s | bar |\n|---|---:|---:|---:|")
    for name, (each, bar) in found.items():
        print(f"| {name} | {each.wall:.2f} | {each.cpu:.2f} | {f'{bar:g}' if bar else ''} |")


if __name__ == "__main__":
    main()
