"""Mutations of files: what people, programs and broken disks do to them, drawn by a seed."""

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

NASTY: tuple[Any, ...] = (
    None, "", " ", "x", "é5ü", "\ud800", "\0", "../a.jpg", "train\\a.jpg", "a" * 5000, "1", "-1", "nan", True, False,
    0, -1, -5, 0.5, 1.5, 2, 7, 1000, 1e8, -1e8, 1e12, 1e308, float("nan"), float("inf"), 2**31, 2**63, 10**30, [], {},
    [[]], [None], [[1, 2]], [1, 2, 3], {"size": [40, 60], "counts": "5"}, {"size": [40, 60], "counts": [10**9]},
    {"size": [10**6, 10**6], "counts": [10**12]}, [[1e8, 1, 2, 3, 4, 5]], [[[1, 2], [3, 4], [5, 6]]],
    [5, 5, 17, 5, 17, 17],
)  # fmt: skip
_WORDS = (
    b"", b"0", b"1", b"-1", b"2", b"1e8", b"1e400", b"nan", b"inf", b"0.5", b"-0.3", b"25", b"x", b"\xe9", b"\xff",
    b"~", b"*a", b"&a [*a]", b"[", b"{", b"]", b"- ", b": ", b"!!python/object:os.system", b"%", b"\t", b"null",
    b"1_000", b"0 0 0 0 0",
)  # fmt: skip
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00", b"\r\n", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"\xe9", b"#")


def mutate(data: bytes, suffix: str, chance: random.Random) -> bytes:
    """Change the contents of a file in one to three places."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        kinds: list[Callable[[bytes, random.Random], bytes]] = [_bytes]
        kinds += [_json] * 6 if suffix == ".json" else [_words] * 5
        data = chance.choice(kinds)(data, chance)
    return data


def _bytes(data: bytes, chance: random.Random) -> bytes:
    """Flip, drop, repeat, cut off, mark or recode bytes."""
    at, length = chance.randrange(len(data) + 1), chance.choice((1, 1, 2, 8, 50))
    forms: tuple[Callable[[], bytes], ...] = (
        lambda: data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :],
        lambda: data[:at] + data[at + length :],
        lambda: data[:at] + data[at : at + length] * 2 + data[at + length :],
        lambda: data[:at],
        lambda: chance.choice(_MARKS) + data,
        lambda: data[:at] + chance.choice(_MARKS) + data[at:],
        lambda: data.decode("utf-8", "replace").encode("utf-16"),
        lambda: data.decode("utf-8", "replace").encode("cp1252", "replace"),
        lambda: data.replace(b"\n", b"\r\n"),
    )
    return chance.choice(forms)()


def _words(data: bytes, chance: random.Random) -> bytes:
    """Replace, drop, repeat or exchange words and lines."""
    words = list(re.finditer(rb"[^\s,;\"'=<>/:\[\]]+", data))
    lines = data.split(b"\n")
    if not words:
        return data
    word, other, line = chance.choice(words), chance.choice(words), chance.randrange(len(lines))
    start, stop = word.span()
    forms: tuple[Callable[[], bytes], ...] = (
        lambda: data[:start] + chance.choice(_WORDS) + data[stop:],
        lambda: data[:start] + chance.choice(_WORDS) + data[stop:],
        lambda: data[:start] + other.group() + data[stop:],
        lambda: data[:start] + word.group() + b" " + data[start:],
        lambda: b"\n".join([*lines[:line], *lines[line + 1 :]]),
        lambda: b"\n".join([*lines[: line + 1], *lines[line:]]),
        lambda: b"\n".join([*lines[:line], lines[line] + b" " + chance.choice(_WORDS), *lines[line + 1 :]]),
    )
    return chance.choice(forms)()


def _json(data: bytes, chance: random.Random) -> bytes:
    """Replace, drop, repeat or wrap a value anywhere in a document."""
    try:
        document: Any = copy.deepcopy(json.loads(data))
        places = places_of(document) if isinstance(document, dict | list) else []
    except (ValueError, RecursionError):
        return _bytes(data, chance)
    if not places:
        return data
    holder, key = chance.choice(places)
    kind = chance.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif kind == 2:
        holder[key] = [holder[key]]
    elif kind == 3:
        holder[key] = str(holder[key])
    elif kind == 4 and isinstance(holder[key], int | float):
        holder[key] = holder[key] * chance.choice((-1, 10, 1000, 0.001, 1e9))
    else:
        holder[key] = copy.deepcopy(chance.choice(NASTY))
    return json.dumps(document, ensure_ascii=True).encode()


def places_of(document: Any) -> list[tuple[Any, Any]]:
    """Every value of a document as (its holder, its key)."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])
    return found
