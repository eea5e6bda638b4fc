"""`python -m benchmarks.label_files [--files 2000] [--seed 0]`: mutated label files of eight formats.

Every file is sound before it is changed in one to three places. It must be read, or read but for what is named, or
refused by a message that names it: no hang (10 seconds), no traceback, nothing lost unsaid. The files are read in a
child that may use 4 GiB; one that hangs or dies is counted, kept in --keep, and the next file goes on.
"""

import argparse
import multiprocessing
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.label_files.originals import write_originals
from benchmarks.label_files.outcomes import KINDS
from benchmarks.label_files.worker import work

SECONDS = 10.0
GOOD = ("whole", "in part", "refused")
BAD = ("hang", "traceback", "silent loss", "unnamed")


def main() -> None:
    """Mutate, read, count, print; exit 1 where anything is bad."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for files with a bad outcome")
    given = parser.parse_args()
    counted: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        write_originals(Path(folder))
        child = _Child(Path(folder), given.seed)
        for number in range(given.files):
            kind, said = child.read(number)
            name = next(each for each in (*GOOD, *BAD) if said.startswith(each))
            counted[kind][name] += 1
            if name in BAD:
                print(f"{kind} {number}: {said}", file=sys.stderr, flush=True)
                if given.keep:
                    shutil.copytree(Path(folder) / kind, given.keep / f"{number}-{kind}", dirs_exist_ok=True)
        child.stop()
    print("| format | files | " + " | ".join((*GOOD, *BAD)) + " |")
    print("|---" * (2 + len(GOOD) + len(BAD)) + "|")
    for kind in (*KINDS, "all"):
        row = counted[kind] if kind != "all" else sum(counted.values(), Counter())
        print(f"| {kind} | {row.total()} | " + " | ".join(str(row[name]) for name in (*GOOD, *BAD)) + " |")
    sys.exit(1 if any(row[name] for row in counted.values() for name in BAD) else 0)


class _Child:
    """A process that reads one file after the other, and is replaced where it does not come back."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._seed = seed
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def read(self, number: int) -> tuple[str, str]:
        """Mutate and read file `number`; its format, and the outcome."""
        kind = KINDS[number % len(KINDS)]
        self._line.send(number)
        try:
            if self._line.poll(SECONDS if self._ready else 20 * SECONDS):
                self._ready = True
                return kind, self._line.recv()
            said = "hang: no answer in time"
        except (EOFError, ConnectionResetError):
            said = f"traceback: the process died ({self._process.exitcode})"
        self.stop()
        self._start()
        return kind, said

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()

    def _start(self) -> None:
        self._ready = False  # the first answer waits for imports
        self._line, theirs = self._context.Pipe()
        arguments = (theirs, self._folder, self._seed)
        self._process = self._context.Process(target=work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()


if __name__ == "__main__":
    main()
