"""Open videos by id, each with the tracks that were found in it."""

import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import Busy, InputError, ToolError, UnknownHandle
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.model.video_segmenter import VideoSegmenter
from sam3_agent.tracks import Track, VideoHandle
from sam3_agent.types import Concept, ConceptPrompt, Exemplar, ExemplarTokens
from sam3_agent.video import Video
from sam3_agent.workspace.concepts import Concepts, joined
from sam3_agent.workspace.prompts import distinct_prompts
from sam3_agent.workspace.tracking.edits import Kind
from sam3_agent.workspace.tracking.frame_tracks import FollowingSegmenter
from sam3_agent.workspace.tracking.measure import Clock
from sam3_agent.workspace.tracking.profiles import Profile, profile_for
from sam3_agent.workspace.tracking.query import AskedConcept, ExampledConcept, ObjectClick, TrackingQuery
from sam3_agent.workspace.tracking.session import FrameTracks, TrackingSession

FRAME = "@"
"""Between a video's id and the index of a frame, as in "v1@120"."""
BY_EXAMPLE = "example"
"""Name of tracks that were asked for by example boxes alone."""
AskedFor = str | ConceptPrompt | ExampledConcept


class TrackOptions(TypedDict, total=False):
    """Keyword arguments of `Workspace.follow`, for those who pass them on."""

    clicks: Sequence[ObjectClick]
    frames: tuple[int, int] | None
    stride: int
    reverse: bool
    live: bool
    profile: Profile | None
    folder: Path | None


@dataclass(slots=True, weakref_slot=True, eq=False)
class _Open:
    handle: VideoHandle
    video: Video
    session: TrackingSession | None = None
    tidy: Callable[[], object] | None = None
    """Deletes the folder of tracks that nobody asked to keep; runs by itself when the video is no longer open."""
    running: threading.Lock = field(default_factory=threading.Lock)


