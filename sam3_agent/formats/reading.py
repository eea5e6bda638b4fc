"""Text and JSON of files that strangers made, whatever program wrote them.

One guarded reader for all: the file is a file, its size, encoding, depth and numbers are bounded, and an error is one
line that names it.
"""

import codecs
import csv
import errno
import json
import math
import os
import re
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

import numpy as np

from sam3_agent.errors import InputError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
MOST_BYTES = 2 * 2**30
"""Of one file; the largest label file that is known (LVIS) has 1.1 GB."""
MOST_DEPTH = 64
"""Levels of lists and objects; the label formats have up to 8. Whatever walks a document calls itself as often."""
_BLOCK = 8_000_000
"""Characters that are looked through at a time."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a whole file that is one: a pipe would be waited for, and a device like /dev/zero never ends.

    Raises:
        InputError: it cannot be read, or has more than `most` bytes; the message names the file.
    """
    try:
        with open_regular(path) as file:
            if (size := os.fstat(file.fileno()).st_size) > most:
                raise InputError(f"{path}: {size} bytes; at most {most} are read")
            return file.read(most)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot read {path}: {reason}") from error


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading that is one: a FIFO waits for ever, and a device like /dev/zero never ends.

    Raises:
        OSError: it cannot be opened, or is something else; the reason is its `strerror`.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "no regular file, but a pipe, socket or device")
    return file


def read_text(path: Path, *, fallback: str | None = None, most: int = MOST_BYTES) -> str:
    """Decode a text file: UTF-8, or what its byte order mark says, else `fallback` (such as "cp1252") if given.

    Raises:
        InputError: it cannot be read or decoded, or has more than `most` bytes; the message names the file.
    """
    return decode_text(read_bytes(path, most), path, fallback=fallback)


def decode_text(data: bytes, path: Path, *, fallback: str | None = None) -> str:
    """Decode the bytes of a text file; see `read_text`."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if encoding in ("utf-16", "utf-32") and b"\0" not in data:  # even a line break has one: the mark is a stray
        encoding = "utf-8"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if fallback is None or encoding != "utf-8":
            raise InputError(f"{path}: not {encoding.removesuffix('-sig').upper()} text ({error.reason})") from error
    try:
        return data.decode(fallback)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: neither UTF-8 nor {fallback} text ({error.reason})") from error


def read_json(path: Path, *, fallback: str | None = None, most: int = MOST_BYTES, finite: bool = False) -> Any:
    """Parse a JSON file, decoded as by `read_text`.

    Raises:
        InputError: it cannot be read, or is no JSON that can be used; see `parse_json`.
    """
    return parse_json(read_text(path, fallback=fallback, most=most), path, finite=finite)


def table_rows(path: Path) -> list[list[str]]:
    """Rows of a file of comma-separated values.

    Raises:
        InputError: it cannot be read, or is no table.
    """
    try:
        return list(csv.reader(read_text(path).splitlines()))
    except csv.Error as error:
        raise InputError(f"{path}: no table of comma-separated values ({error})") from error


def parse_json(text: str | bytes, where: object, *, finite: bool = False) -> Any:
    """Parse a JSON text of a stranger; `where` (a path, or file and line) begins the message of an error.

    `finite` refuses NaN and infinities, which Python reads though JSON has none, and numbers that become one (1e400).

    Raises:
        InputError: it is no JSON, nested more than MOST_DEPTH deep, or holds halves of characters.
    """
    hooks: dict[str, Any] = {"parse_constant": _refuse_constant, "parse_float": _finite} if finite else {}
    try:
        text = text if isinstance(text, str) else text.decode()
        document = json.loads(text, **hooks)
        if _SURROGATE.search(text):  # "\\ud83d" alone is JSON, but neither a file nor a terminal can take it
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text ({error.reason})") from error
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: not JSON that can be used: half of a character in a text") from error
    except ValueError as error:  # JSONDecodeError, or a number of more than 4300 digits
        raise InputError(f"{where}: not JSON ({error})") from error
    except RecursionError as error:
        raise InputError(f"{where}: not JSON that can be used: nested too deeply") from error
    if _may_be_deep(text) and is_deep(document):
        raise InputError(f"{where}: not JSON that can be used: nested more than {MOST_DEPTH} deep")
    return document


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.40} is too large")
    return value


def _may_be_deep(text: str) -> bool:
    """Whether brackets alone, those in texts included, nest too deep: told in a fraction of the time of parsing."""
    depth = 0
    for start in range(0, len(text), _BLOCK):
        block = text[start : start + _BLOCK].encode("utf-8", "surrogatepass")
        codes = np.frombuffer(block, dtype=np.uint8)
        steps = ((codes == ord("[")) | (codes == ord("{"))).astype(np.int8)
        steps -= ((codes == ord("]")) | (codes == ord("}"))).astype(np.int8)
        depths = depth + np.cumsum(steps, dtype=np.int32)
        if depths.max(initial=0) > MOST_DEPTH:
            return True
        depth = int(depths[-1])
    return False


def is_deep(document: Any) -> bool:
    """Whether lists and objects are nested more than MOST_DEPTH deep."""
    level: list[Any] = [document]
    for _ in range(MOST_DEPTH):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict | list):
                inner += cast(dict[str, Any], each).values() if isinstance(each, dict) else cast(list[Any], each)
        level = inner
    return any(isinstance(each, dict | list) for each in level)
