"""Videos and tracks in the journal of a labeling run, beside its images and labels.

A video is finished by one transaction that writes its tracks, every mask of them, and its state. Until then its frames
are in the journal of its own folder (`FOLDER/videos/NAME`, as `track --out` makes it), from which a run that was killed
goes on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, Field

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.reading import parse_json
from sam3_agent.labeling.ontology.ontology import Thresholds
from sam3_agent.labeling.store.documents import MOST_SIDE, MOST_TEXT, label_json, label_of, relative_path
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.label import ROUTES
from sam3_agent.labeling.videos.track_label import TrackLabel, routed
from sam3_agent.tracks import Track, TrackFrame, TrackState

VideoState = Literal["pending", "done", "unreadable"]
STATES: tuple[VideoState, ...] = ("done", "pending", "unreadable")
FOLDER = "videos"
"""Folder of a run that has one for each of its videos."""
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS videos(path TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS tracks(id TEXT PRIMARY KEY, sha TEXT NOT NULL, class TEXT NOT NULL, "
    "route TEXT NOT NULL, document TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS tracks_by_video ON tracks(sha, class, route)",
)
_PUT_VIDEO = "INSERT OR REPLACE INTO videos VALUES(?, ?)"
_PUT_TRACK = "INSERT OR REPLACE INTO tracks VALUES(?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class VideoRow:
    """Row of one video of a run."""

    path: str
    """Relative to the folder of images, with forward slashes."""
    sha: str
    """SHA-256 of the file; "" where it could not be read."""
    bytes: int
    mtime: int
    """Nanoseconds."""
    folder: str
    """Name of its folder in FOLDER."""
    state: VideoState = "pending"
    reason: str = ""
    """Reason why it is unreadable."""
    width: int = 0
    height: int = 0
    frames: int = 0
    fps: float = 0.0
    seconds: float = 0.0
    """Of work on it."""

    def to_json(self) -> dict[str, Any]:
        """Give it in plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


def _inside(path: str) -> str:
    try:
        return relative_path(path)
    except InputError as error:
        raise ValueError(str(error)) from error  # the only kind that pydantic takes for a complaint


def _one_name(path: str) -> str:
    if "/" in _inside(path):
        raise ValueError("a folder of a video is one name")
    return path


class _Checked(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(allow_inf_nan=False, extra="ignore")


class _VideoRow(_Checked):
    path: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_inside)]
    sha: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]*$")]
    bytes: Annotated[int, Field(ge=0)]
    mtime: int
    folder: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_one_name)]
    state: VideoState
    reason: Annotated[str, Field(max_length=MOST_TEXT)]
    width: Annotated[int, Field(ge=0, le=MOST_SIDE)]
    height: Annotated[int, Field(ge=0, le=MOST_SIDE)]
    frames: Annotated[int, Field(ge=0)]
    fps: Annotated[float, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0)]


class _Frame(_Checked):
    frame: Annotated[int, Field(ge=0)]
    state: TrackState
    score: float
    detection: float | None
    mask: str


class _Track(_Checked):
    id: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+$")]
    concept: Annotated[str, Field(max_length=MOST_TEXT)]
    state: TrackState
    score: float
    first: Annotated[int, Field(ge=0)]
    last: Annotated[int, Field(ge=0)]
    size: tuple[int, int]
    frames: list[_Frame]


