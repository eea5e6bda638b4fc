"""The tracking of one video: questions one after the other, their answers in one journal."""

import logging
import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sam3_agent import masks
from sam3_agent.errors import Busy, InputError
from sam3_agent.model.heap import HeapTrimmer
from sam3_agent.model.segmenter import Features
from sam3_agent.model.video_segmenter import Sighting, TrackMemory, TrackRequest
from sam3_agent.tracks import Track
from sam3_agent.video import Frame, Video
from sam3_agent.workspace.tracking.clicked_tracks import ClickedTracks, Pointing
from sam3_agent.workspace.tracking.edits import Edit, Kind, apply_edits
from sam3_agent.workspace.tracking.frame_tracks import ConceptTracks, FollowingSegmenter
from sam3_agent.workspace.tracking.journal import (
    Entry,
    FrameLine,
    Header,
    JournalWriter,
    keep_only,
    read_arrays,
    rewind,
    write_arrays,
)
from sam3_agent.workspace.tracking.progress import Pace, Progress
from sam3_agent.workspace.tracking.query import ObjectClick, TrackingQuery
from sam3_agent.workspace.tracking.track import TrackStore

_log = logging.getLogger(__name__)
JOURNAL = "tracks.jsonl"
CHECKPOINT_EVERY = 64
"""Frames between two checkpoints: what a killed run loses at most."""
REBUILT = 7
"""Frames from which the memory of a track is made again, to correct it later."""
Mode = Literal["delayed", "live"]


