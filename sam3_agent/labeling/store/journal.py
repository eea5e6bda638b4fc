"""Journal of a labeling run: one SQLite file in WAL mode that survives kill -9.

An image is finished by one transaction that writes its labels, its checks and its state together; what a paid query
answered is written at once. So a run that was killed goes on with the images and queries that are not in here.
"""

import json
import sqlite3
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.formats.reading import parse_json
from sam3_agent.labeling.store.documents import (
    ImageRow,
    State,
    check_json,
    image_row,
    image_values,
    label_json,
    read_check,
    read_label,
)
from sam3_agent.labeling.store.label import Check, Label

FILE = "journal.sqlite"
VERSION = "2"
"""2 (2026-11): `decided_by` in labels and checks, the unit "detect" (was "eye"), the key "thresholds" (was "lines").
Journals of version 1 are migrated when they are opened."""
MOST_ROW = 256 * 2**20
"""Bytes of one value or row: an image of 100 megapixels with a thousand masks has about 20 MB of detections."""
IMAGE = "path, sha, bytes, mtime, state, reason, width, height, dhash, seconds"
PUT_IMAGE = f"INSERT OR REPLACE INTO images({IMAGE}) VALUES({', '.join('?' * 10)})"
PUT_LABEL = (
    "INSERT OR REPLACE INTO labels(id, sha, class, route, reviewer, quality, document, decided_by) "
    "VALUES(?, ?, ?, ?, ?, ?, ?, ?)"
)
PUT_CHECK = "INSERT OR REPLACE INTO checks(sha, class, route, reviewer, document, decided_by) VALUES(?, ?, ?, ?, ?, ?)"


def label_row(label: Label) -> tuple[Any, ...]:
    """Make the row of a label for PUT_LABEL."""
    document = json.dumps(label_json(label), separators=(",", ":"), ensure_ascii=False)
    key = (label.id, label.sha, label.class_name, label.route, label.reviewer, label.quality)
    return (*key, document, label.decided_by)


def check_row(check: Check) -> tuple[Any, ...]:
    """Make the row of a check for PUT_CHECK."""
    document = json.dumps(check_json(check), separators=(",", ":"), ensure_ascii=False)
    return (check.sha, check.class_name, check.route, check.reviewer, document, check.decided_by)


def _drop_machine_labels(db: sqlite3.Connection, sha: str) -> None:
    """Remove from an image what no person and no file decided or asked for ("similar": more like this)."""
    machine = "decided_by NOT IN ('file', 'person', 'people')"
    db.execute(f"DELETE FROM labels WHERE sha=? AND {machine} AND document->>'$.source' != 'similar'", (sha,))
    db.execute(f"DELETE FROM checks WHERE sha=? AND {machine}", (sha,))


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
    quality REAL NOT NULL, document TEXT NOT NULL, decided_by TEXT NOT NULL DEFAULT 'rule') WITHOUT ROWID;
CREATE INDEX labels_in_queue ON labels(sha, class, route, reviewer, quality);
CREATE TABLE checks(
    sha TEXT NOT NULL, class TEXT NOT NULL, route TEXT NOT NULL, reviewer TEXT NOT NULL, document TEXT NOT NULL,
    decided_by TEXT NOT NULL DEFAULT 'rule', PRIMARY KEY(sha, class)) WITHOUT ROWID;
CREATE TABLE decisions(
    n INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, reviewer TEXT NOT NULL, action TEXT NOT NULL,
    sha TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, undone INTEGER NOT NULL DEFAULT 0);
