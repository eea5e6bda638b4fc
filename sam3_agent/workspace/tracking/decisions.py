"""Decisions of people about the tracks of a video: an append-only journal, in which undoing is a further line.

`decisions.jsonl` lies beside the journal of the tracks, which it never changes: a header, then a line a decision. A
line `{"undo": 7}` strikes decision 7. Numbers and ids are not used again, those of what was undone neither.
"""

import fcntl
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

from sam3_agent.errors import Busy, InputError
from sam3_agent.formats.json_lines import cut_torn_line
from sam3_agent.workspace.tracking.journal import read_lines

DECISIONS = "decisions.jsonl"
VERSION = 1
Action = Literal["accept", "reject", "relabel", "split", "merge", "correct"]
_TEXTS = ("other", "new_id", "concept", "folder")
_FRAMES = ("frame", "last")


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about a track.

    - accept, reject: it is one, or it is none.
    - relabel: it is a `concept`.
    - split: from `frame` on it is another object, `new_id`.
    - merge: the track `other` is part of it.
    - correct: in frames `frame` to `last` it is where the tracks in `folder` say.
    """

    action: Action
    id: str
    other: str = ""
    frame: int = -1
    last: int = -1
    new_id: str = ""
    concept: str = ""
    folder: str = ""
    """Within the folder of the run, as in "corrections/1"."""
    number: int = 0
    """Given by the journal, from 1."""
    reviewer: str = ""
    at: str = ""
    """Time in UTC, ISO 8601."""

    def to_json(self) -> dict[str, Any]:
        """One line of the journal."""
        said = {name: getattr(self, name) for name in _TEXTS if getattr(self, name)}
        frames = {name: getattr(self, name) for name in _FRAMES if getattr(self, name) >= 0}
        head = {"decision": self.number, "action": self.action, "id": self.id}
        return {**head, **said, **frames, "reviewer": self.reviewer, "at": self.at}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Decision":
        """Read what `to_json` wrote; raises KeyError, TypeError or ValueError where it is no decision."""
        texts: dict[str, str] = {name: value.get(name, "") for name in (*_TEXTS, "reviewer", "at")}
        if value["action"] not in get_args(Action) or not all(
            isinstance(text, str) for text in (value["id"], *texts.values())
        ):
            raise ValueError("no decision about tracks")
        frame, last, number = int(value.get("frame", -1)), int(value.get("last", -1)), int(value["decision"])
        return cls(action=value["action"], id=value["id"], frame=frame, last=last, number=number, **texts)


@dataclass(frozen=True, slots=True)
class DecisionsRead:
    """The content of a journal of decisions."""

    standing: tuple[Decision, ...] = ()
    """Those that were not undone, in order."""
    count: int = 0
    """Number of the latest decision, undone ones included."""
    given: frozenset[str] = frozenset()
    """Ids that decisions have given to tracks, undone ones included."""
    folders: frozenset[str] = frozenset()
    """Folders of corrections, undone ones included."""
    size: int = 0
    """Bytes of the file that were read."""


def read_decisions(folder: Path) -> DecisionsRead:
    """Read the decisions in a folder; none where there is no journal of them.

    Raises:
        InputError: the file is no such journal, or a line that is not the last is broken.
    """
    path = folder / DECISIONS
    if not path.exists():
        return DecisionsRead()
    standing: dict[int, Decision] = {}
    count = size = 0
    given: set[str] = set()
    folders: set[str] = set()
    for number, (offset, document) in enumerate(read_lines(path), start=1):
        size = offset
        try:
            if number == 1:
                _check_version(document)
            elif "undo" in document:
                del standing[int(document["undo"])]
            else:
                made = Decision.from_json(document)
                standing[made.number], count = made, max(count, made.number)
                given |= {made.new_id} - {""}
                folders |= {made.folder} - {""}
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}:{number}: broken line ({error!r})") from error
    end = _end_of_line(path, size)
    return DecisionsRead(tuple(standing.values()), count, frozenset(given), frozenset(folders), end)


def _check_version(document: Mapping[str, Any]) -> None:
    if document["decisions"] != VERSION:
        raise ValueError(f"expected version {VERSION} of the journal")


def _end_of_line(path: Path, offset: int) -> int:
    with path.open("rb") as file:
        file.seek(offset)
        line = file.readline()
        return offset + len(line) if line.endswith(b"\n") else offset


class DecisionJournal:
    """The journal of decisions of one folder, as this program knows it. Not thread-safe; safe among processes."""

    def __init__(self, folder: Path, reviewer: str = "person") -> None:
        """Read what is there; nothing is written before the first decision.

        Raises:
            InputError: the journal is broken, or the reviewer has no name.
        """
        if not reviewer.strip():
            raise InputError("the reviewer needs a name")
        self.folder, self.reviewer = folder, reviewer
        self.read = read_decisions(folder)

    def add(self, decision: Decision) -> Decision:
        """Write a decision to the disk; gives it with its number.

        Raises:
            Busy: somebody else has decided meanwhile; `read` is what stands now.
        """
        with self._writing() as file:
            made = replace(decision, number=self.read.count + 1, reviewer=self.reviewer, at=_now())
            self._append(file, made.to_json())
        return made

    def undo(self) -> Decision | None:
        """Strike the last decision that stands; gives it, None where there is none.

        Raises:
            Busy: somebody else has decided meanwhile; `read` is what stands now.
        """
        if not self.read.standing:
            return None
        with self._writing() as file:
            struck = self.read.standing[-1]
            self._append(file, {"undo": struck.number, "reviewer": self.reviewer, "at": _now()})
        return struck

    @contextmanager
    def _writing(self) -> Generator[BinaryIO]:
        """The open file, held against other processes; what they wrote is read first."""
        path = self.folder / DECISIONS
        # A stranger's folder may hold a link of this name, which would lead elsewhere.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        try:
            file = os.fdopen(os.open(path, flags, 0o644), "rb+")
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = cut_torn_line(file)
            if not size:
                self._append_line(file, {"decisions": VERSION})
            elif size != self.read.size:
                self.read = read_decisions(self.folder)
                raise Busy("somebody else has decided about these tracks meanwhile: look at them again, then decide")
            yield file
        self.read = read_decisions(self.folder)

    def _append(self, file: BinaryIO, document: Mapping[str, Any]) -> None:
        self._append_line(file, document)
        file.flush()
        os.fsync(file.fileno())

    @staticmethod
    def _append_line(file: BinaryIO, document: Mapping[str, Any]) -> None:
        file.seek(0, os.SEEK_END)
        file.write(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
