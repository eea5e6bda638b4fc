"""The journal of a tracked video: one JSON line a frame, flushed, so that kill -9 loses at most the line being written.

The first line is the header. A frame line carries every track of that frame with mask, box, scores and state; a later
line for the same frame replaces the tracks that it names. Edits by people are lines too, so that nothing is ever
rewritten. The file is the memory of a long video: what is held beside it are offsets.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.json_lines import drop_torn_line, whole_lines
from sam3_agent.formats.reading import parse_json
from sam3_agent.tracks import TrackFrame
from sam3_agent.workspace.tracking.edits import Edit

VERSION = 1
MOST_LINE = 1 << 28
"""Bytes of one line: a thousand masks of a 4K frame have about 20 MB, and the checkpoint of a tracker less."""


@dataclass(frozen=True, slots=True)
class Header:
    """The video and the settings that a journal is about; it may only be continued under equal ones."""

    source: str
    width: int
    height: int
    profile: str
    fps: float = 0.0
    """0 where it is not known."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Whatever else decides the tracks: model, concepts, thresholds."""

    def to_json(self) -> dict[str, Any]:
        """The first line."""
        return {
            "journal": VERSION, "source": self.source, "width": self.width, "height": self.height, "fps": self.fps,
            "profile": self.profile, "settings": dict(self.settings),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One track in a frame line."""

    id: str
    concept: str
    frame: TrackFrame


@dataclass(frozen=True, slots=True)
class FrameLine:
    """Everything that is said of one frame."""

    index: int
    time: float
    """Seconds from the beginning, by the container's timestamps."""
    entries: tuple[Entry, ...] = ()
    removed: tuple[str, ...] = ()
    """Tracks to retract from all frames: they failed their trial."""
    gone: tuple[str, ...] = ()
    """Tracks that an earlier line for this frame named and that are not in it after all."""
    cut: bool = False
    """A new scene begins here."""
    checkpoint: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """State that a resumed run starts from, such as the counters of `Lifetimes`; empty in most frames."""

    def to_json(self) -> dict[str, Any]:
        """One line."""
        document: dict[str, Any] = {"frame": self.index, "time": round(self.time, 6)}
        document["tracks"] = [_entry_json(entry) for entry in self.entries]
        document |= {key: list(ids) for key, ids in (("removed", self.removed), ("gone", self.gone)) if ids}
        document |= {"cut": True} if self.cut else {}
        return document | ({"checkpoint": dict(self.checkpoint)} if self.checkpoint else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any], size: tuple[int, int]) -> "FrameLine":
        """Read what `to_json` wrote; `size` is (height, width) of the video."""
        index = int(value["frame"])
        return cls(
            index,
            float(value["time"]),
            tuple(_entry(index, entry, size) for entry in value["tracks"]),
            tuple(value.get("removed", ())),
            tuple(value.get("gone", ())),
            bool(value.get("cut", False)),
            value.get("checkpoint", {}),
        )


class JournalWriter:
    """Appends to a journal; every line is with the system before a call returns."""

    def __init__(self, path: Path, header: Header) -> None:
        """Begin a journal, or continue one of the same video and settings; a torn last line is cut off first.

        Raises:
            InputError: the file is another video's or of other settings, or is no journal.
        """
        self.path, self.header = path, header
        path.parent.mkdir(parents=True, exist_ok=True)
        known = _continue(path)
        if known is not None and known != json.loads(json.dumps(header.to_json())):
            different = [key for key, value in header.to_json().items() if known.get(key) != value]
            raise InputError(f"{path} was tracked with other settings ({', '.join(different)}); give another folder")
        self._file: BinaryIO = path.open("ab")
        if known is None:
            self._append(header.to_json())

    def write(self, line: FrameLine) -> None:
        """Append one frame."""
        self._append(line.to_json())

    def edit(self, edit: Edit) -> None:
        """Append one edit."""
        self._append(edit.to_json())

    def sync(self) -> None:
        """Force everything onto the disk, so that a power cut loses nothing either."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "JournalWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, value: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
        self._file.flush()


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(offset in the file, document) of every whole line; a torn last line is left out.

    Raises:
        InputError: there is no such file, or a line that is not the last is broken.
    """
    if not path.is_file():
        raise InputError(f"{path}: no journal of tracks here")
    offset = 0
    for number, line in enumerate(whole_lines(path, MOST_LINE), start=1):
        document = parse_json(line, f"{path}:{number}: broken line", finite=True)
        if not isinstance(document, dict):
            raise InputError(f"{path}:{number}: not a line of a journal")
        yield offset, document
        offset += len(line)


