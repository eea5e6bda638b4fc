"""Files that `sam3-agent track` leaves in a folder: the journal, the question it answers, exports and an overlay."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from sam3_agent.cli.images import Images
from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing, write_json
from sam3_agent.formats.video import FORMATS, export_tracks
from sam3_agent.formats.video.track_set import TrackSet
from sam3_agent.render.track_overlay import TrackMark, draw_tracks
from sam3_agent.tracks import Track
from sam3_agent.video import Video, write_video

OVERLAY = "overlay"
USUAL = (OVERLAY, "ytvis")
"""Formats that are written where none is named."""
QUESTIONS = "questions.json"


@dataclass(frozen=True, slots=True)
class Written:
    """One format that was written."""

    form: str
    path: Path
    """A file, or a folder of them."""
    files: int
    notes: tuple[str, ...] = ()

    def words(self) -> str:
        """Name and place, for a person."""
        return f"{self.form}: {self.path}" + (f" ({self.files} files)" if self.files > 1 else "")


def parse_formats(texts: Sequence[str], out: Path | None) -> tuple[str, ...]:
    """Formats by name, several in one text apart by commas, "all" for all; a usage error for an unknown one."""
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    known = (OVERLAY, *FORMATS)
    unknown = next((name for name in names if name not in (*known, "all")), None)
    if unknown is not None:
        raise _bad(f"{unknown!r} is none of {', '.join(known)}, all", "--format")
    if names and out is None:
        raise _bad("give --out DIR as well, a folder for the files", "--format")
    return known if "all" in names else tuple(dict.fromkeys(names)) or USUAL


def choose_folders(videos: Images, out: Path | None) -> dict[str, Path]:
    """Choose the folder of each video before any work: `out` itself for one, a folder in it for each of many.

    Raises:
        typer.BadParameter: it is a file, or something that is written there is an input or holds one.
    """
    if out is None:
        return {}
    if out.exists() and not out.is_dir():
        raise _bad(f"'{out}' is a file: name a folder", "--out")
    folders: dict[str, Path] = {}
    for number, source in enumerate(videos.sources):
        name = Path(source).name if Path(source).is_dir() else Path(source).stem
        folder = out / (name or f"video-{number}") if videos.many else out
        folders[source] = folder.with_name(f"{folder.name}-{number}") if folder in folders.values() else folder
    for folder in folders.values():
        for source in videos.sources:
            _check_apart(folder, Path(source.removeprefix("file://")).expanduser().absolute())
    return folders


def _check_apart(folder: Path, source: Path) -> None:
    """Refuse a folder in which something that is written would be the input or would hold it."""
    here = Path(os.path.realpath(folder))
    real = Path(os.path.realpath(source))
    written = {here / name for name in (*FORMATS, f"{OVERLAY}.mp4", f"{OVERLAY}.webm", "tracks.jsonl", QUESTIONS)}
    if real == here or real in written or any(parent in written for parent in real.parents):
        raise _bad(f"'{folder}' is where the input {source.name} lies: a command overwrites nothing it reads", "--out")


def note_question(folder: Path, question: dict[str, Any], *, done: bool = False) -> None:
    """Note in a folder what is asked, or that it was answered to its end.

    A folder holds several questions as long as each is about other concepts and the one before it was answered.

    Raises:
        InputError: the folder holds another question that is not answered yet, or the same concepts under other
            settings, which would track the same objects again.
    """
    path = folder / QUESTIONS
    known: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    for one in known:
        asked, whole = one["question"], one["done"]
        if asked == question:
            continue
        if not whole:
            raise InputError(
                f"{folder} holds a question that is not answered yet ({_words(asked)}): give that command again first,"
                " or another --out"
            )
        twice = sorted({*asked["concepts"]} & {*question["concepts"]})
        if twice:
            raise InputError(
                f"{folder} holds the tracks of {', '.join(map(repr, twice))} under other settings ({_words(asked)}):"
                " give another --out"
            )
    if question not in [one["question"] for one in known] or done:
        others = [one for one in known if one["question"] != question]
        write_json(path, [*others, {"question": question, "done": done}], indent=1)


def _words(question: dict[str, Any]) -> str:
    first, last = question["frames"]
    asked = [*question["concepts"], *(f"--at {click}" for click in question["at"])]
    return f"{', '.join(asked)}, frames {first}-{last}, stride {question['stride']}, {question['profile']}"


def track_set(
    source: str,
    size: tuple[int, int, int],
    tracks: Sequence[Track],
    concepts: Sequence[str],
    fps: float,
    names: tuple[str, ...] = (),
) -> TrackSet:
    """The tracks of a video for the writers of formats, named after its file.

    Args:
        source: path of the video.
        size: width, height, frames.
        tracks: those that are written.
        concepts: all that were looked for.
        fps: mean rate.
        names: file names of the frames where the video is a folder.
    """
    path = Path(source)
    name = (path.name if path.is_dir() else path.stem) or "video"
    found = {track.concept for track in tracks}
    absent = tuple(concept for concept in concepts if concept not in found)
    return TrackSet(name, *size, tuple(tracks), fps, names, absent, path.name)


def is_unfinished(folder: Path) -> bool:
    """Whether a folder holds a question that was not answered to its end; raises as `concepts_asked`."""
    return any(not one["done"] for one in _questions(folder))


def concepts_asked(folder: Path) -> tuple[str, ...]:
    """Concepts of all questions that a folder holds; raises InputError where the file of them is broken."""
    return tuple(dict.fromkeys(concept for one in _questions(folder) for concept in one["concepts"]))


def _questions(folder: Path) -> list[dict[str, Any]]:
    """[{"done", "concepts"}] of a folder."""
    path = folder / QUESTIONS
    try:
        known: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        return [
            {"done": bool(one["done"]), "concepts": [str(concept) for concept in one["question"]["concepts"]]}
            for one in known
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error!r})") from error


def write_files(video: Video, tracks: TrackSet, span: range, forms: Iterable[str], folder: Path) -> list[Written]:
    """Write each format into a folder of its name, the overlay of the frames in `span` as one file."""
    return [
        write_overlay(video, tracks, span, folder) if form == OVERLAY else write_format(tracks, form, folder / form)
        for form in forms
    ]


def write_format(tracks: TrackSet, form: str, out: Path) -> Written:
    """Write one format of tracks into a folder."""
    notes = export_tracks(tracks, form, out)
    files = [path for path in out.rglob("*") if path.is_file()]
    return Written(form, files[0] if len(files) == 1 else out, len(files), tuple(notes))


def write_overlay(video: Video, tracks: TrackSet, span: range, folder: Path) -> Written:
    """H.264 in MP4; VP9 in WebM where only OpenCV is there, at one rate."""
    timed = find_spec("av") is not None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{OVERLAY}{'.mp4' if timed else '.webm'}"
    times = video.info.times[span.start : span.stop]
    with replacing(path) as temporary:
        write_video(temporary, _drawn(video, tracks, span), fps=video.info.fps, times=times if timed else None)
    return Written(OVERLAY, path, 1)


def _drawn(video: Video, tracks: TrackSet, span: range) -> Iterator[NDArray[np.uint8]]:
    numbers = {track.id: number for number, track in enumerate(tracks.tracks, 1)}
    numbers |= {i: int(i[1:]) for i in numbers if i[1:].isdecimal()}
    for frame in video.frames(span):
        seen = [(track, track.at(frame.index)) for track in tracks.tracks]
        marks = [
            TrackMark(numbers[track.id], f"{track.id} {track.concept}", entry.rle, entry.box)
            for track, entry in seen
            if entry is not None and entry.visible
        ]
        yield draw_tracks(frame.image, marks)


def _bad(sentence: str, option: str) -> typer.BadParameter:
    return typer.BadParameter(sentence, param_hint=repr(option))
