"""The process that changes label files and reads them, one after the other."""

import random
import resource
import shutil
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.label_files.mutations import mutate
from benchmarks.label_files.outcomes import KINDS, outcome

MEMORY = 4 << 30
"""Bytes that it may use."""


def work(line: Connection, folder: Path, seed: int) -> None:
    """Answer numbers of files with their outcomes, for ever."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)  # pycocotools 2.0.11
    while True:
        number: int = line.recv()
        kind = KINDS[number % len(KINDS)]
        chance = random.Random(seed * 1_000_003 + number)
        line.send(_one(folder / kind, kind, chance))


def _one(folder: Path, kind: str, chance: random.Random) -> str:
    """Change one file of a format, read it, and put it back; a bad one stays until the next file of its format."""
    kept = folder.with_name(f"{kind}.sound")
    if not kept.exists():
        shutil.copytree(folder, kept)
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)
    suffixes = (".json", ".yaml", ".txt", ".xml")
    files = sorted(path for path in folder.rglob("*") if path.suffix in suffixes)
    changed = chance.choice(files)
    changed.write_bytes(mutate(changed.read_bytes(), changed.suffix, chance))
    return outcome(kind, folder, changed)
