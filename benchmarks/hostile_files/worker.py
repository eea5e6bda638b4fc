"""The process that changes files and reads them, one after the other."""

import logging
import os
import random
import resource
import shutil
import time
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.hostile_files.mutations import mutate
from benchmarks.hostile_files.originals import LABELS
from benchmarks.hostile_files.readers import OUT, read
from sam3_agent.errors import Sam3AgentError

MEMORY = 8 << 30
"""Bytes of addresses that it may use: torch alone takes 3 GiB of them."""
SECONDS = 5.0
"""Of its own processor time for one file, so that a busy machine finds nothing that an idle one does not."""
_SUFFIXES = (".json", ".jsonl", ".yaml", ".txt", ".xml", ".csv", ".ini", ".sqlite", ".safetensors")
_USUAL = ("recording", "trace", "journal", "tracks", "videos", "run", "prices", "tokens")
_SHARE_OF_MODELS = 0.04
"""Loading one takes a hundred times as long as reading the others."""


def kind_of(number: int, seed: int) -> str:
    """The kind of a file."""
    chance = random.Random(seed * 1_000_003 + number)
    if chance.random() < _SHARE_OF_MODELS:
        return "model"
    return chance.choice((*_USUAL, *_USUAL, *LABELS))


def work(line: Connection, root: Path, seed: int) -> None:
    """Answer numbers of files with their outcomes, for ever."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    shutil.copytree(root / "sound" / "images", root / "work" / "images", dirs_exist_ok=True)
    while True:
        number: int = line.recv()
        line.send(_one(root, kind_of(number, seed), number, random.Random(seed * 7_000_003 + number)))


def _one(root: Path, kind: str, number: int, chance: random.Random) -> str:
    """Change one file of a kind and read it; it stays until the next file of its kind."""
    folder = root / "work" / kind
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / "sound" / kind, folder)
    if kind not in LABELS:
        (folder / OUT).mkdir()
    os.chdir(folder)
    changed = chance.choice(sorted(p for p in folder.rglob("*") if p.suffix in _SUFFIXES and p.is_file()))
    mutate(changed, chance)
    before, began = _others(root, folder), time.process_time()
    said = _outcome(kind, folder, changed, number)
    seconds = time.process_time() - began
    if made := _others(root, folder) ^ before:
        return f"outside: {sorted(made)[:3]}"
    return f"slow: {seconds:.1f} s ({changed.name})" if seconds > SECONDS else said


def _outcome(kind: str, folder: Path, changed: Path, number: int) -> str:
    try:
        read(kind, folder, changed, number)
    except Sam3AgentError as error:
        return "traceback: a message of several lines" if "Traceback" in str(error) else "refused"
    except OSError as error:
        return "refused" if error.filename else f"traceback: {traceback.format_exc()[-700:]}"
    except BaseException:  # noqa: BLE001 - whatever it is, it is what this benchmark looks for
        return f"traceback: {changed.name}: {traceback.format_exc()[-700:]}"
    return "read"


def _others(root: Path, own: Path) -> set[str]:
    """Every file below `root` that is not of this kind."""
    return {str(path) for path in root.rglob("*") if own not in (path, *path.parents)}