class Videos:
    """Open videos; ids count up and are never used again. Safe to call from several threads."""

    def __init__(self, segmenter: Segmenter, suffix: str = "") -> None:
        """`suffix` ends every id."""
        self._segmenter = segmenter
        self._suffix = suffix
        self._open: dict[str, _Open] = {}
        self._opened = 0
        self._lock = threading.Lock()

    def add(self, video: Video) -> VideoHandle:
        """Give a video its id."""
        info = video.info
        with self._lock:
            self._opened += 1
            name = f"v{self._opened}{self._suffix}"
            handle = VideoHandle(name, info.name, info.frames, info.fps, info.width, info.height, info.duration)
            self._open[name] = _Open(handle, video)
            return handle

    def handle(self, video_id: str) -> VideoHandle:
        """An open video's facts; raises UnknownHandle."""
        return self._get(video_id).handle

    def video(self, video_id: str) -> Video:
        """An open video, to read frames of; raises UnknownHandle."""
        return self._get(video_id).video

    def frame(self, image_id: str) -> NDArray[np.uint8] | None:
        """The (H, W, 3) RGB pixels of a frame by its image id, such as "v1@120"; None where the id is of another form.

        Raises:
            UnknownHandle: no such video.
            InputError: the video has no such frame, or the id is that of a video.
        """
        named = frame_of(image_id)
        if named is None and image_id in self._open:
            last = len(self.video(image_id)) - 1
            raise InputError(f"{image_id} is a video; name one of its frames, {image_id}{FRAME}0 to {FRAME}{last}")
        return None if named is None else self.video(named[0]).frame(named[1]).image

    def all(self) -> list[VideoHandle]:
        """All open videos, oldest first."""
        with self._lock:
            return [each.handle for each in self._open.values()]

    def session(self, video_id: str, folder: Path | None = None) -> TrackingSession:
        """The tracking of a video: that in `folder`, or where none is given the one that is open, or a new one.

        Raises:
            UnknownHandle: no such video.
            ToolError: the model cannot follow objects.
            InputError: the folder holds the tracks of another video or model.
        """
        held = self._get(video_id)
        with held.running:
            if held.session is not None and folder in (None, held.session.folder):
                return held.session
            if folder is None:
                folder = Path(tempfile.mkdtemp(prefix="sam3-tracks-"))
                held.tidy = weakref.finalize(held, shutil.rmtree, folder, ignore_errors=True)
            held.session = TrackingSession(held.video, self._follows(), folder)
            return held.session

    def tracks(self, video_id: str) -> tuple[Track, ...]:
        """All tracks with their masks; none where nothing was tracked. Raises UnknownHandle."""
        session = self._get(video_id).session
        return session.tracks() if session is not None else ()

    def clock(self, video_id: str) -> Clock:
        """Times of the frames that were tracked, of all where none was yet. Raises UnknownHandle."""
        held = self._get(video_id)
        info, store = held.video.info, held.session.store if held.session is not None else None
        first, last = (store.first_frame, store.last_frame) if store is not None else (None, None)
        first, last = first or 0, info.frames - 1 if last is None else last
        times = tuple(float(time) for time in info.times[first : last + 1])
        return Clock(info.width, info.height, last - first + 1, info.fps, first, times)

    @property
    def nbytes(self) -> int:
        """Bytes on disk of the tracks of all open videos."""
        with self._lock:
            sessions = [each.session for each in self._open.values() if each.session is not None]
        return sum(session.nbytes for session in sessions)

    def is_running(self, video_id: str) -> bool:
        """Whether the video is being tracked; raises UnknownHandle."""
        session = self._get(video_id).session
        return session is not None and session.running

    def edit(
        self, video_id: str, kind: Kind, track_id: str, ids: Sequence[str] = (), frame: int = -1, concept: str = ""
    ) -> tuple[Track, ...]:
        """Change tracks for good; see `TrackingSession.edit`.

        Raises:
            UnknownHandle: there is no such video or track.
            InputError: the edit lacks something.
            Busy: the video is being tracked.
        """
        self._refuse_running(video_id)
        return self.session(video_id).edit(kind, track_id, ids, frame, concept)

    def follow(
        self, video_id: str, concepts: Sequence[AskedFor], known: Concepts, **options: Unpack[TrackOptions]
    ) -> Iterator[FrameTracks]:
        """Answer `Workspace.follow`; `known` are learned concepts."""
        self._refuse_running(video_id)
        video, session = self.video(video_id), self.session(video_id, options.get("folder"))
        asked = asked_concepts(concepts, known, lambda frame, boxes: self._tokens(video, frame, boxes))
        first, last = options.get("frames") or (0, len(video) - 1)
        clicks = tuple(options.get("clicks", ()))
        stride, reverse = options.get("stride", 1), options.get("reverse", False)
        profile = options.get("profile") or profile_for(self._segmenter.info.name)
        query = TrackingQuery(asked, clicks, first, last, stride, reverse, profile)
        return session.run(query, "live" if options.get("live") else "delayed")

    def _tokens(self, video: Video, frame: int, boxes: Sequence[Exemplar]) -> ExemplarTokens:
        return self._segmenter.read_exemplars(self._segmenter.encode(video.frame(frame).image), boxes)

    def forget(self, video_id: str) -> None:
        """Close a video; tracks that lie in a folder of their own stay there.

        Raises:
            UnknownHandle: no such video.
            Busy: it is being tracked.
        """
        held = self._get(video_id)
        self._refuse_running(video_id)
        with self._lock:
            self._open.pop(video_id, None)
        if held.tidy is not None:
            held.tidy()

    def close(self) -> None:
        """Delete the tracks that nobody asked to keep, also of videos that are being tracked; a program is ending."""
        with self._lock:
            for held in self._open.values():
                if held.tidy is not None:
                    held.tidy()

    def _refuse_running(self, video_id: str) -> None:
        if self.is_running(video_id):
            raise Busy(f"{video_id} is being tracked; wait until that has ended, or stop it")

    def _get(self, video_id: str) -> _Open:
        with self._lock:
            if video_id not in self._open:
                raise UnknownHandle("video", video_id, self._open)
            return self._open[video_id]

    def _follows(self) -> FollowingSegmenter:
        if not isinstance(self._segmenter, VideoSegmenter):
            raise ToolError(f"the model {self._segmenter.info.name} cannot follow objects through a video")
        return self._segmenter


def frame_of(image_id: str) -> tuple[str, int] | None:
    """(video id, frame) of an image id such as "v1@120"; None where it is none."""
    video_id, mark, number = image_id.partition(FRAME)
    return (video_id, int(number)) if mark and number.isdigit() else None


def asked_concepts(
    concepts: Sequence[AskedFor], known: Concepts, read: Callable[[int, Sequence[Exemplar]], ExemplarTokens]
) -> tuple[AskedConcept, ...]:
    """The concepts asked for, each once, as prompts that hold on every frame.

    Args:
        concepts: phrases, "@names", prompts, and concepts by examples on frames.
        known: learned concepts.
        read: what boxes on a frame say.

    Raises:
        InputError: a concept is empty or by boxes that are on no frame.
        UnknownHandle: no concept is called so.
    """
    plain = [each for each in concepts if not isinstance(each, ExampledConcept)]
    prompts = distinct_prompts(known.named(plain)) if plain else []
    asked = [AskedConcept(prompt.label, prompt) for prompt in prompts]
    return (*asked, *(_exampled(each, read) for each in concepts if isinstance(each, ExampledConcept)))


def _exampled(concept: ExampledConcept, read: Callable[[int, Sequence[Exemplar]], ExemplarTokens]) -> AskedConcept:
    frames = sorted({example.frame for example in concept.examples})
    parts = [
        read(frame, [Exemplar(each.box, each.positive) for each in concept.examples if each.frame == frame])
        for frame in frames
    ]
    learned = Concept(BY_EXAMPLE, concept.phrase, joined(parts))
    return AskedConcept(concept.phrase or BY_EXAMPLE, ConceptPrompt(concept.phrase, (), learned))
