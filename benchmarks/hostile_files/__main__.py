"""`python -m benchmarks.hostile_files [--files 10000] [--seed 0] [--keep DIR]`: mutated files of 17 kinds.

Recordings, traces, journals of labels (SQLite) and tracks, eval runs, prices, tokens, model folders, track files and
the label files of `benchmarks.label_files` are changed in one to three places, by accident and with intent, and read as
far as a command would. The bar: no traceback, none that takes over 5 seconds of the processor, nothing written outside
of the folder that the command was given. A child that hangs or dies is counted and replaced.
"""

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.hostile_files.originals import write_originals
from benchmarks.hostile_files.worker import kind_of, work

PATIENCE = 60.0
"""Seconds by the clock after which a child hangs."""
START = 300.0
GOOD = ("read", "refused")
BAD = ("traceback", "slow", "outside")


def main() -> None:
    """Mutate, read, count, print; exit 1 where anything is bad."""
    given = _options()
    counted: dict[str, Counter[str]] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hostile-files-") as name:
        root = Path(name)
        write_originals(root / "sound")
        child = _Child(root, given.seed)
        for number in range(given.first, given.first + given.files):
            kind, said = kind_of(number, given.seed), child.read(number)
            outcome = next(each for each in (*GOOD, *BAD) if said.startswith(each))
            counted.setdefault(kind, Counter())[outcome] += 1
            if outcome in BAD:
                print(f"{kind} {number}: {said}", file=sys.stderr, flush=True)
                if given.keep:
                    shutil.copytree(root / "work" / kind, given.keep / f"{number}-{kind}", dirs_exist_ok=True)
        child.stop()
    _print(counted, time.monotonic() - began)
    sys.exit(1 if any(row[name] for row in counted.values() for name in BAD) else 0)


def _print(counted: dict[str, Counter[str]], seconds: float) -> None:
    print("| kind | files | " + " | ".join((*GOOD, *BAD)) + " |")
    print("|---" * (2 + len(GOOD) + len(BAD)) + "|")
    total = sum(counted.values(), Counter[str]())
    for kind, row in [*sorted(counted.items()), ("all", total)]:
        print(f"| {kind} | {row.total()} | " + " | ".join(str(row[name]) for name in (*GOOD, *BAD)) + " |")
    verdict = "passed" if not any(total[name] for name in BAD) else "failed"
    print(f"{verdict}: {', '.join(f'{total[name]} {name}' for name in BAD)} of {total.total()} in {seconds:.0f} s")


class _Child:
    """A process that reads one file after the other, and is replaced where it does not come back."""

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._seed = seed
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def read(self, number: int) -> str:
        """Mutate and read file `number`; the outcome."""
        try:
            self._line.send(number)
            if self._line.poll(PATIENCE if self._ready else START):
                self._ready = True
                return self._line.recv()
            said = f"slow: no answer in {PATIENCE:g} s"
        except (EOFError, ConnectionResetError, BrokenPipeError):
            said = f"traceback: the process died ({self._process.exitcode})"
        self.stop()
        self._start()
        return said

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._line.close()

    def _start(self) -> None:
        self._ready = False  # the first answer waits for imports
        self._line, theirs = self._context.Pipe()
        self._process = self._context.Process(target=work, args=(theirs, self._root, self._seed), daemon=True)
        self._process.start()
        theirs.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile_files", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for files with a bad outcome")
    return parser.parse_args()


if __name__ == "__main__":
    main()
