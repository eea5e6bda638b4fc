"""Images of a run: their paths, contents and duplicates."""

import hashlib
import os
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from sam3_agent.errors import InputError
from sam3_agent.formats.reading import open_regular
from sam3_agent.labeling.store.documents import ImageRow, State, image_row
from sam3_agent.labeling.store.journal import IMAGE, Journal

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".ppm",
    ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpx", ".jpf", ".ico", ".avif", ".avifs", ".heic", ".heif", ".hif",
    ".jxl", ".exr", ".hdr", ".psd", ".dcm", ".svg",
)  # fmt: skip
"""Names that images have. Those that cannot be read are listed with what they are, and never passed over in silence."""
RAW = (
    ".cr2",
    ".cr3",
    ".crw",
    ".nef",
    ".nrw",
    ".arw",
    ".srf",
    ".sr2",
    ".dng",
    ".raf",
    ".orf",
    ".rw2",
    ".pef",
    ".raw",
    ".3fr",
)
"""Files of camera sensors: what opens as TIFF in them is a thumbnail."""
_NAMED = frozenset((*SUFFIXES, *RAW))
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II\x2a\x00", b"MM\x00\x2a")
_BATCH = 500
MOST_FILE = 4 * 2**30
"""Bytes; the largest image that can be opened has 1 GB of pixels, and hashing more than this takes minutes."""
_SHOWN = 8
"""Suffixes that a message names."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Files of a folder as a journal has them, in the order of their paths; read page by page, never held."""

    journal: Journal
    missing: frozenset[str]
    """Paths in the journal of files that are not there now."""
    state: State | None = None
    """Only the files in this state."""
    count: int = 0
    """Files, when the folder was looked through."""

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[ImageRow]:
        """Read as they are by then: a run changes them, and one snapshot kept open would let SQLite's log grow."""
        last = ""
        while page := self.journal.images_after(last, self.state, _BATCH):
            yield from (row for row in page if row.path not in self.missing)
            last = page[-1].path

    def of_state(self, state: State) -> "Scan":
        """Give the files in one state."""
        if not self.missing:
            ((count,),) = self.journal.read("SELECT COUNT(*) FROM images WHERE state=?", (state,))
            return replace(self, state=state, count=count)
        with closing(self.journal.rows("SELECT path FROM images WHERE state=?", (state,))) as rows:
            return replace(self, state=state, count=sum(path not in self.missing for (path,) in rows))


def scan(images: Path, journal: Journal) -> Scan:
    """Enter every image under a folder (or the one file) into the journal; gives the files of this folder now.

    A file is read again only where its size or time has changed. Of files with one content the one that is labeled
    already, else the first in order, is labeled; the others are its duplicates. Folder and journal are gone through
    side by side, so that a million files take no more memory than one folder of them.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    missing: set[str] = set()
    count = 0
    with closing(journal.rows(_KNOWN)) as known, _Batches(journal) as batches:
        for file, before in _side_by_side(_files_in(images), known):
            if file is None:
                missing.add(before[0])
                continue
            count += 1
            if before[1:] != file[2:] or file.bytes < 0:
                row = journal.file(file.name) if before else None
                now = _read(file, row)
                if now != row:
                    batches.add(now)
    found = Scan(journal, frozenset(missing), count=count)
    _settle_duplicates(found)
    return found


def root_of(images: Path) -> Path:
    """Give the folder that paths are relative to."""
    return images if images.is_dir() else images.parent


def pictures_in(images: Path) -> list[Path]:
    """List every image under a folder, or the one file, in the order of their names; hidden ones are left out.

    A file without a suffix is one where it begins as images do.

    Raises:
        InputError: there is none.
    """
    return [Path(file.path) for file in _files_in(images)]


class _File(NamedTuple):
    """File that may be an image."""

    name: str
    """Path relative to `root_of`, with forward slashes; as it can be shown where it is not UTF-8."""
    path: str
    """A text: a million of `Path`s take a minute to make."""
    bytes: int = -1
    """-1 where the file cannot be looked at."""
    mtime: int = 0
    """Nanoseconds."""


_KNOWN = """SELECT path, CASE sha WHEN '' THEN -2 ELSE bytes END, mtime FROM images
    WHERE typeof(path)='text' ORDER BY path"""
_Known = tuple[Any, ...]
"""A row of _KNOWN; empty where there is none."""


def _files_in(images: Path) -> Iterator[_File]:
    """Give the files of `pictures_in` in the order in which SQLite sorts their names, one folder held at a time."""
    if images.is_file():
        facts = images.stat()
        yield _File(images.name, str(images), facts.st_size, facts.st_mtime_ns)
        return
    if not images.is_dir():
        raise InputError(f"{images}: no such folder or image")
    found = False
    folders = [_listed(str(images), "")]
    while folders:
        if not folders[-1]:
            folders.pop()
            continue
        file = folders[-1].pop()
        if file.name.endswith("/"):
            folders.append(_listed(file.path, file.name))
        else:
            found = True
            yield file
    if not found:
        raise InputError(f"no images ({', '.join(SUFFIXES[:_SHOWN])}, ...) in {images}")


def _listed(folder: str, before: str) -> list[_File]:
    """List what is in a folder, last first; folders end in "/", and stand where their files' paths sort."""
    listed: list[_File] = []
    try:
        # A folder's own number spares the way to it for each of its files.
        with _number_of(folder) as number, os.scandir(number) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                shown, path = before + (name if name.isascii() else _shown(name)), f"{folder}/{name}"
                if _is_folder(entry):
                    if not entry.is_symlink():  # it may lead back up
                        listed.append(_File(f"{shown}/", path))
                elif name[name.rfind(".") :].lower() in _NAMED or ("." not in name and _begins_as_images_do(path)):
                    listed.append(_File(shown, path, *_facts(entry)))
    except OSError:  # a folder that cannot be opened has no images for us
        return []
    listed.sort(reverse=True)
    return listed


