"""Corrections of tracks by clicks: a mask on one frame, then the tracker from there on, in the background."""

import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import pydantic

from sam3_agent import masks
from sam3_agent.errors import Busy, InputError, Sam3AgentError
from sam3_agent.formats.files import write_json
from sam3_agent.labeling.review.track_review import TrackReview
from sam3_agent.masks import Box, Rle
from sam3_agent.tracks import Track, TrackFrame
from sam3_agent.types import ClickPrompt
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.tracking.decisions import Decision
from sam3_agent.workspace.tracking.progress import Progress
from sam3_agent.workspace.tracking.query import ObjectClick, TrackingQuery
from sam3_agent.workspace.tracking.session import FrameTracks

FOLDER = "corrections"
REQUEST = "request.json"
MOST_SKETCHES = 20
"""Masks of clicks that can still be followed: more than anybody draws before following one."""
NEAR = 0.25
"""Share of a box by which it is grown to tell whether a click is about the object in it."""
State = Literal["idle", "loading", "tracking", "cut off"]
Ending = Literal["keep", "discard", "leave"]
"""Make a decision of it, throw it away, or leave it to be gone on with."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """The mask of clicks on one frame."""

    name: str
    track_id: str
    frame: int
    rle: Rle
    score: float


@dataclass(slots=True)
class CorrectionProgress:
    """Progress of a correction; one at a time."""

    state: State = "idle"
    """"cut off": a program that was killed left it half done."""
    track_id: str = ""
    frame: int = -1
    """From which on it is corrected."""
    done: int = 0
    total: int = 0
    fps: float = 0.0
    seconds_left: float = 0.0
    error: str = ""
    """Of the last one that failed."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for the page."""
        left = self.seconds_left if self.seconds_left < 1e9 else None
        return {
            "state": self.state, "id": self.track_id, "frame": self.frame, "done": self.done, "total": self.total,
            "fps": round(self.fps, 2), "left": left, "error": self.error,
        }  # fmt: skip


class _Request(pydantic.BaseModel):
    """Correction that was begun, as its folder keeps it."""

    id: str
    concept: str
    frame: int
    last: int
    mask: dict[str, Any]


@dataclass(slots=True)
class _Running:
    request: _Request
    folder: Path
    thread: threading.Thread | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    ending: Ending = "keep"
    resumed: bool = False


