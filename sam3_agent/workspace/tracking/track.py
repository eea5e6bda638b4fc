"""Tracks out of a journal: an index in memory, the masks in the file."""

import json
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sam3_agent.errors import InputError, UnknownHandle
from sam3_agent.tracks import Track, TrackFrame, TrackState
from sam3_agent.workspace.tracking.decisions import read_decisions
from sam3_agent.workspace.tracking.edits import Edit, apply_edits, joined
from sam3_agent.workspace.tracking.journal import FrameLine, Header, read_header, read_lines


@dataclass(slots=True)
class _Known:
    concept: str
    score: float
    first: int
    last: int
    state: TrackState


class TrackStore:
    """The tracks of a journal; holds a few numbers a line and one summary a track, whatever the masks weigh.

    It sees what was in the file when it was opened, or last refreshed; retracted tracks are not in it.
    """

    def __init__(self, path: Path) -> None:
        """Read a journal once.

        Raises:
            InputError: there is none, or it is broken; the message names the line.
        """
        self.path = path
        self._offsets = array("Q")
        self._edits: list[tuple[int, Edit]] = []
        """With the number of frame lines before each."""
        self._removed: set[str] = set()
        self._known: dict[str, _Known] = {}
        self._given: set[str] = set()
        self._times: dict[int, float] = {}
        self._cuts: set[int] = set()
        self._checkpoint: tuple[int, dict[str, Any]] | None = None
        self.header = self._scan()

    @property
    def frames(self) -> int:
        """Number of frames that have a line."""
        return len(self._times)

    @property
    def first_frame(self) -> int | None:
        """The lowest frame that has a line; None where there is none."""
        return min(self._times) if self._times else None

    @property
    def last_frame(self) -> int | None:
        """The highest frame that has a line; None where there is none."""
        return max(self._times) if self._times else None

    @property
    def cuts(self) -> tuple[int, ...]:
        """The frames with which a new scene begins."""
        return tuple(sorted(self._cuts))

    @property
    def checkpoint(self) -> tuple[int, dict[str, Any]] | None:
        """(frame, state) of the last line that carries one."""
        return self._checkpoint

    @property
    def next_number(self) -> int:
        """The first number that no id has had, retracted and merged ones included, and those that reviewers gave."""
        numbers = [int(track_id[1:]) for track_id in self._given if track_id[:1] == "t" and track_id[1:].isdigit()]
        return max(numbers, default=0) + 1

    def time(self, index: int) -> float:
        """Seconds of a frame; raises InputError where it has no line."""
        if index not in self._times:
            raise InputError(f"frame {index} has not been tracked")
        return self._times[index]

    def lines(self) -> Iterator[FrameLine]:
        """Every frame line in the order of the file, retractions and edits not applied; one in memory at a time."""
        size = (self.header.height, self.header.width)
        with self.path.open("rb") as file:
            for offset in self._offsets:
                yield self._line(file, offset, size)

    def tracks(self) -> tuple[Track, ...]:
        """Every track with its masks, edits applied, in the order in which they were found.

        An edit is about what stands before it in the file; lines after it say what is so now (an object was corrected).
        Merged tracks stay one in them, dropped ones stay dropped, labels stay.
        """
        return self._replayed() if self._edits else self._load(set(self._known))

    def track(self, track_id: str) -> Track:
        """One track with its masks, edits applied.

        Raises:
            UnknownHandle: there is no such track (any more).
        """
        if not self._edits and track_id in self._known:
            return next(iter(self._load({track_id})))
        found = {track.id: track for track in (self.tracks() if self._edits else ())}
        if track_id not in found:
            raise UnknownHandle("track id", track_id, found or self._known)
        return found[track_id]

    def summaries(self) -> tuple[Track, ...]:
        """Every track without its frames, edits not applied: cheap, reads nothing."""
        return tuple(
            Track(track_id, known.concept, known.first, known.last, known.state, known.score)
            for track_id, known in self._known.items()
        )

    def refresh(self) -> None:
        """Take in what was appended to the journal since."""
        self.__init__(self.path)

    def _scan(self) -> Header:
        lines = read_lines(self.path)
        _, first = next(lines, (0, dict[str, Any]()))
        header = read_header(self.path, first)
        size = (header.height, header.width)
        for number, (offset, document) in enumerate(lines, start=2):
            try:
                self._take(offset, document, size)
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{self.path}:{number}: broken line ({error!r})") from error
        for track_id in self._removed:
            self._known.pop(track_id, None)
        self._given |= read_decisions(self.path.parent).given
        return header

    def _take(self, offset: int, document: dict[str, Any], size: tuple[int, int]) -> None:
        if "edit" in document:
            edit = Edit.from_json(document)
            self._edits.append((len(self._offsets), edit))
            self._given |= {edit.new_id} - {""}
            return
        line = FrameLine.from_json(document, size)
        self._offsets.append(offset)
        self._times[line.index] = line.time
        (self._cuts.add if line.cut else self._cuts.discard)(line.index)
        if line.checkpoint:
            self._checkpoint = (line.index, dict(line.checkpoint))
        self._removed |= set(line.removed)
        for entry in line.entries:
            self._given.add(entry.id)
            known = self._known.get(entry.id)
            if known is None:
                frame = entry.frame
                self._known[entry.id] = _Known(entry.concept, frame.score, line.index, line.index, frame.state)
                continue
            known.concept, known.first = entry.concept, min(known.first, line.index)
            if line.index >= known.last:
                known.last, known.state = line.index, entry.frame.state

    def _load(self, wanted: set[str]) -> tuple[Track, ...]:
        frames: dict[str, dict[int, TrackFrame]] = {track_id: {} for track_id in self._known if track_id in wanted}
        for line in self.lines():
            for track_id in line.gone:
                if track_id in frames:
                    frames[track_id].pop(line.index, None)
            for entry in line.entries:
                if entry.id in frames:
                    frames[entry.id][line.index] = entry.frame
        made = {track.id: track for track in self.summaries()}
        return tuple(_with_frames(made[track_id], found) for track_id, found in frames.items() if found)

    def _replayed(self) -> tuple[Track, ...]:
        """All tracks by lines and edits in the order of the file."""
        replay = _Replay({track.id: track for track in self.summaries()})
        edits = list(reversed(self._edits))
        for number, line in enumerate(self.lines()):
            while edits and edits[-1][0] <= number:
                replay.edit(edits.pop()[1])
            replay.take(line)
        for _, edit in reversed(edits):
            replay.edit(edit)
        return replay.tracks()

    def _line(self, file: Any, offset: int, size: tuple[int, int]) -> FrameLine:
        file.seek(offset)
        return FrameLine.from_json(json.loads(file.readline()), size)