@dataclass(frozen=True, slots=True)
class FrameTracks:
    """The tracks of one frame, as they are told to whoever follows the run."""

    frame: int
    time: float
    """Seconds."""
    entries: tuple[Entry, ...]
    retracted: tuple[str, ...] = ()
    """Live only: tracks that were told of before and are none."""
    cut: bool = False
    progress: Progress | None = None
    """Of the run, which is ahead of this frame where answers are delayed."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """One way through the video."""

    frames: range
    concepts: bool
    """Whether concepts are looked for, beside objects that are pointed at."""
    pointings: Mapping[int, tuple[Pointing, ...]]
    """Frame -> objects that are pointed at there."""

    @property
    def reverse(self) -> bool:
        """Whether frames come in falling order."""
        return self.frames.step < 0


@dataclass(frozen=True, slots=True)
class _Place:
    """The place where a resumed run goes on."""

    number: int
    """Of the pass."""
    frame: int
    """The last frame that is done."""
    state: Mapping[str, Any]


class TrackingSession:
    """Tracks of one video under one model and one folder. One run at a time.

    Every question appends to the journal; an equal question to a folder in which it was answered is not answered again,
    and one that was cut off goes on where its last checkpoint is, to the same tracks.
    """

    def __init__(self, video: Video, segmenter: FollowingSegmenter, folder: Path) -> None:
        """Begin in a folder, or go on with what is in it.

        Raises:
            InputError: the folder holds the tracks of another video or another model.
        """
        self.video, self.folder = video, folder
        self._segmenter = segmenter
        info = video.info
        settings = {"model": segmenter.info.to_json(), "frames": info.frames}
        self._header = Header(info.name, info.width, info.height, "mixed", info.fps, settings)
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / JOURNAL
        found = rewind(self._path) if self._path.exists() and self._path.stat().st_size else None
        with JournalWriter(self._path, self._header):
            pass
        self._state: dict[str, Any] = dict(found[1]) if found else {"done": []}
        self._frame = found[0] if found else -1
        self._ahead = False
        """The journal has lines after the last checkpoint, of a run that broke off."""
        self._writing = threading.Lock()

    @property
    def store(self) -> TrackStore:
        """The tracks as they stand in the journal now."""
        return TrackStore(self._path)

    def tracks(self) -> tuple[Track, ...]:
        """All tracks with their masks."""
        return self.store.tracks()

    @property
    def nbytes(self) -> int:
        """Bytes of journal and checkpoints."""
        sizes: list[int] = []
        for path in self.folder.glob("*"):
            try:
                sizes.append(path.stat().st_size)
            except FileNotFoundError:  # a checkpoint that was replaced meanwhile
                continue
        return sum(sizes)

    @property
    def running(self) -> bool:
        """Whether a question is being answered."""
        return self._writing.locked()

    def edit(
        self, kind: Kind, track_id: str, ids: Sequence[str] = (), frame: int = -1, concept: str = ""
    ) -> tuple[Track, ...]:
        """Change tracks for good, see `Edit`; gives all tracks after it. A split gives the later part a new id.

        Raises:
            InputError: the edit lacks something, or a split has nothing on one of its sides.
            UnknownHandle: there is no such track (any more).
            Busy: the video is being tracked.
        """
        with self._alone():
            store = self.store
            new_id = f"t{store.next_number}" if kind == "split" else ""
            edit = Edit(kind, track_id, tuple(ids), frame, new_id, concept)
            edited = apply_edits(store.tracks(), [edit])
            with JournalWriter(self._path, self._header) as journal:
                journal.edit(edit)
                journal.sync()
            return edited

    def adopt(self, tracks: Sequence[Track]) -> None:
        """Take over tracks that were found elsewhere, under their ids, so that clicks can correct them here.

        Raises:
            Busy: the video is being tracked.
        """
        found: dict[int, list[Entry]] = {}
        for track in tracks:
            for frame in track.frames:
                found.setdefault(frame.index, []).append(Entry(track.id, track.concept, frame))
        times = self.video.info.times
        lines = [FrameLine(index, float(times[index]), tuple(entries)) for index, entries in sorted(found.items())]
        with self._alone(), JournalWriter(self._path, self._header) as journal:
            for line in lines[:-1]:
                journal.write(line)
            for line in lines[-1:]:  # with a checkpoint, so that a run that breaks off does not take them with it
                journal.write(replace(line, checkpoint=self._state))
                self.checkpoint(line.index, self._state)
            journal.sync()

    def answered(self, query: TrackingQuery) -> bool:
        """Whether an equal question was answered to its end."""
        return query.key in self._state["done"]

    def run(self, query: TrackingQuery, mode: Mode = "delayed") -> Iterator[FrameTracks]:
        """Answer a question, frame by frame; whoever stops early keeps what was told, and may go on later.

        Args:
            query: see there.
            mode: "delayed" tells a frame when the trial of its tracks is over; "live" tells it at once and retracts
                later what was none. Both leave the same tracks.

        Raises:
            InputError: frames are asked for that the video does not have, or a track to correct is unknown.
            ToolError: the model cannot follow objects.
            Busy: another question about this video is being answered.
        """
        if query.last >= self.video.info.frames:
            raise InputError(f"{self.video.info.name} has frames 0-{self.video.info.frames - 1}, not {query.last}")
        if self.answered(query):
            return iter(())
        if self.running:
            raise self._busy()
        lines = self._lines(query)
        return lines if mode == "live" else _delayed(lines, query.profile.delay)

    @contextmanager
    def _alone(self) -> Generator[None]:
        if not self._writing.acquire(blocking=False):
            raise self._busy()
        try:
            yield
        finally:
            self._writing.release()

    def _busy(self) -> Busy:
        return Busy(f"{self.video.info.name} is being tracked; wait until that has ended, or stop it")

    def _lines(self, query: TrackingQuery) -> Generator[FrameTracks]:
        with self._alone(), closing(self._run(query)) as lines:
            yield from lines

    def _run(self, query: TrackingQuery) -> Generator[FrameTracks]:
        resumed = self._resumed(query)
        store = self.store
        first_number = resumed.state["first_number"] if resumed else store.next_number
        ids, numbered = _numbered(query, first_number)
        pace: Pace | None = None
        marks: dict[str, masks.Rle] = dict[str, masks.Rle]()
        number = resumed.number if resumed else 0
        if resumed:
            marks = {i: masks.from_json(value) for i, value in resumed.state["marks"].items()}
        with JournalWriter(self._path, self._header) as journal:
            while number < 2:
                way = _passes(query, ids, marks)[number]
                if len(way.frames):
                    run = _Run(self, query, way, number, numbered, first_number, marks, journal)
                    run.begin(resumed if resumed and resumed.number == number else None, store, ids)
                    pace = pace or Pace(_total(query, ids), run.skipped)
                    with closing(run.frames()) as frames:
                        for told in frames:
                            yield replace(told, progress=pace.after(told.frame, run.alive))
                number += 1
                if resumed and resumed.number < number:
                    resumed = None
            self._finish(query, journal)

    def _resumed(self, query: TrackingQuery) -> _Place | None:
        state = self._state
        if state.get("key") != query.key:
            self._state = {"done": state["done"]}  # what is half done stays as it is; it is not gone on with any more
            return None
        if self._ahead:
            rewind(self._path)
        return _Place(int(state["pass"]), self._frame, state)

    def _finish(self, query: TrackingQuery, journal: JournalWriter) -> None:
        self._state = {"done": [*self._state["done"], query.key]}
        last = query.frames[-1]
        line = FrameLine(last, float(self.video.info.times[last]), cut=last in self.store.cuts, checkpoint=self._state)
        journal.write(line)
        journal.sync()
        self._frame = last
        keep_only(self.folder, "")

    def checkpoint(self, frame: int, state: dict[str, Any]) -> None:
        """Note where the run in progress could go on from."""
        self._frame, self._state = frame, state
        self._ahead = False

    def went_on(self) -> None:
        """Note that the journal has a line after the last checkpoint."""
        self._ahead = True

    @property
    def segmenter(self) -> FollowingSegmenter:
        """The model that looks."""
        return self._segmenter

    @property
    def done(self) -> list[str]:
        """Keys of the questions that were answered."""
        return list(self._state["done"])


class _Run:
    """One pass while it runs."""

    def __init__(
        self,
        session: TrackingSession,
        query: TrackingQuery,
        way: _Pass,
        number: int,
        numbered: int,
        first_number: int,
        marks: dict[str, masks.Rle],
        journal: JournalWriter,
    ) -> None:
        self._session, self._query, self._way, self._journal = session, query, way, journal
        self._number, self._first_number, self._marks = number, first_number, marks
        segmenter = session.segmenter
        self._concepts: ConceptTracks | None = None
        if way.concepts:
            self._concepts = ConceptTracks(
                segmenter, query.prompts, query.profile, reverse=way.reverse, first_number=numbered
            )
        self._clicked = ClickedTracks(segmenter, reverse=way.reverse)
        self._cuts = frozenset(session.store.cuts)
        self._left = way.frames
        self.skipped = 0

    @property
    def alive(self) -> int:
        """Tracks that are alive."""
        return len(self._clicked) + (len(self._concepts.alive) if self._concepts else 0)

    def begin(self, resumed: _Place | None, store: TrackStore, ids: Mapping[int, str]) -> None:
        """Take up what is remembered: of the run that was cut off, or of tracks that are to be corrected."""
        if resumed is None:
            if not self._way.reverse:
                self._remember_old(store, ids)
            return
        state = resumed.state
        arrays = read_arrays(self._session.folder, state["file"]) if state["file"] else {}
        if self._concepts and state["concepts"]:
            # ids that people gave meanwhile (by a split) are not given again
            self._concepts.restore(state["concepts"], arrays.get("concepts", {}), store.next_number)
        self._clicked.restore(state["clicked"], arrays.get("clicked", {}))
        place = self._way.frames.index(resumed.frame)
        self._left, self.skipped = self._way.frames[place + 1 :], place + 1

    def frames(self) -> Generator[FrameTracks]:
        """Every frame of the pass, written to the journal before it is told."""
        trimmer = HeapTrimmer()
        for done, frame in enumerate(self._session.video.frames(self._left), start=self.skipped + 1):
            told, line = self._frame(frame)
            if done % CHECKPOINT_EVERY == 0:
                line = replace(line, checkpoint=self._checkpoint(frame.index))
            self._journal.write(line)
            self._session.went_on()
            if line.checkpoint:
                self._session.checkpoint(frame.index, dict(line.checkpoint))
                keep_only(self._session.folder, str(line.checkpoint["file"]))
            trimmer.step()
            try:
                yield told
            except GeneratorExit:  # whoever follows has had enough: a later run goes on from this very frame
                self._pause(line)
                raise

    def _pause(self, line: FrameLine) -> None:
        state = self._checkpoint(line.index)
        self._journal.write(FrameLine(line.index, line.time, cut=line.cut, checkpoint=state))
        self._session.checkpoint(line.index, state)

    def _frame(self, frame: Frame) -> tuple[FrameTracks, FrameLine]:
        features = self._session.segmenter.encode(frame.image)
        entries: tuple[Entry, ...] = ()
        removed: tuple[str, ...] = ()
        cut = frame.index in self._cuts
        if self._concepts is not None:
            detect = self._query.detects(frame.index)
            found = self._concepts.step(frame.index, frame.image, features, detect=detect)
            entries, removed = found.entries, found.removed
            cut = cut or (found.cut and not self._way.reverse)  # backwards a scene ends here, it does not begin
        pointings = self._way.pointings.get(frame.index, ())
        clicked = self._clicked.step(frame.index, features, pointings)
        self._marks |= {
            entry.id: entry.frame.rle for entry in clicked if any(each.id == entry.id for each in pointings)
        }
        told = FrameTracks(frame.index, frame.time, (*entries, *clicked), removed, cut)
        return told, FrameLine(frame.index, frame.time, told.entries, removed, cut=cut)

    def _checkpoint(self, frame: int) -> dict[str, Any]:
        concepts, arrays = self._concepts.to_state() if self._concepts else (None, {})
        clicked, own = self._clicked.to_state()
        name = f"memory-{self._number}-{frame}.npz"
        write_arrays(self._session.folder, name, {"concepts": arrays, "clicked": own})
        return {
            "done": self._session.done,
            "key": self._query.key,
            "pass": self._number,
            "first_number": self._first_number,
            "marks": {track_id: rle.to_json() for track_id, rle in self._marks.items()},
            "concepts": concepts,
            "clicked": clicked,
            "file": name,
        }

    def _remember_old(self, store: TrackStore, ids: Mapping[int, str]) -> None:
        """Make the memories of tracks that are corrected again, from their last masks before the click."""
        for place, click in enumerate(self._query.clicks):
            if click.track_id is None or ids[place] != click.track_id:
                continue
            track = store.track(click.track_id)
            before = [seen for seen in track.visible if seen.index < click.frame]
            chosen = [*before[:1], *before[1:][-(REBUILT - 1) :]]
            memory: TrackMemory | None = None
            for rank, seen in enumerate(chosen):
                image = self._session.video.frame(seen.index).image
                memory = self._remembered(
                    self._session.segmenter.encode(image), seen.index, seen.rle, memory, rank == 0
                )
            if memory is not None:
                self._clicked.adopt(track.id, track.concept, memory)

    def _remembered(
        self, features: Features, index: int, rle: masks.Rle, memory: TrackMemory | None, given: bool
    ) -> TrackMemory:
        segmenter = self._session.segmenter
        (mask,) = segmenter.track(features, index, [TrackRequest(mask=rle)])
        return segmenter.remember(features, index, [Sighting(mask, memory, given)])[0]


def _numbered(query: TrackingQuery, first: int) -> tuple[dict[int, str], int]:
    """(place of a click -> track id, next number); a click that corrects no track begins one of its own."""
    ids: dict[int, str] = {}
    for place, click in enumerate(query.clicks):
        if click.track_id is not None:
            ids[place] = click.track_id
        else:
            ids[place], first = f"t{first}", first + 1
    return ids, first


def _passes(query: TrackingQuery, ids: Mapping[int, str], marks: Mapping[str, masks.Rle]) -> list[_Pass]:
    """The way forwards (or backwards, where concepts are asked so), then the other way for objects pointed at.

    A new object goes both ways from where it is pointed at; a correction of a track holds from there on.
    """
    clicks = sorted(enumerate(query.clicks), key=lambda pair: pair[1].frame)
    ahead: dict[int, list[Pointing]] = {}
    back: dict[int, list[Pointing]] = {}
    for place, click in clicks:
        name = ids[place]
        ahead.setdefault(click.frame, []).append(_pointing(name, click))
        if click.track_id is None and name in marks:
            back.setdefault(click.frame, []).append(Pointing(name, click.concept, mask=marks[name]))
    first = min(ahead, default=query.first)
    start = query.first if query.prompts and not query.reverse else first
    forwards = range(start, query.last + 1) if ahead or (query.prompts and not query.reverse) else range(0)
    latest = query.last if query.prompts and query.reverse else max(back, default=query.first)
    backwards = range(latest, query.first - 1, -1) if back or (query.prompts and query.reverse) else range(0)
    return [
        _Pass(forwards, bool(query.prompts) and not query.reverse, {k: tuple(v) for k, v in ahead.items()}),
        _Pass(backwards, bool(query.prompts) and query.reverse, {k: tuple(v) for k, v in back.items()}),
    ]


def _pointing(track_id: str, click: ObjectClick) -> Pointing:
    prompt = click.prompt
    if prompt.mask is not None and not prompt.points and prompt.box is None:
        return Pointing(track_id, click.concept, mask=prompt.mask)
    return Pointing(track_id, click.concept, prompt)


def _total(query: TrackingQuery, ids: Mapping[int, str]) -> int:
    assumed = {name: masks.empty(1, 1) for name in ids.values()}
    return sum(len(way.frames) for way in _passes(query, ids, assumed))


def _delayed(lines: Generator[FrameTracks], delay: int) -> Iterator[FrameTracks]:
    """Each frame when the trial of its tracks is over: without those that failed it, the others as confirmed."""
    held: deque[FrameTracks] = deque()
    gone: set[str] = set()
    with closing(lines):
        for line in lines:
            gone |= set(line.retracted)
            held.append(line)
            if len(held) > delay:
                yield _final(held.popleft(), gone, line.progress)
        while held:
            yield _final(held.popleft(), gone, None)


def _final(line: FrameTracks, gone: set[str], progress: Progress | None) -> FrameTracks:
    kept = tuple(
        replace(entry, frame=replace(entry.frame, state="confirmed")) if entry.frame.state == "provisional" else entry
        for entry in line.entries
        if entry.id not in gone
    )
    return replace(line, entries=kept, retracted=(), progress=progress)
