"""Mutations of files by strangers who mean harm: beside what breaks by itself, bombs, depths, escapes and paths."""

import json
import random
import sqlite3
from pathlib import Path
from typing import Any

from benchmarks.label_files.mutations import mutate as mutate_by_accident
from benchmarks.label_files.mutations import places_of

OUTSIDE = "outside"
"""Folder beside the one of a kind, which nothing may make."""
_DEEP = ("[" * 900 + "]" * 900, '{"a":' * 70 + "1" + "}" * 70, "[" * 100_000)
_NUMBERS = ("1e400", "-1e400", "NaN", "Infinity", "9" * 5000, "1e308", "-0.0", "18446744073709551616")
_ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [*{old},*{old},*{old},*{old},*{old},*{old},*{old},*{old},*{old}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
_BOMBS = (_ALIASES, "a: &a [*a]\n", "{" * 2000, "- " * 2000 + "x", "!!python/object/apply:os.system ['true']\n")


def mutate(path: Path, chance: random.Random) -> None:
    """Change a file in one to three places."""
    if path.suffix == ".sqlite":
        _mutate_journal(path, chance)
        return
    data = path.read_bytes()
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        data = _changed(data, path, chance)
    path.write_bytes(data)


def _changed(data: bytes, path: Path, chance: random.Random) -> bytes:
    if chance.random() < 0.2:
        return mutate_by_accident(data, "", chance)
    if path.suffix == ".jsonl":
        lines = data.split(b"\n")
        at = chance.randrange(len(lines))
        lines[at] = _json(lines[at], path, chance)
        return b"\n".join(lines)
    if path.suffix == ".json":
        return _json(data, path, chance)
    if path.suffix == ".yaml" and chance.random() < 0.3:
        return chance.choice(_BOMBS).encode() + data
    return mutate_by_accident(data, path.suffix, chance)


def _json(data: bytes, path: Path, chance: random.Random) -> bytes:
    """Put something nasty in the place of a value, or whatever breaks by itself."""
    try:
        document: Any = json.loads(data)
        places = places_of(document) if isinstance(document, dict | list) else []
    except (ValueError, RecursionError):
        places = []
    if not places or chance.random() < 0.5:
        return mutate_by_accident(data, ".json", chance)
    holder, key = chance.choice(places)
    holder[key] = "\0here"
    text = json.dumps(document)
    return text.replace(json.dumps("\0here"), _nasty(path, chance), 1).encode("utf-8", "surrogatepass")


def _nasty(path: Path, chance: random.Random) -> str:
    """JSON of a value that means harm."""
    root = path.parents[2]
    texts = (
        "../../outside/a", f"{root}/{OUTSIDE}/a.png", "../" * 12 + "tmp/outside", "/dev/zero", "/dev/stdin", "\x1b[2J",
        "\u202e", "a\nb", "\x01", "x" * 200_000, "~root/x", "file:///etc/passwd", "\ud83d", "__class__", "",
    )  # fmt: skip
    kind = chance.randrange(4)
    if kind == 0:
        return chance.choice(_DEEP)
    if kind == 1:
        return chance.choice(_NUMBERS)
    if kind == 2:
        return json.dumps(chance.choice(([0] * 100_000, {str(n): n for n in range(5000)}, [[]] * 1000, 10**18, None)))
    return json.dumps(chance.choice(texts))


def _mutate_journal(path: Path, chance: random.Random) -> None:
    """Change bytes, rows or the schema of a SQLite file."""
    if chance.random() < 0.15:
        path.write_bytes(mutate_by_accident(path.read_bytes(), "", chance))
        return
    db = sqlite3.connect(path, isolation_level=None)
    try:
        for _ in range(chance.choice((1, 1, 2))):
            _change_row(db, path, chance)
        if chance.random() < 0.1:
            db.execute(chance.choice(_SCHEMA))
    except sqlite3.Error:
        pass  # a change that the schema forbids: the file is sound, or has the ones before it
    finally:
        db.close()


_SCHEMA = (
    "DROP TABLE labels", "DROP TABLE meta", "ALTER TABLE images RENAME COLUMN path TO p", "DROP INDEX images_by_sha",
    "CREATE TRIGGER t AFTER INSERT ON images BEGIN DELETE FROM labels; END", "PRAGMA user_version=9",
    "CREATE VIEW v AS SELECT 1", "UPDATE meta SET value='\"9\"'", "DELETE FROM images", "DELETE FROM meta",
)  # fmt: skip


def _change_row(db: sqlite3.Connection, path: Path, chance: random.Random) -> None:
    tables = [
        row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 's%e_%'")
    ]
    table = chance.choice(tables)
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    column = chance.choice(columns)
    values = [row[0] for row in db.execute(f"SELECT {column} FROM {table}")]
    if not values:
        return
    value = chance.choice(values)
    new: object
    if isinstance(value, str) and value[:1] in ("{", "["):
        new = _json(value.encode(), path, chance).decode("utf-8", "replace")
    elif isinstance(value, bytes) and chance.random() < 0.7:
        new = mutate_by_accident(value, "", chance)
    else:
        nasty = json.loads(json.dumps(chance.choice(("", "x", "../../outside/a.png", "\x1b[2J", 0, -1, 1e308, 2**62))))
        new = chance.choice((nasty, f"{path.parents[2]}/{OUTSIDE}/a.png", b"\xff\x00", float("nan"), float("inf")))
    db.execute(f"UPDATE {table} SET {column}=? WHERE {column} IS ?", (new, value))
