"""Images of a run: their paths, contents and duplicates."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.formats.reading import open_regular
from sam3_agent.labeling.store.journal import ImageRow, Journal

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
_NAMED = (*SUFFIXES, *RAW)
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II\x2a\x00", b"MM\x00\x2a")
_BATCH = 500
MOST_FILE = 4 * 2**30
"""Bytes; the largest image that can be opened has 1 GB of pixels, and hashing more than this takes minutes."""
_SHOWN = 8
"""Suffixes that a message names."""


def scan(images: Path, journal: Journal) -> list[ImageRow]:
    """Enter every image under a folder (or the one file) into the journal; gives the files of this folder now.

    A file is read again only where its size or time has changed. Of files with one content the one that is labeled
    already, else the first in order, is labeled; the others are its duplicates.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    known = {row.path: row for row in journal.images()}
    root = root_of(images)
    read = [_unchanged(root, name, known) or _read(root, name, known) for name in _names_in(images)]
    owners: dict[str, str] = {}
    for row in sorted(read, key=lambda row: row.state != "done"):  # stable: in order of paths, the done ones first
        owners.setdefault(row.sha, row.path)
    found = [_with_owner(row, owners[row.sha]) for row in read]
    fresh = [row for row in found if row is not known.get(row.path) and row != known.get(row.path)]
    for start in range(0, len(fresh), _BATCH):
        journal.put_images(fresh[start : start + _BATCH])
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
    root = root_of(images)
    return [root / name for name in _names_in(images)]


def _names_in(images: Path) -> list[str]:
    """Give the paths of `pictures_in` relative to `root_of`; texts, as a million of paths take minutes to make."""
    if images.is_file():
        return [images.name]
    if not images.is_dir():
        raise InputError(f"{images}: no such folder or image")
    found: list[str] = []
    for folder, folders, names in os.walk(images):
        folders[:] = [name for name in folders if not name.startswith(".")]
        before = "" if Path(folder) == images else f"{Path(folder).relative_to(images).as_posix()}/"
        found += [before + name for name in names if not name.startswith(".") and _is_image(folder, name)]
    if not found:
        raise InputError(f"no images ({', '.join(SUFFIXES[:_SHOWN])}, ...) in {images}")
    return sorted(found)


def is_image_name(name: str) -> bool:
    """Tell whether a file may be an image by its name: it ends as images do, or has no suffix; hidden ones are none."""
    last = name.rpartition("/")[2].lower()
    return not any(part.startswith(".") for part in name.split("/")) and (last.endswith(_NAMED) or "." not in last)


def _is_image(folder: str, name: str) -> bool:
    if name.lower().endswith(_NAMED):
        return True
    if "." in name:
        return False
    try:
        with open_regular(Path(folder, name)) as file:
            return file.read(8).startswith(_MAGIC)
    except OSError:
        return False


def _unchanged(root: Path, name: str, known: Mapping[str, ImageRow]) -> ImageRow | None:
    """Give the file as the journal knows it if it has not changed since, by its size and time; None otherwise."""
    before = known.get(name)
    if before is None or not before.sha:
        return None
    try:
        facts = os.stat(f"{root}/{name}")  # noqa: PTH116 - a path of texts is made in a tenth of the time
    except OSError:
        return None
    return before if (before.bytes, before.mtime) == (facts.st_size, facts.st_mtime_ns) else None


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(root: Path, name: str, known: Mapping[str, ImageRow]) -> ImageRow:
    """Give a file that is new or has been touched as it is now: as known before, pending, or unreadable."""
    if not _is_utf8(name):  # nothing that is written, journal or export, could name it
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        return ImageRow(shown, "", 0, 0, "unreadable", "its name is not UTF-8: rename it")
    before = known.get(name)
    if name.lower().endswith(RAW):
        return ImageRow(name, "", 0, 0, "unreadable", "a raw file of a camera: develop it to JPEG or PNG")
    try:
        path = root / name
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
