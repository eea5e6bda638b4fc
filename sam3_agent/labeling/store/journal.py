"""The journal of a labeling run: one SQLite file in WAL mode that survives kill -9.

An image is finished by one transaction that writes its labels, its checks and its state together; what a paid query
answered is written at once. So a run that was killed goes on with the images and queries that are not in here.
"""

import json
import sqlite3
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.labeling.store.label import Check, Evidence, Label
from sam3_agent.masks import Box, Rle, from_json

IMAGE = "path, sha, bytes, mtime, state, reason, width, height, dhash, seconds"
PUT_IMAGE = f"INSERT OR REPLACE INTO images({IMAGE}) VALUES({', '.join('?' * 10)})"
PUT_LABEL = "INSERT OR REPLACE INTO labels VALUES(?, ?, ?, ?, ?, ?, ?)"
PUT_CHECK = "INSERT OR REPLACE INTO checks VALUES(?, ?, ?, ?, ?)"


def image_rows(images: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of image values."""
    return [astuple(image) for image in images]


def drop_machine_labels(db: sqlite3.Connection, sha: str) -> None:
    """Remove from an image what no person and no file decided or asked for (".h": more like this)."""
    db.execute("DELETE FROM labels WHERE sha=? AND reviewer='' AND id NOT GLOB '*.h*'", (sha,))
    db.execute("DELETE FROM checks WHERE sha=? AND reviewer=''", (sha,))


def label_row(label: Label) -> tuple[Any, ...]:
    """The row of a label."""
    document = json.dumps(label_json(label), separators=(",", ":"), ensure_ascii=False)
    return (label.id, label.sha, label.class_name, label.route, label.reviewer, label.quality, document)


def label_json(label: Label) -> dict[str, Any]:
    """A label in plain values; `label_of` reads it back."""
    return {
        "id": label.id,
        "sha": label.sha,
        "class": label.class_name,
        "mask": label.rle.to_json(),
        "box": [round(v, 3) for v in label.box],
        "score": label.score,
        "object_score": label.object_score,
        "presence": label.presence,
        "source": label.source,
        "phrase": label.phrase,
        "evidence": label.evidence.to_json(),
        "attributes": dict(label.attributes),
        "quality": label.quality,
        "verdict": label.verdict,
        "reason": label.reason,
        "route": label.route,
        "reviewer": label.reviewer,
        "proposed_class": label.proposed_class,
        "model": label.model,
        "usd": label.usd,
    }


def label_of(value: dict[str, Any]) -> Label:
    """What `label_json` wrote."""
    return Label(
        id=value["id"],
        sha=value["sha"],
        class_name=value["class"],
        rle=_stored_mask(value),
        box=cast(Box, tuple(value["box"])),
        score=value["score"],
        object_score=value["object_score"],
        presence=value["presence"],
        source=value["source"],
        phrase=value["phrase"],
        evidence=Evidence.from_json(value["evidence"]),
        attributes=value["attributes"],
        quality=value["quality"],
        verdict=value["verdict"],
        reason=value["reason"],
        route=value["route"],
        reviewer=value["reviewer"],
        proposed_class=value["proposed_class"],
        model=value["model"],
        usd=value["usd"],
    )


def _stored_mask(value: dict[str, Any]) -> Rle:
    try:
        return from_json(value["mask"])
    except InputError as error:
        raise InputError(f"the journal holds a damaged label {value['id']}: {error}") from error


def read_label(document: str) -> Label:
    """The label of a row's document."""
    return label_of(json.loads(document))


def check_row(check: Check) -> tuple[Any, ...]:
    """The row of a check."""
    document = json.dumps([*astuple(check)], ensure_ascii=False)
    return (check.sha, check.class_name, check.route, check.reviewer, document)


def read_check(document: str) -> Check:
    """The check of a row's document."""
    return Check(*json.loads(document))


FILE = "journal.sqlite"
VERSION = "1"
State = Literal["pending", "done", "duplicate", "unreadable"]

_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE images(
    path TEXT PRIMARY KEY, sha TEXT NOT NULL, bytes INTEGER NOT NULL, mtime INTEGER NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', width INTEGER NOT NULL DEFAULT 0, height INTEGER NOT NULL DEFAULT 0,
    dhash TEXT NOT NULL DEFAULT '', seconds REAL NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX images_by_sha ON images(sha);
CREATE TABLE units(
    sha TEXT NOT NULL, unit TEXT NOT NULL, payload BLOB NOT NULL, usd REAL NOT NULL, PRIMARY KEY(sha, unit)
) WITHOUT ROWID;
CREATE TABLE spent(n INTEGER PRIMARY KEY, sha TEXT NOT NULL, unit TEXT NOT NULL, usd REAL NOT NULL);
CREATE TABLE labels(
    id TEXT PRIMARY KEY, sha TEXT NOT NULL, class TEXT NOT NULL, route TEXT NOT NULL, reviewer TEXT NOT NULL,
    quality REAL NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX labels_in_queue ON labels(sha, class, route, reviewer, quality);
CREATE TABLE checks(
    sha TEXT NOT NULL, class TEXT NOT NULL, route TEXT NOT NULL, reviewer TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY(sha, class)) WITHOUT ROWID;
CREATE TABLE decisions(
    n INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, reviewer TEXT NOT NULL, action TEXT NOT NULL,
    sha TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, undone INTEGER NOT NULL DEFAULT 0);
"""


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One file of a run."""

    path: str
    """Relative to the folder of images, with forward slashes."""
    sha: str
    """SHA-256 of the file; "" where it could not be read."""
    bytes: int
    mtime: int
    """Nanoseconds."""
    state: State
    reason: str = ""
    """Why it is unreadable, or which file it is a duplicate of."""
    width: int = 0
    height: int = 0
    dhash: str = ""
    """16 hex digits of a difference hash: near duplicates differ in few bits."""
    seconds: float = 0.0


class Journal:
    """Reads and writes the journal of one folder. Safe to call from several threads, and beside other processes."""

    def __init__(self, path: Path) -> None:
        """Open an existing journal; see `create`."""
        self.path = path
        self._lock = threading.RLock()
        with _explained(path):
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")

    @classmethod
    def create(cls, folder: Path) -> "Journal":
        """A journal in a folder, which is made; an existing one is opened."""
        with _explained(folder / FILE):
            folder.mkdir(parents=True, exist_ok=True)
        journal = cls(folder / FILE)
        with journal.writing() as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name='meta'").fetchone():
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute("INSERT INTO meta VALUES('version', ?)", (VERSION,))
        journal._check_version()
        return journal

    @classmethod
    def open(cls, folder: Path) -> "Journal":
        """The journal of a folder that `label` made.

        Raises:
            InputError: there is none.
        """
        if not (folder / FILE).is_file():
            raise InputError(f"{folder} holds no {FILE}: give the --out folder of 'sam3-agent label'")
        journal = cls(folder / FILE)
        journal._check_version()
        return journal

    def is_begun(self) -> bool:
        """Tell whether any image was looked at: what an import alone put in does not count, as it is read again."""
        looked = "SELECT 1 FROM images WHERE state='done' UNION ALL SELECT 1 FROM units UNION ALL SELECT 1 FROM spent"
        return bool(self.read(f"{looked} UNION ALL SELECT 1 FROM decisions LIMIT 1"))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """One transaction: all of it is kept, or nothing."""
        with self._lock, _explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def read(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Every row that a query gives."""
        with self._lock, _explained(self.path):
            return self._db.execute(query, values).fetchall()

    def meta(self, key: str) -> Any:
        """A remembered value; None where there is none."""
        found = self.read("SELECT value FROM meta WHERE key=?", (key,))
        return json.loads(found[0][0]) if found else None

    def remember(self, values: Mapping[str, object]) -> None:
        """Keep values by their keys, in plain JSON."""
        with self.writing() as db:
            entries = [(key, json.dumps(value, sort_keys=True)) for key, value in values.items()]
            db.executemany("INSERT OR REPLACE INTO meta VALUES(?, ?)", entries)

    def images(self, state: State | None = None) -> list[ImageRow]:
        """The files of the run in the order of their paths."""
        where, values = ("WHERE state=?", (state,)) if state else ("", ())
        return [ImageRow(*row) for row in self.read(f"SELECT {IMAGE} FROM images {where} ORDER BY path", values)]

    def image(self, sha: str) -> ImageRow:
        """The labeled file with that content; raises InputError where there is none."""
        found = self.read(f"SELECT {IMAGE} FROM images WHERE sha=? AND state!='duplicate' LIMIT 1", (sha,))
        if not found:
            raise InputError(f"no image {sha!r:.24} in this run")
        return ImageRow(*found[0])

    def put_images(self, images: Sequence[ImageRow]) -> None:
        """Add files, or say anew what they are."""
        with self.writing() as db:
            db.executemany(PUT_IMAGE, image_rows(images))

    def unit(self, sha: str, unit: str) -> bytes | None:
        """What was found by one unit of work on an image; None where it is not done yet."""
        found = self.read("SELECT payload FROM units WHERE sha=? AND unit=?", (sha, unit))
        return found[0][0] if found else None

    def units(self, sha: str) -> dict[str, bytes]:
        """What was found by every unit of work that is done on an image."""
        return dict(self.read("SELECT unit, payload FROM units WHERE sha=?", (sha,)))

    def put_unit(self, sha: str, unit: str, payload: bytes | None, usd: float = 0.0) -> None:
        """Keep what a unit of work found, and what it cost; None where dollars bought nothing that is kept."""
        with self.writing() as db:
            if payload is not None:
                db.execute("INSERT OR REPLACE INTO units VALUES(?, ?, ?, ?)", (sha, unit, payload, usd))
            if usd:
                db.execute("INSERT INTO spent(sha, unit, usd) VALUES(?, ?, ?)", (sha, unit, usd))

    def usd(self) -> float:
        """Dollars spent so far, over all calls."""
        return float(self.read("SELECT COALESCE(SUM(usd), 0) FROM spent")[0][0])

    def finish(self, image: ImageRow, labels: Sequence[Label], checks: Sequence[Check]) -> None:
        """Write an image with its labels and checks as one step; labels that people or files made stay."""
        with self.writing() as db:
            drop_machine_labels(db, image.sha)
            decided = {row[0] for row in db.execute("SELECT id FROM labels WHERE sha=?", (image.sha,))}
            db.executemany(PUT_LABEL, [label_row(label) for label in labels if label.id not in decided])
            kept = {row[0] for row in db.execute("SELECT class FROM checks WHERE sha=?", (image.sha,))}
            fresh = [check for check in checks if check.class_name not in kept]
            db.executemany(PUT_CHECK, [check_row(check) for check in fresh])
            db.executemany(PUT_IMAGE, image_rows([image]))

    def labels(self, sha: str | None = None) -> list[Label]:
        """Every label, or those of one image, by id."""
        where, values = ("WHERE sha=?", (sha,)) if sha is not None else ("", ())
        return [read_label(row[0]) for row in self.read(f"SELECT document FROM labels {where} ORDER BY id", values)]

    def label(self, label_id: str) -> Label:
        """One label; raises InputError where there is none of that id."""
        found = self.read("SELECT document FROM labels WHERE id=?", (label_id,))
        if not found:
            raise InputError(f"unknown label {label_id!r:.60}")
        return read_label(found[0][0])

    def checks(self, sha: str | None = None) -> list[Check]:
        """Every check, or those of one image."""
        where, values = ("WHERE sha=?", (sha,)) if sha is not None else ("", ())
        found = self.read(f"SELECT document FROM checks {where} ORDER BY sha, class", values)
        return [read_check(row[0]) for row in found]

    def put_labels(self, labels: Sequence[Label]) -> None:
        """Add labels, or replace those of the same id."""
        with self.writing() as db:
            db.executemany(PUT_LABEL, [label_row(label) for label in labels])

    def put_checks(self, checks: Sequence[Check]) -> None:
        """Say anew how exhaustive classes are."""
        with self.writing() as db:
            db.executemany(PUT_CHECK, [check_row(check) for check in checks])

    def _check_version(self) -> None:
        known = self.read("SELECT value FROM meta WHERE key='version'")
        if not known or known[0][0] != VERSION:
            raise InputError(f"{self.path} has version {known[0][0] if known else '?'}; this program reads {VERSION}")


@contextmanager
def _explained(path: Path) -> Generator[None]:
    """Whatever SQLite or the disk says becomes one clear line."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Sam3AgentError(
            f"cannot use the journal {path}: {error}; free the disk or folder, then --resume"
        ) from error
    except sqlite3.DatabaseError as error:
        raise Sam3AgentError(f"the journal {path} is damaged or no journal: {error}") from error
    except OSError as error:
        raise Sam3AgentError(f"cannot write {path.parent}: {error.strerror or error}") from error