class TrackCorrector:
    """Corrector of tracks; the model is loaded when it is first needed. Thread-safe.

    Each correction has a folder of its own beside the tracks, in which the tracker keeps its journal; it becomes a
    decision when it ends, and one that was cut off goes on from its last checkpoint.
    """

    def __init__(self, review: TrackReview, load: Callable[[], Workspace]) -> None:
        """Find out whether a correction was cut off; nothing is loaded."""
        self._review, self._load = review, load
        self._workspace: Workspace | None = None
        self._video_id = ""
        self._lock = threading.RLock()
        self._loading = threading.Lock()
        self._sketches: OrderedDict[str, Sketch] = OrderedDict()
        self._drawn = 0
        self._running: _Running | None = None
        self.progress = CorrectionProgress()
        self._find_cut_off()

    def sketch(
        self, track_id: str, frame: int, points: Sequence[tuple[float, float]], labels: Sequence[bool]
    ) -> Sketch:
        """Segment the object under the clicks on a frame, for a person to look at.

        Clicks near the track's mask mend it; clicks elsewhere say that the object is there.

        Raises:
            ToolError: the model knows no clicks, or a point lies outside the frame.
        """
        track = self._review.get(track_id).track
        workspace = self._opened()
        there = track.at(frame)
        box = there.box if there is not None and there.visible and _are_near(there.box, points, labels) else None
        image_id = f"{self._video_id}@{frame}"
        found = workspace.segment_at(image_id, points=points, labels=labels, box=box)
        if not found.instances:
            raise InputError("nothing was found under the clicks; add a point on the object, or one beside it")
        best = found.instances[0]
        with self._lock:
            self._drawn += 1
            made = Sketch(f"s{self._drawn}", track_id, frame, best.rle, best.score)
            self._sketches[made.name] = made
            while len(self._sketches) > MOST_SKETCHES:
                self._sketches.popitem(last=False)
        return made

    def start(self, name: str) -> None:
        """Follow the object of a sketch to the end of the tracked frames, in a thread.

        Raises:
            InputError: the sketch is too long ago, or its track is gone.
            Busy: a correction is running, or waits to be gone on with.
        """
        with self._lock:
            if name not in self._sketches:
                raise InputError(f"the mask {name!r:.20} is no longer there; click again")
            self._refuse_another()
            sketch = self._sketches[name]
            track = self._review.get(sketch.track_id).track
            request = _Request(
                id=track.id, concept=track.concept, frame=sketch.frame, last=self._review.span[-1],
                mask=sketch.rle.to_json(),
            )  # fmt: skip
            folder = self._new_folder()
            write_json(folder / REQUEST, request.model_dump(mode="json"))
            self._begin(_Running(request, folder))

    def resume(self) -> None:
        """Go on with a correction that was cut off.

        Raises:
            InputError: there is none.
        """
        with self._lock:
            if self._running is None or self.progress.state != "cut off":
                raise InputError("no correction was cut off")
            self._begin(self._running)

    def stop(self, *, keep: bool) -> None:
        """End the correction: keep it up to the frame that it has come to, or throw it away.

        Raises:
            InputError: none is running.
        """
        with self._lock:
            running = self._running
            if running is None:
                raise InputError("no correction is running")
            if running.thread is None and keep:
                raise InputError("that correction was cut off: go on with it first, or throw it away")
            running.ending = "keep" if keep else "discard"
            running.stopping.set()
            if running.thread is None:
                self._end(running)
                return
        running.thread.join()

    def close(self) -> None:
        """End the program's part of a correction; what is done stays, to be gone on with."""
        running = self._running
        if running is not None and running.thread is not None:
            running.ending = "leave"
            running.stopping.set()
            running.thread.join()

    @property
    def is_loaded(self) -> bool:
        """Whether the model is there."""
        return self._workspace is not None

    @property
    def busy_with(self) -> str:
        """The track that is being corrected; "" for none."""
        return self.progress.track_id if self.progress.state != "idle" else ""

    def _refuse_another(self) -> None:
        if self._running is not None:
            raise Busy(f"the correction of {self._running.request.id} comes first: wait for it, or stop it")

    def _begin(self, running: _Running) -> None:
        request = running.request
        total = request.last - request.frame + 1
        self._running = running
        self.progress = CorrectionProgress("loading", request.id, request.frame, 0, total)
        running.thread = threading.Thread(target=self._work, args=(running,), daemon=True)
        running.thread.start()

    def _work(self, running: _Running) -> None:
        """Run in the thread: load, follow, decide."""
        error = ""
        try:
            last = self._follow(running)
            if running.ending == "keep" and last >= running.request.frame:
                self._decide(running, last)
        except (Sam3AgentError, OSError) as problem:
            error = str(problem)
            if running.resumed or self.progress.done:
                running.ending = "leave"
        with self._lock:
            self._end(running)
            self.progress.error = error

    def _end(self, running: _Running) -> None:
        """Put a correction away, and delete what it left unless that is a decision or is to be gone on with."""
        request = running.request
        if running.ending == "leave":
            self._running = _Running(request, running.folder, resumed=True)
            self.progress = _cut_off(request)
            return
        if f"{FOLDER}/{running.folder.name}" not in self._review.folders_given:
            shutil.rmtree(running.folder, ignore_errors=True)
        self._running = None
        self.progress = CorrectionProgress()

    def _follow(self, running: _Running) -> int:
        """Track to the end or until it is stopped; gives the last frame that was done."""
        request = running.request
        workspace = self._opened()
        session = workspace.video_store.session(self._video_id, running.folder)
        if session.store.frames == 0:
            session.adopt([self._before(request)])
        click = ObjectClick(request.frame, ClickPrompt(mask=masks.from_json(request.mask)), request.id, request.concept)
        query = TrackingQuery((), (click,), request.frame, request.last)
        if session.answered(query):  # killed just before it became a decision
            return request.last
        done = request.frame - 1
        if running.stopping.is_set():  # while the model was loading
            return done
        self.progress.state = "tracking"
        lines = cast("Generator[FrameTracks]", session.run(query, "live"))
        with closing(lines):  # ends with a checkpoint where it stops early
            for told in lines:
                done = told.frame
                self._note(told.progress)
                if running.stopping.is_set():
                    break
        return done

    def _note(self, progress: Progress | None) -> None:
        if progress is not None:
            now = self.progress
            now.done, now.fps, now.seconds_left = progress.done, progress.fps, progress.seconds_left

    def _before(self, request: _Request) -> Track:
        """The track up to the click, by which the tracker remembers it."""
        track = self._review.get(request.id).track
        frames = tuple(frame for frame in track.frames if frame.index < request.frame)
        if not frames:
            info = self._review.video.info
            nowhere = masks.empty(info.height, info.width)
            frames = (TrackFrame(request.frame, nowhere, (0.0, 0.0, 0.0, 0.0), 0.0, "left"),)
        return replace(track, first=frames[0].index, last=frames[-1].index, frames=frames)

    def _decide(self, running: _Running, last: int) -> None:
        request = running.request
        self._review.keep(
            Decision("correct", request.id, frame=request.frame, last=last, folder=f"{FOLDER}/{running.folder.name}")
        )

    def _opened(self) -> Workspace:
        """The workspace with the video open in it; the model is loaded for that, once."""
        with self._loading:
            if self._workspace is None:
                self._workspace = self._load()
            if not self._video_id:
                self._video_id = self._workspace.video_store.add(self._review.video).id
            return self._workspace

    def _new_folder(self) -> Path:
        home = self._review.folder / FOLDER
        if home.is_symlink():
            raise InputError(f"{home} is a link; remove it, and corrections are kept in a folder of that name")
        number = 1
        while (folder := home / str(number)).exists() or f"{FOLDER}/{number}" in self._review.folders_given:
            number += 1
        folder.mkdir(parents=True)
        return folder

    def _find_cut_off(self) -> None:
        """Take up the correction that a killed program left; what else it left is deleted."""
        home = self._review.folder / FOLDER
        decided = self._review.folders_given
        for folder in sorted(home.iterdir()) if home.is_dir() and not home.is_symlink() else ():
            if f"{FOLDER}/{folder.name}" in decided or not folder.name.isdecimal() or folder.is_symlink():
                continue
            try:
                request = _Request.model_validate_json((folder / REQUEST).read_bytes())
                self._review.get(request.id)
                masks.from_json(request.mask)
            except (OSError, pydantic.ValidationError, Sam3AgentError):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            self._running = _Running(request, folder, resumed=True)
            self.progress = _cut_off(request)


def _cut_off(request: _Request) -> CorrectionProgress:
    return CorrectionProgress("cut off", request.id, request.frame, 0, request.last - request.frame + 1)


def _are_near(box: Box, points: Sequence[tuple[float, float]], labels: Sequence[bool]) -> bool:
    """Whether every positive click is on the object in a box, or just beside it."""
    x0, y0, x1, y1 = box
    dx, dy = (x1 - x0) * NEAR, (y1 - y0) * NEAR
    return all(
        x0 - dx <= x <= x1 + dx and y0 - dy <= y <= y1 + dy
        for (x, y), positive in zip(points, labels, strict=True)
        if positive
    )
