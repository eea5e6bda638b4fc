"""`python -m benchmarks.labeling.kill --out DIR`: kill -9 at random moments, a full disk, a folder that is read-only.

Labels procedural scenes by phrases, attributes and a query in a process of its own, kills it after a random time, goes
on with what it left, and compares the journal with that of a run that nobody disturbed: labels, checks, files, what was
seen and what was asked. Ends with status 1 where anything differs.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sam3_agent.labeling.store.journal import Journal
from tests.labeling.fixtures_runs import contents, knowing_segmenter, label, write_scenes

COUNT = 12
LIMITS = (20_000, 60_000, 100_000, 150_000, 250_000)
"""Bytes to which files may grow, in the runs with a full disk."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    images = given.out / "images"
    write_scenes(images, COUNT)
    undisturbed = contents(label(images, given.out / "undisturbed", knowing_segmenter(COUNT)))
    killed = _killed(images, given.out / "killed", given.times, random.Random(given.seed), undisturbed)
    full = [_full(images, given.out / f"full-{limit}", limit, undisturbed) for limit in LIMITS]
    forbidden = _read_only(images, given.out / "read-only")
    for name, figures in (("killed", killed), *(("full disk", each) for each in full), ("read-only", forbidden)):
        print(name, json.dumps(figures))
    ends = [*killed["ends"], *(each["then identical"] for each in full)]
    sys.exit(0 if all(ends) and len(killed["moments"]) == given.times else 1)


def _program(images: Path, out: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.labeling.fixtures_runs", images, out, *arguments]
    return subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)


def _killed(images: Path, out: Path, times: int, chance: random.Random, undisturbed: dict[str, Any]) -> dict[str, Any]:
    """Kill so often, and compare whenever a folder is done."""
    moments: list[tuple[float, int]] = []
    ends: list[bool] = []
    longest = _until(_program(images, out), out, 600.0)
    shutil.rmtree(out)
    while len(moments) < times:
        running = _program(images, out)
        after = _until(running, out, chance.uniform(0.0, longest))
        killed = running.poll() is None
        running.send_signal(signal.SIGKILL)
        running.communicate()
        journal = Journal.create(out)
        done = len(journal.images("done"))
        if killed:
            moments.append((round(after, 3), done))
        if done == COUNT:
            ends.append(contents(journal) == undisturbed)
            journal.close()
            shutil.rmtree(out)
    _program(images, out).communicate()
    ends.append(contents(Journal.open(out)) == undisturbed)
    return {"seconds undisturbed": round(longest, 2), "moments": moments, "ends": ends}


def _until(running: subprocess.Popen[str], out: Path, wait: float) -> float:
    """Wait so many seconds from when there is a journal, or until it ends; gives how many they were.

    The imports of Python are not what is to be interrupted.
    """
    while running.poll() is None and not _has_begun(running.pid, out):
        time.sleep(0.002)
    began = time.monotonic()
    while running.poll() is None and time.monotonic() - began < wait:
        time.sleep(0.001)
    return time.monotonic() - began


def _has_begun(pid: int, out: Path) -> bool:
    """Whether a process has the journal open (where the system tells), or there is one at all."""
    files = Path(f"/proc/{pid}/fd")
    if not files.is_dir():
        return (out / "journal.sqlite").exists()
    try:
        return any(file.readlink().name == "journal.sqlite" for file in files.iterdir())
    except OSError:  # it has closed one of them just now
        return False


def _full(images: Path, out: Path, limit: int, undisturbed: dict[str, Any]) -> dict[str, Any]:
    """Files may not grow over a limit, as on a full disk; then they may."""
    running = _program(images, out, limit)
    _, said = running.communicate()
    before = Journal.create(out)
    done = len(before.images("done"))
    sound = before.read("PRAGMA integrity_check") == [("ok",)]
    before.close()
    last = said.strip().splitlines()[-1] if said.strip() else ""
    again = contents(label(images, out, knowing_segmenter(COUNT)))
    return {
        "bytes": limit,
        "status": running.returncode,
        "error": last.removeprefix("sam3_agent.errors."),
        "images done": done,
        "journal sound": sound,
        "then identical": again == undisturbed,
    }


def _read_only(images: Path, out: Path) -> dict[str, Any]:
    """A folder that must not be written; root, who may write everywhere, gets a read-only file system."""
    out.mkdir()
    if os.geteuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", out], check=True)
    else:
        out.chmod(0o555)
    try:
        running = _program(images, out / "run")
        _, said = running.communicate()
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", out], check=True)
    return {"status": running.returncode, "error": said.strip().splitlines()[-1].removeprefix("sam3_agent.errors.")}


if __name__ == "__main__":
    main()