@contextmanager
def _number_of(folder: str) -> Generator[int]:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield number
    finally:
        os.close(number)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def _facts(entry: "os.DirEntry[str]") -> tuple[int, int]:
    """Give the size and time of a file, as _File has them."""
    try:
        facts = entry.stat()
    except OSError:
        return -1, 0
    return facts.st_size, facts.st_mtime_ns


def _side_by_side(files: Iterator[_File], known: Iterator[_Known]) -> Iterator[tuple[_File | None, _Known]]:
    """Give each file with its row of the journal, both in the order of paths; either may be without the other."""
    row = next(known, ())
    for file in files:
        while row and row[0] < file.name:
            yield None, row
            row = next(known, ())
        if row and row[0] == file.name:
            yield file, row
            row = next(known, ())
        else:
            yield file, ()
    while row:
        yield None, row
        row = next(known, ())


class _Batches:
    """Rows on their way into the journal, some hundred in one transaction."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows: list[ImageRow] = []

    def __enter__(self) -> "_Batches":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._write()

    def add(self, row: ImageRow) -> None:
        """Take a row."""
        self._rows.append(row)
        if len(self._rows) >= _BATCH:
            self._write()

    def _write(self) -> None:
        if self._rows:
            self._journal.put_images(self._rows)
            self._rows = []


def _settle_duplicates(found: Scan) -> None:
    """Say of files with one content which is labeled, and which are its duplicates."""
    several = "SELECT sha FROM images WHERE sha!='' GROUP BY sha HAVING COUNT(*)>1"
    again = "SELECT sha FROM images WHERE state='duplicate'"  # what one was a duplicate of may be gone
    query = f"SELECT {IMAGE} FROM images WHERE sha IN ({several} UNION {again}) ORDER BY sha, path"
    with closing(found.journal.rows(query)) as rows, _Batches(found.journal) as batches:
        for _, same in groupby((row for row in rows if row[0] not in found.missing), key=lambda row: row[1]):
            files = [image_row(values) for values in same]
            owner = next((row for row in files if row.state == "done"), files[0])
            for row in files:
                if (now := _with_owner(row, owner.path)) != row:
                    batches.add(now)


def is_image_name(name: str) -> bool:
    """Tell whether a file may be an image by its name: it ends as images do, or has no suffix; hidden ones are none."""
    last = name.rpartition("/")[2].lower()
    _, dot, suffix = last.rpartition(".")
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and (not dot or f".{suffix}" in _NAMED)


def _begins_as_images_do(path: str) -> bool:
    try:
        with open_regular(Path(path)) as file:
            return file.read(8).startswith(_MAGIC)
    except OSError:
        return False


def _shown(name: str) -> str:
    """Give a name as it can be written; one that is not UTF-8 with escapes."""
    return name if _is_utf8(name) else os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(file: _File, before: ImageRow | None) -> ImageRow:
    """Give a file that is new or has been touched as it is now: as known before, pending, or unreadable."""
    name = file.name
    if not _is_utf8(file.path):  # nothing that is written, journal or export, could name it
        return ImageRow(name, "", 0, 0, "unreadable", "its name is not UTF-8: rename it")
    if name.lower().endswith(RAW):
        return ImageRow(name, "", 0, 0, "unreadable", "a raw file of a camera: develop it to JPEG or PNG")
    try:
        path = Path(file.path)
        facts = path.stat()
        if facts.st_size > MOST_FILE:
            return ImageRow(name, "", 0, 0, "unreadable", f"{facts.st_size} bytes are too many for an image")
        digest = _digest(path)
    except OSError as error:
        return ImageRow(name, "", 0, 0, "unreadable", error.strerror or str(error))
    if before is not None and before.sha == digest:  # touched, not changed
        return replace(before, bytes=facts.st_size, mtime=facts.st_mtime_ns)
    return ImageRow(name, digest, facts.st_size, facts.st_mtime_ns, "pending")


def _with_owner(row: ImageRow, owner: str) -> ImageRow:
    if not row.sha or (owner == row.path and row.state != "duplicate"):
        return row
    if owner == row.path:  # what it was a duplicate of is gone
        return replace(row, state="pending", reason="")
    return replace(row, state="duplicate", reason=owner)


def _digest(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
