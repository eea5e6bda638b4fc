"""Words and JSON of tracks, for the terminal."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam3_agent import masks
from sam3_agent.cli.output import model_words, print_line, print_notes
from sam3_agent.cli.track_files import Written
from sam3_agent.tracks import Track, TrackFrame, VideoHandle
from sam3_agent.types import ModelInfo
from sam3_agent.workspace.tracking import Clock, measure_tracks, timeline
from sam3_agent.workspace.tracking.journal import Entry
from sam3_agent.workspace.tracking.session import FrameTracks


@dataclass(frozen=True, slots=True)
class TrackReport:
    """Tracks of one video, and how they came about."""

    source: str
    handle: VideoHandle
    info: ModelInfo
    concepts: tuple[str, ...]
    clock: Clock
    """Of the frames that were asked for."""
    tracks: tuple[Track, ...]
    cuts: tuple[int, ...]
    seconds: float
    done: int
    """Frames that were looked at in this call; none where all was answered before."""
    stopped: int | None = None
    """The last frame before Ctrl-C."""
    folder: Path | None = None
    written: tuple[Written, ...] = ()
    live: bool = False
    rejected: int = 0
    """Tracks that a person rejected, which are not among the others."""

    def to_json(self) -> dict[str, Any]:
        """The public JSON of `track` (docs/video.md); without masks where every frame was told already."""
        video = {key: value for key, value in self.handle.to_json().items() if key != "id"}
        return {
            "video": video | {"source": self.source},
            "model": self.info.to_json(),
            "concepts": list(self.concepts),
            "frames": [self.clock.start, self.clock.last],
            "ended": "complete" if self.stopped is None else "stopped",
            "counts": self.counts,
            "tracks": [track_json(track, self.clock, frames=not self.live) for track in self.tracks],
            "cuts": list(self.cuts),
            "left_out": {"rejected": self.rejected},
            "out": None if self.folder is None else str(self.folder),
            "files": {each.form: str(each.path) for each in self.written},
            "notes": [note for each in self.written for note in each.notes],
            "seconds": {"total": round(self.seconds, 3), "frames": self.done},
        }

    @property
    def counts(self) -> dict[str, int]:
        """Concept -> number of tracks, concepts without any included."""
        found = Counter(track.concept for track in self.tracks)
        return {concept: found[concept] for concept in dict.fromkeys((*self.concepts, *found))}

    def line(self) -> str:
        """Say it in one line: how many of each concept."""
        found = ", ".join(f"{name}: {count or 'nothing'}" for name, count in self.counts.items())
        return f"{self.source}  {self.handle.width}x{self.handle.height}  {self.handle.frames} frames  {found}"

    def print(self, out: Path | None) -> None:
        """Print a line a track for a person."""
        handle = self.handle
        size, length = f"{handle.width}x{handle.height}", f"{handle.frames} frames, {handle.duration:.1f} s"
        print_line(f"{self.source}  {size}  {length}  {model_words(self.info)}")
        for motion in measure_tracks(self.tracks, self.clock):
            print_line(timeline(motion))
        for name, count in self.counts.items():
            if not count:
                print_line(f"{name}: nothing")
        if self.rejected:
            print_line(f"left out: {self.rejected} rejected by a person (decisions.jsonl)")
        if self.cuts:
            print_line(f"hard cuts: a new scene begins with frame {', '.join(map(str, self.cuts))}")
        rate = f" ({self.done / self.seconds:.1f} a second)" if self.done else ""
        print_line(f"{self.done} frames looked at in {self.seconds:.1f} s{rate}")
        for each in self.written:
            print_line(each.words())
            for note in each.notes:
                print_line(f"note: {each.form}: {note}")
        if self.folder is None:
            print_line("for the masks add --json, for files and an overlay video --out DIR")
        print_notes(self.info)


def track_json(track: Track, clock: Clock, *, frames: bool) -> dict[str, Any]:
    """One track, with an entry for every frame in which it is visible."""
    visible = track.visible
    document: dict[str, Any] = {
        "id": track.id,
        "concept": track.concept,
        "first": visible[0].index if visible else track.first,
        "last": visible[-1].index if visible else track.last,
        "state": track.state,
        "score": round(track.score, 4),
        "visible": len(visible),
    }
    if frames:
        document["frames"] = [_frame_json(seen) | {"time": round(clock.time(seen.index), 4)} for seen in visible]
    return document


def _frame_json(seen: TrackFrame) -> dict[str, Any]:
    return {
        "frame": seen.index,
        "score": round(seen.score, 4),
        "detection": None if seen.detection is None else round(seen.detection, 4),
        "state": seen.state,
        "box": [round(value, 2) for value in seen.box],
        "area": masks.area(seen.rle),
        "mask": seen.rle.to_json(),
    }


def told_json(source: str, told: FrameTracks) -> dict[str, Any]:
    """One frame of a live run."""
    return {
        "video": source,
        "frame": told.frame,
        "time": round(told.time, 4),
        "tracks": [{"id": each.id, "concept": each.concept} | _entry_json(each) for each in told.entries],
        "retracted": list(told.retracted),
        "cut": told.cut,
    }


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {key: value for key, value in _frame_json(entry.frame).items() if key != "frame"}


class Events:
    """Comings and goings, as lines for a person."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._seen: set[str] = set()

    def of(self, told: FrameTracks) -> Iterator[str]:
        """Lines about one frame."""
        at = f"frame {told.frame}  {told.time:.2f} s "
        if told.cut:
            yield f"{at} a new scene"
        now = {entry.id: entry for entry in told.entries if entry.frame.visible}
        for track_id, entry in now.items():
            if track_id not in self._known:
                yield f"{at} {track_id} {entry.concept} appears ({entry.frame.score:.2f})"
            elif track_id not in self._seen:
                yield f"{at} {track_id} {entry.concept} is back"
        for track_id in sorted(self._seen - now.keys() - set(told.retracted)):
            yield f"{at} {track_id} is gone"
        for track_id in told.retracted:
            yield f"{at} {track_id} was none: nothing confirmed it"
        self._known |= now.keys()
        self._seen = set(now)