"""


class Journal:
    """Journal of one folder. Safe to call from several threads, and beside other processes."""

    def __init__(self, path: Path) -> None:
        """Open an existing journal; see `create`."""
        self.path = path
        self._lock = threading.RLock()
        links = [name for name in (path.name + end for end in _BESIDE) if (path.parent / name).is_symlink()]
        if links:  # SQLite would write to wherever a stranger's link points
            raise InputError(f"{path.parent / links[0]} is a link; a journal is a file of its own folder")
        with _explained(path), ExitStack() as closing:
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            closing.callback(self._db.close)
            _guard(self._db)
            if self._db.execute("SELECT 1 FROM sqlite_master WHERE type IN ('view', 'trigger')").fetchone():
                raise InputError(f"{path} is no journal of this program: it has views or triggers")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._file = _identity(path)
            closing.pop_all()

    @classmethod
    def create(cls, folder: Path) -> "Journal":
        """Make a journal in a folder, which is made as well; an existing one is opened."""
        with _explained(folder / FILE):
            folder.mkdir(parents=True, exist_ok=True)
        journal = cls(folder / FILE)
        with ExitStack() as closing:
            closing.callback(journal.close)
            with journal.writing() as db:
                if not db.execute("SELECT 1 FROM sqlite_master WHERE name='meta'").fetchone():
                    for statement in _SCHEMA.split(";"):
                        db.execute(statement)
                    db.execute("INSERT INTO meta VALUES('version', ?)", (VERSION,))
            journal._migrate()
            closing.pop_all()
        return journal

    @classmethod
    def open(cls, folder: Path) -> "Journal":
        """Open the journal of a folder that `label` made.

        Raises:
            InputError: there is none.
        """
        if not (folder / FILE).is_file():
            raise InputError(f"{folder} holds no {FILE}: give the --out folder of 'sam3-agent label'")
        journal = cls(folder / FILE)
        with ExitStack() as closing:
            closing.callback(journal.close)
            journal._migrate()
            closing.pop_all()
        return journal

    def is_begun(self) -> bool:
        """Tell whether any image was looked at, or videos were entered: what an import put in is read again anyway."""
        if self.read("SELECT 1 FROM sqlite_master WHERE name='videos'") and self.read("SELECT 1 FROM videos LIMIT 1"):
            return True
        looked = "SELECT 1 FROM images WHERE state='done' UNION ALL SELECT 1 FROM units UNION ALL SELECT 1 FROM spent"
        return bool(self.read(f"{looked} UNION ALL SELECT 1 FROM decisions LIMIT 1"))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """Write in one transaction: all of it is kept, or nothing."""
        with self._lock, _explained(self.path):
            self._check_present()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def read(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Read every row that a query gives."""
        with self._lock, _explained(self.path):
            self._check_present()
            return self._db.execute(query, values).fetchall()

    def rows(self, query: str, values: Sequence[object] = ()) -> Generator[tuple[Any, ...]]:
        """Give the rows of a query one at a time; what is written meanwhile is not among them.

        They come by a connection of their own, which closes with the generator.
        """
        with _explained(self.path):
            self._check_present()
            reading = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            try:
                _guard(reading)
                reading.execute("PRAGMA query_only=ON")
                yield from reading.execute(query, values)
            finally:
                reading.close()

    @contextmanager
    def snapshot(self) -> Generator["Journal"]:
        """Open the journal as it is now, to be read; what is written meanwhile is not in it."""
        still = Journal(self.path)
        try:
            still.read("BEGIN")
            still.read("SELECT 1 FROM meta LIMIT 1")  # a transaction sees what there is when it first reads
            yield still
        finally:
            still.close()

    def meta(self, key: str) -> Any:
        """Read a remembered value; None where there is none."""
        found = self.read("SELECT value FROM meta WHERE key=?", (key,))
        try:
            return parse_json(found[0][0], "value") if found else None
        except (InputError, AttributeError, TypeError) as error:
            raise InputError(f"the journal {self.path} holds a damaged entry {key!r}: {error}") from error

    def remember(self, values: Mapping[str, object]) -> None:
        """Keep values by their keys, in plain JSON."""
        with self.writing() as db:
            entries = [(key, json.dumps(value, sort_keys=True)) for key, value in values.items()]
            db.executemany("INSERT OR REPLACE INTO meta VALUES(?, ?)", entries)

    def images(self, state: State | None = None) -> list[ImageRow]:
        """List the files of the run in the order of their paths."""
        where, values = ("WHERE state=?", (state,)) if state else ("", ())
        return [image_row(row) for row in self.read(f"SELECT {IMAGE} FROM images {where} ORDER BY path", values)]

    def has_images(self, state: State | None = None) -> bool:
        """Tell whether there are files in the run, or in a state."""
        return bool(self.images_after("", state, 1))

    def images_after(self, path: str, state: State | None, most: int) -> list[ImageRow]:
        """List the next files after a path, in the order of paths: a page of `images`."""
        where, values = ("AND state=?", (state,)) if state else ("", ())
        query = f"SELECT {IMAGE} FROM images WHERE path>? {where} ORDER BY path LIMIT ?"
        return [image_row(row) for row in self.read(query, (path, *values, most))]

    def file(self, path: str) -> ImageRow | None:
        """Find a file by its path; None where it is not in the run."""
        found = self.read(f"SELECT {IMAGE} FROM images WHERE path=?", (path,))
        return image_row(found[0]) if found else None

    def image(self, sha: str) -> ImageRow:
        """Find the labeled file with that content; raises InputError where there is none."""
        found = self.read(f"SELECT {IMAGE} FROM images WHERE sha=? AND state!='duplicate' LIMIT 1", (sha,))
        if not found:
            raise InputError(f"no image {sha!r:.24} in this run")
        return image_row(found[0])

    def put_images(self, images: Sequence[ImageRow]) -> None:
        """Add files, or say anew what they are."""
        with self.writing() as db:
            db.executemany(PUT_IMAGE, map(image_values, images))

    def unit(self, sha: str, unit: str) -> bytes | None:
        """Read the result of one unit of work on an image; None where it is not done yet."""
        found = self.read("SELECT payload FROM units WHERE sha=? AND unit=?", (sha, unit))
        return found[0][0] if found else None

    def units(self, sha: str) -> dict[str, bytes]:
        """Read the results of every unit of work that is done on an image."""
        return dict(self.read("SELECT unit, payload FROM units WHERE sha=?", (sha,)))

    def put_unit(self, sha: str, unit: str, payload: bytes | None, usd: float = 0.0) -> None:
        """Keep what a unit of work found, and what it cost; None where dollars bought nothing that is kept."""
        with self.writing() as db:
            if payload is not None:
                db.execute("INSERT OR REPLACE INTO units VALUES(?, ?, ?, ?)", (sha, unit, payload, usd))
            if usd:
                db.execute("INSERT INTO spent(sha, unit, usd) VALUES(?, ?, ?)", (sha, unit, usd))

    def usd(self) -> float:
        """Sum the dollars spent so far, over all calls."""
        return float(self.read("SELECT COALESCE(SUM(usd), 0) FROM spent")[0][0])

    def finish(
        self, image: ImageRow, labels: Sequence[Label], checks: Sequence[Check], unit: tuple[str, bytes] | None = None
    ) -> None:
        """Write an image with its labels and checks, and a unit of work that is done by it, as one step.

        Labels that people or files made stay.
        """
        with self.writing() as db:
            _drop_machine_labels(db, image.sha)
            decided = {row[0] for row in db.execute("SELECT id FROM labels WHERE sha=?", (image.sha,))}
            db.executemany(PUT_LABEL, [label_row(label) for label in labels if label.id not in decided])
            kept = {row[0] for row in db.execute("SELECT class FROM checks WHERE sha=?", (image.sha,))}
            fresh = [check for check in checks if check.class_name not in kept]
            db.executemany(PUT_CHECK, [check_row(check) for check in fresh])
            db.executemany(PUT_IMAGE, [image_values(image)])
            if unit is not None:
                db.execute("INSERT OR REPLACE INTO units VALUES(?, ?, ?, 0)", (image.sha, *unit))

    def labels(self, sha: str | None = None) -> list[Label]:
        """List every label, or those of one image, by id."""
        where, values = ("WHERE sha=?", (sha,)) if sha is not None else ("", ())
        rows = self.read(f"SELECT document, id FROM labels {where} ORDER BY id", values)
        return [read_label(*row) for row in rows]

    def label(self, label_id: str) -> Label:
        """Read one label; raises InputError where there is none of that id."""
        found = self.read("SELECT document, id FROM labels WHERE id=?", (label_id,))
        if not found:
            raise InputError(f"unknown label {label_id!r:.60}")
        return read_label(*found[0])

    def checks(self, sha: str | None = None) -> list[Check]:
        """List every check, or those of one image."""
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

    def _check_present(self) -> None:
        """Raise where the file was deleted or replaced: SQLite would go on in what nobody can open any more."""
        if _identity(self.path) != self._file:
            raise Sam3AgentError(f"the journal {self.path} is gone: it was deleted or replaced; start again")

    def _migrate(self) -> None:
        """Bring a journal of version 1 to this one, in one transaction; raises InputError for any other version."""
        known = self._version()
        if known == VERSION:
            return
        if known != "1":
            raise InputError(f"{self.path} has version {known or '?'}; this program reads 1 and {VERSION}")
        with self.writing() as db:
            if self._version() == VERSION:  # another process was faster
                return
            for table in ("labels", "checks"):
                db.execute(f"ALTER TABLE {table} ADD COLUMN decided_by TEXT NOT NULL DEFAULT 'rule'")
            labels = db.execute("SELECT document, id FROM labels").fetchall()
            db.executemany(PUT_LABEL, (label_row(read_label(*row)) for row in labels))
            checks = db.execute("SELECT document FROM checks").fetchall()
            db.executemany(PUT_CHECK, (check_row(read_check(row[0])) for row in checks))
            db.execute("UPDATE OR REPLACE units SET unit='detect' WHERE unit='eye'")
            db.execute("UPDATE OR REPLACE meta SET key='thresholds' WHERE key='lines'")
            name = self.meta("eye")
            if name is not None and self.meta("model") is None:
                db.execute("INSERT INTO meta VALUES('model', ?)", (json.dumps({"name": name}),))
            db.execute("DELETE FROM meta WHERE key='eye'")
            db.execute("UPDATE meta SET value=? WHERE key='version'", (VERSION,))

    def _version(self) -> str:
        found = self.read("SELECT value FROM meta WHERE key='version'")
        return str(found[0][0]) if found else ""


def _guard(db: sqlite3.Connection) -> None:
    """Let nothing in a stranger's file take more memory than any row needs, or call functions."""
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_ROW)
    db.execute("PRAGMA trusted_schema=OFF")


_BESIDE = ("", "-wal", "-shm", "-journal")
"""Ends of the names of the files of one SQLite database."""


def _identity(path: Path) -> tuple[int, int] | None:
    """Identify the file that a path names now, by device and number; None where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


@contextmanager
def _explained(path: Path) -> Generator[None]:
    """Turn whatever SQLite or the disk says into one clear line."""
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