class _Replay:
    """Tracks as they become by lines and edits."""

    def __init__(self, summaries: Mapping[str, Track]) -> None:
        """Begin with tracks that have no frames yet; entries of others are of retracted ones."""
        self._summaries = dict(summaries)
        self._frames: dict[str, dict[int, TrackFrame]] = {}
        self._now: dict[str, str] = {}
        """Id -> the track that it has become part of; "" for one that was dropped."""

    def take(self, line: FrameLine) -> None:
        """Take in a line: what it names is so now, in its frame."""
        found: dict[str, TrackFrame] = {}
        for track_id in line.gone:
            self._frames.get(track_id, {}).pop(line.index, None)
        for entry in line.entries:
            now = self._id(entry.id)
            if now and entry.id in self._summaries:
                found[now] = joined(found[now], entry.frame) if now in found else entry.frame
        for track_id, frame in found.items():
            self._frames.setdefault(track_id, {})[line.index] = frame

    def edit(self, edit: Edit) -> None:
        """Apply an edit to what is there now; what it is about may also come later, or never."""
        named = [i for i in dict.fromkeys((edit.id, *edit.ids, edit.new_id)) if self._frames.get(i)]
        before = [_with_frames(self._summaries[i], self._frames[i]) for i in named]
        for track in before:
            del self._frames[track.id]
        for track in apply_edits(before, [edit], strict=False):
            self._frames[track.id] = {frame.index: frame for frame in track.frames}
            self._summaries[track.id] = replace(track, frames=())
        if edit.kind == "drop":
            self._now[edit.id] = ""
        if edit.kind == "merge" and edit.id in self._summaries:
            self._now |= dict.fromkeys(edit.ids, edit.id)
        if edit.kind == "relabel" and edit.id in self._summaries:
            self._summaries[edit.id] = replace(self._summaries[edit.id], concept=edit.concept)

    def tracks(self) -> tuple[Track, ...]:
        """The tracks that have a frame, in the order in which they were found."""
        order = [i for i in self._summaries if self._frames.get(i)]
        return tuple(_with_frames(self._summaries[i], self._frames[i]) for i in order)

    def _id(self, track_id: str) -> str:
        while track_id in self._now:
            track_id = self._now[track_id]
        return track_id


def _with_frames(summary: Track, found: dict[int, TrackFrame]) -> Track:
    frames = tuple(found[index] for index in sorted(found))
    return replace(summary, first=frames[0].index, last=frames[-1].index, state=frames[-1].state, frames=frames)
