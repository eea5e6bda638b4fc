"""Text and JSON of label files, whatever program wrote them."""

import codecs
import json
import re
from pathlib import Path
from typing import Any

from sam3_agent.errors import InputError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_text(path: Path, *, fallback: str | None = None) -> str:
    """Decode a text file: UTF-8, or what its byte order mark says, else `fallback` (such as "cp1252") if given.

    Raises:
        InputError: it cannot be read or decoded; the message names the file.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot read {path}: {reason}") from error
    return decode_text(data, path, fallback=fallback)


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


def read_json(path: Path, *, fallback: str | None = None) -> Any:
    """Parse a JSON file, decoded as by `read_text`.

    Raises:
        InputError: it cannot be read, is no JSON, is nested too deeply or holds halves of characters.
    """
    text = read_text(path, fallback=fallback)
    try:
        document = json.loads(text)
        if _SURROGATE.search(text):  # "\\ud83d" alone is JSON, but neither a file nor a terminal can take it
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: not JSON that can be used: half of a character in a text") from error
    except ValueError as error:  # JSONDecodeError, or a number of more than 4300 digits
        raise InputError(f"{path}: not JSON ({error})") from error
    except RecursionError as error:
        raise InputError(f"{path}: not JSON that can be used: nested too deeply") from error
    return document
