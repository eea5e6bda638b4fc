"""An append-only JSONL file that survives kill -9: only the line being written can be lost."""

import hashlib
import json
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

import numpy as np
import pydantic

from sam3_agent.errors import InputError
from sam3_agent.formats.json_lines import drop_torn_line, whole_lines
from sam3_agent.formats.reading import parse_json
from sam3_agent.formats.validation_error import first_error

MOST_LINE = 1 << 28
"""Bytes of one line: a prediction of a video has a run-length text for each object and frame."""
MOST_TEXT = 100_000
"""Characters of a text in a line: an LLM's whole reply fits."""
_T = TypeVar("_T")
_M = TypeVar("_M", bound=pydantic.BaseModel)


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line, in order; a torn last line is left out, a file that is not there has no lines.

    Raises:
        InputError: a line that is not the last is broken; the message names file and line.
    """
    for number, line in enumerate(read_lines(path), start=1):
        yield _parse(path, number, line)


def read_lines(path: Path) -> Iterator[bytes]:
    """Every whole line, its newline included; raises InputError over one that is longer than any that is written."""
    return whole_lines(path, MOST_LINE)


def read_values(path: Path, read: Callable[[dict[str, Any]], _T]) -> Iterator[_T]:
    """Values that `read` makes of every whole line, in order.

    Raises:
        InputError: a line is broken; the message names file and line.
    """
    for number, document in enumerate(read_journal(path), start=1):
        try:
            value = read(document)
        except InputError as error:
            raise InputError(f"{path}:{number}: {error}") from error
        yield value


def checked_line(kind: type[_M], value: dict[str, Any], what: str) -> _M:
    """The fields of a line; raises InputError, which names the first that is wrong."""
    try:
        return kind.model_validate(value)
    except pydantic.ValidationError as error:
        raise InputError(f"a broken {what}: {first_error(error)}") from error


class JournalIndex:
    """Index the start of the line of each `key` value: 16 bytes a line, whatever the lines hold."""

    def __init__(self, path: Path, key: str) -> None:
        """Read the journal once; a file that is not there has no lines.

        Raises:
            InputError: a line is broken, or two lines have one key.
        """
        self.path, self._key = path, key
        digests, offsets, position = array("Q"), array("Q"), 0
        for number, line in enumerate(read_lines(path), start=1):
            document = _parse(path, number, line)
            if not isinstance(document.get(key), str):
                raise InputError(f"{path}:{number}: a line without {key!r}")
            digests.append(_digest(document[key]))
            offsets.append(position)
            position += len(line)
        order = np.argsort(np.frombuffer(digests, dtype=np.uint64), kind="stable")
        self._digests = np.frombuffer(digests, dtype=np.uint64)[order]
        self._offsets = np.frombuffer(offsets, dtype=np.uint64)[order]
        twice = np.flatnonzero(self._digests[1:] == self._digests[:-1])
        if twice.size:
            value = self._line(int(twice[0]))[key]
            raise InputError(f"{path}: {value!r} is there twice; did two runs write into this folder at once?")

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, value: str) -> bool:
        return self.find(value) is not None

    def find(self, value: str) -> dict[str, Any] | None:
        """The document with this key, read from the file; None where there is none."""
        place = int(np.searchsorted(self._digests, np.uint64(_digest(value))))
        if place == len(self) or int(self._digests[place]) != _digest(value):
            return None
        found = self._line(place)
        return found if str(found[self._key]) == value else None

    def _line(self, place: int) -> dict[str, Any]:
        with self.path.open("rb") as file:
            file.seek(int(self._offsets[place]))
            return json.loads(file.readline())


class Journal:
    """Appends one JSON document a line, flushed to the system before `append` returns."""

    def __init__(self, path: Path) -> None:
        """Open for appending, and cut off a torn last line first."""
        drop_torn_line(path)
        self._file = path.open("ab")

    def append(self, value: dict[str, Any]) -> None:
        """Write one line."""
        self._file.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _digest(value: str) -> int:
    """64 bits; that two of a million keys share them has a chance of 3 in 100 million, and is then refused aloud."""
    return int.from_bytes(hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    document = parse_json(line, f"{path}:{number}: broken line", finite=True)
    if not isinstance(document, dict):
        raise InputError(f"{path}:{number}: broken line (it holds no object)")
    return cast(dict[str, Any], document)
