"""Files that grow by a line: what a kill -9 leaves is whole lines and at most one torn one, which is dropped."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sam3_agent.errors import InputError

_BLOCK = 1 << 16


def whole_lines(path: Path, most: int) -> Iterator[bytes]:
    """Every whole line with its newline; a torn last line is left out, a file that is not there has no lines.

    Raises:
        InputError: a line has more than `most` bytes; the message names file and line.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        number = 0
        while line := file.readline(most):
            number += 1
            if line.endswith(b"\n"):
                yield line
            elif len(line) == most:
                raise InputError(f"{path}:{number}: a line of more than {most} bytes")


def drop_torn_line(path: Path) -> bool:
    """Cut off what follows the last newline, so that the next line is one of its own; True if a whole line is left."""
    if not path.exists():
        return False
    with path.open("rb+") as file:
        return cut_torn_line(file) > 0


def cut_torn_line(file: BinaryIO) -> int:
    """Do the same to a file that is open for reading and writing; gives the bytes that are left."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return file.truncate(start + newline + 1)
        end = start
    return file.truncate(0)