class VideoJournal:
    """Videos and tracks of one journal. Safe to call from several threads."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def prepare(self) -> None:
        """Make the tables where they are not there yet."""
        with self.journal.writing() as db:
            for statement in _SCHEMA:
                db.execute(statement)

    def videos(self, state: VideoState | None = None) -> list[VideoRow]:
        """List the videos of the run in the order of their paths."""
        if not self._exists():
            return []
        rows = [_video_row(*row) for row in self.journal.read("SELECT path, document FROM videos ORDER BY path")]
        return [row for row in rows if state in (None, row.state)]

    def put_videos(self, rows: Sequence[VideoRow]) -> None:
        """Add videos, or say anew what they are."""
        with self.journal.writing() as db:
            db.executemany(_PUT_VIDEO, [_video_values(row) for row in rows])
            # tracks of a video that has changed since
            db.execute("DELETE FROM tracks WHERE sha NOT IN (SELECT document->>'$.sha' FROM videos)")

    def finish(self, row: VideoRow, labels: Sequence[TrackLabel]) -> None:
        """Write a video with its tracks as one step."""
        with self.journal.writing() as db:
            db.execute("DELETE FROM tracks WHERE sha=?", (row.sha,))
            db.executemany(_PUT_TRACK, map(_track_values, labels))
            db.execute(_PUT_VIDEO, _video_values(row))

    def labels(self, sha: str | None = None) -> list[TrackLabel]:
        """List the tracks of a video, or of all, in the order in which they were found."""
        if not self._exists():
            return []
        where, values = ("WHERE sha=?", (sha,)) if sha is not None else ("", ())
        rows = self.journal.read(f"SELECT id, document FROM tracks {where}", values)
        return sorted((_track_label(*row) for row in rows), key=lambda each: (each.label.sha, _number(each.track.id)))

    def route_anew(self, thresholds: Mapping[str, Thresholds]) -> None:
        """Route every track by these thresholds; nothing is looked at again."""
        before = self.labels()
        after = routed(before, thresholds)
        with self.journal.writing() as db:
            changed = [new for old, new in zip(before, after, strict=True) if old != new]
            db.executemany(_PUT_TRACK, map(_track_values, changed))

    def counts(self) -> dict[str, dict[str, int]]:
        """Class -> route -> tracks."""
        found: dict[str, dict[str, int]] = {}
        if self._exists():
            for name, route, count in self.journal.read("SELECT class, route, COUNT(*) FROM tracks GROUP BY 1, 2"):
                found.setdefault(name, dict.fromkeys(ROUTES, 0))[route] = count
        return found

    def _exists(self) -> bool:
        return bool(self.journal.read("SELECT 1 FROM sqlite_master WHERE name='videos'"))


def _video_values(row: VideoRow) -> tuple[str, str]:
    return row.path, json.dumps(row.to_json(), ensure_ascii=False)


def _video_row(path: str, document: str) -> VideoRow:
    try:
        return VideoRow(**_VideoRow.model_validate(parse_json(document, "row")).__dict__)
    except (pydantic.ValidationError, InputError) as error:
        raise InputError(f"the journal holds a damaged video {path!r:.120}: {_first_line(error)}") from error


def _track_values(each: TrackLabel) -> tuple[str, str, str, str, str]:
    label, track = each.label, each.track
    height, width = label.rle.size
    frames = [
        {"frame": f.index, "state": f.state, "score": f.score, "detection": f.detection, "mask": f.rle.counts}
        for f in track.frames
    ]
    own = {
        "id": track.id, "concept": track.concept, "state": track.state, "score": track.score, "first": track.first,
        "last": track.last, "size": [height, width], "frames": frames,
    }  # fmt: skip
    document = json.dumps({"label": label_json(label), "track": own}, separators=(",", ":"), ensure_ascii=False)
    return label.id, label.sha, label.class_name, label.route, document


def _track_label(label_id: str, document: str) -> TrackLabel:
    try:
        value = parse_json(document, "document")
        read = _Track.model_validate(value["track"])
        frames = tuple(_frame(frame, read.size) for frame in read.frames)
        track = Track(read.id, read.concept, read.first, read.last, read.state, read.score, frames)
        return TrackLabel(label_of(value["label"]), track)
    except (pydantic.ValidationError, InputError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"the journal holds a damaged track {label_id!r:.60}: {_first_line(error)}") from error


def _frame(read: _Frame, size: tuple[int, int]) -> TrackFrame:
    rle = masks.from_json({"size": list(size), "counts": read.mask})
    return TrackFrame(read.frame, rle, masks.box(rle), read.score, read.state, read.detection)


def _number(track_id: str) -> tuple[int, str]:
    digits = track_id.removeprefix("t")
    return (int(digits) if digits.isdecimal() else 0, track_id)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
