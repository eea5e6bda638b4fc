"""An append-only JSONL file that survives kill -9: only the line being written can be lost."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from sam3_agent.errors import InputError

_BLOCK = 1 << 16


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line, in order; a torn last line is left out, a file that is not there has no lines.

    Raises:
        InputError: a line that is not the last is broken; the message names file and line.
    """
    for number, line in enumerate(read_lines(path), start=1):
        yield _parse(path, number, line)


def read_lines(path: Path) -> Iterator[bytes]:
    """Every whole line, its newline included."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return  # torn: the writer died within it
            yield line


def index_journal(path: Path, key: str) -> dict[str, int]:
    """Where the line of each `key` value begins, for `read_line`; memory holds offsets, not lines.

    Raises:
        InputError: a line is broken, or two lines have one key.
    """
    offsets: dict[str, int] = {}
    position = 0
    for line in read_lines(path):
        value = str(_parse(path, len(offsets) + 1, line)[key])
        if value in offsets:
            raise InputError(f"{path}: {value!r} is there twice; did two runs write into this folder at once?")
        offsets[value] = position
        position += len(line)
    return offsets


def read_line(path: Path, offset: int) -> dict[str, Any]:
    """The document that begins at `offset`."""
    with path.open("rb") as file:
        file.seek(offset)
        return json.loads(file.readline())


class Journal:
    """Appends one JSON document a line, flushed to the system before `append` returns."""

    def __init__(self, path: Path) -> None:
        """Open for appending, and cut off a torn last line first."""
        _drop_torn_line(path)
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


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        return json.loads(line)
    except ValueError as error:
        raise InputError(f"{path}:{number}: broken line ({error})") from error


def _drop_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = file.seek(0, 2)
        while end:
            start = max(0, end - _BLOCK)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                file.truncate(start + newline + 1)
                return
            end = start
        file.truncate(0)
