"""Videos of a run: their paths, contents and folders."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.formats.reading import open_regular
from sam3_agent.labeling.pipeline.scan import pictures_in, root_of
from sam3_agent.labeling.videos.video_journal import VideoJournal, VideoRow
from sam3_agent.video.containers import SUFFIXES

_MOST_NAME = 80
"""Characters of a folder's name."""


def videos_in(images: Path) -> list[Path]:
    """List every video under a folder, or the one file if it is one, in the order of their names; hidden ones left out.

    Animations (GIF, WebP) and folders of frames count as images.
    """
    if images.is_file():
        return [images] if is_video(images) else []
    found: list[Path] = []
    for folder, folders, names in os.walk(images):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(folder)
        found += [here / name for name in names if not name.startswith(".") and is_video(here / name)]
    return sorted(found, key=lambda path: path.relative_to(images).as_posix())


def has_images(images: Path) -> bool:
    """Tell whether a file is an image, or a folder has one anywhere below it."""
    if images.is_file():
        return not is_video(images)
    try:
        return bool(pictures_in(images))
    except InputError:
        return False


def is_video(path: Path) -> bool:
    """Tell whether a file is a video by its suffix."""
    return path.suffix.lower() in SUFFIXES


def scan_videos(images: Path, journal: VideoJournal) -> list[VideoRow]:
    """Enter every video under a folder (or the one file) into the journal; gives those of this folder now.

    A file is read again only where its size or time has changed; a changed one is pending, in a folder of its own.
    """
    known = {row.path: row for row in journal.videos()}
    taken = {row.folder for row in known.values()}
    rows: list[VideoRow] = []
    for path in videos_in(images):
        row = _read(root_of(images), path, known, taken)
        taken.add(row.folder)
        rows.append(row)
    journal.put_videos([row for row in rows if row != known.get(row.path)])
    return rows


def _read(root: Path, path: Path, known: Mapping[str, VideoRow], taken: set[str]) -> VideoRow:
    name = path.relative_to(root).as_posix()
    before = known.get(name)
    try:
        facts = path.stat()
        if before is not None and before.sha and (before.bytes, before.mtime) == (facts.st_size, facts.st_mtime_ns):
            return before
        with open_regular(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        folder = before.folder if before is not None else _folder_for(name, taken)
        return VideoRow(name, "", 0, 0, folder, "unreadable", error.strerror or str(error))
    except InputError as error:
        return VideoRow(name, "", 0, 0, _folder_for(name, taken), "unreadable", str(error))
    if before is not None and before.sha == digest:  # touched, not changed
        return replace(before, bytes=facts.st_size, mtime=facts.st_mtime_ns)
    return VideoRow(name, digest, facts.st_size, facts.st_mtime_ns, _folder_for(name, taken))


def _folder_for(name: str, taken: set[str]) -> str:
    """Name a folder after a video, unlike those that are taken."""
    stem = re.sub(r"[^\w.-]+", "-", name.rpartition(".")[0]).strip(".-")[:_MOST_NAME] or "video"
    tries = (stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3)))
    lower = {each.lower() for each in taken}
    return next(each for each in tries if each.lower() not in lower)