def read_header(path: Path, document: Mapping[str, Any]) -> Header:
    """The header in the first line of a journal; raises InputError where it is none."""
    if document.get("journal") != VERSION:
        raise InputError(f"{path}: not a journal of tracks of this version ({VERSION})")
    try:
        return Header(
            str(document["source"]), int(document["width"]), int(document["height"]), str(document["profile"]),
            float(document["fps"]), document["settings"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: the header of the journal is broken ({error!r})") from error


def rewind(path: Path) -> tuple[int, dict[str, Any]] | None:
    """Cut a journal after its last checkpoint, which is where a resumed run goes on; gives (frame, state) of it.

    None, with nothing but the header left, where there is no checkpoint yet. Edits are kept, wherever they stand.

    Raises:
        InputError: there is no journal, or it is broken.
    """
    found: tuple[int, dict[str, Any]] | None = None
    edits: list[bytes] = []
    keep = end = 0
    for offset, document in read_lines(path):
        if offset == 0 or document.get("checkpoint"):
            keep, edits = -1, []  # to the end of this line, which is where the next one begins
            found = (int(document["frame"]), document["checkpoint"]) if offset else None
        elif keep < 0:
            keep = offset
        if "edit" in document:
            edits.append(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
    end = path.stat().st_size if keep < 0 else keep
    with path.open("rb+") as file:
        file.truncate(end)
        file.seek(0, os.SEEK_END)
        file.writelines(edits)
    return found


def _continue(path: Path) -> dict[str, Any] | None:
    """Drop a torn last line; the header's document, None where nothing whole is there."""
    if not drop_torn_line(path):
        return None
    _, document = next(read_lines(path))
    read_header(path, document)
    return document


def _entry_json(entry: Entry) -> dict[str, Any]:
    frame = entry.frame
    return {
        "id": entry.id, "concept": entry.concept, "state": frame.state, "score": round(frame.score, 6),
        "detection": None if frame.detection is None else round(frame.detection, 6),
        "box": [round(v, 2) for v in frame.box], "mask": frame.rle.counts,
    }  # fmt: skip


def _entry(index: int, value: Mapping[str, Any], size: tuple[int, int]) -> Entry:
    rle = masks.from_json({"size": list(size), "counts": value["mask"]})  # a file may have been changed by hand
    x0, y0, x1, y1 = value["box"]
    frame = TrackFrame(index, rle, (x0, y0, x1, y1), value["score"], value["state"], value["detection"])
    return Entry(value["id"], value["concept"], frame)


Arrays = Mapping[str, Mapping[str, NDArray[Any]]]
"""Track id -> name -> array."""


def write_arrays(folder: Path, name: str, groups: Mapping[str, Arrays]) -> str:
    """Write arrays of several groups of tracks into one file, aside and then in place; gives the file's name."""
    flat = {
        f"{group}|{track_id}|{key}": array
        for group, tracks in groups.items()
        for track_id, arrays in tracks.items()
        for key, array in arrays.items()
    }
    part = folder / f"{name}.part"
    with part.open("wb") as file:
        np.savez(file, **flat)  # pyright: ignore[reportArgumentType]
    part.replace(folder / name)
    return name


def read_arrays(folder: Path, name: str) -> dict[str, dict[str, dict[str, NDArray[Any]]]]:
    """Read what `write_arrays` wrote.

    Raises:
        InputError: the file is gone or broken.
    """
    groups: dict[str, dict[str, dict[str, NDArray[Any]]]] = {}
    try:
        with np.load(folder / name) as held:
            for key in held.files:
                group, track_id, own = key.split("|")
                groups.setdefault(group, {}).setdefault(track_id, {})[own] = held[key]
    except (OSError, ValueError, BadZipFile) as error:
        raise InputError(
            f"{folder / name}: the checkpoint cannot be read ({error}); track into a new folder"
        ) from error
    return groups


def keep_only(folder: Path, name: str) -> None:
    """Delete the checkpoints of a folder but one; "" keeps none."""
    for path in folder.glob("memory-*.npz"):
        if path.name != name:
            path.unlink(missing_ok=True)
