"""Tracks of one video under review: the video, its tracks, and the decisions about them, for several threads."""

import threading
from collections.abc import Sequence
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.tracks import Track, TrackFrame
from sam3_agent.video import Video, open_video
from sam3_agent.workspace.tracking.decisions import Action, Decision
from sam3_agent.workspace.tracking.reviewed import TRACKS, ReviewedTrack, ReviewedTracks, Undone


class TrackReview:
    """Review of a folder with tracks, as `sam3-agent track --out` leaves it. Thread-safe."""

    def __init__(self, folder: Path, reviewer: str = "person", video: Video | None = None) -> None:
        """Read the folder; the video is the one that its journal names unless it is given.

        Raises:
            InputError: there are no tracks, a journal is broken, or the video is gone or another one.
        """
        self.folder = folder
        self._tracks = ReviewedTracks(folder, reviewer)
        self.video = video or find_video(self._tracks)
        self._check_video()
        self._lock = threading.RLock()
        self._version = 0
        self.labels = tuple(dict.fromkeys(each.track.concept for each in self._tracks.all))
        """Names that tracks have or had, in the order of their numbers on the page; relabeling adds to them."""

    @property
    def span(self) -> range:
        """The frames that were tracked."""
        store = self._tracks.store
        first, last = store.first_frame, store.last_frame
        return range(first or 0, len(self.video) if last is None else last + 1)

    @property
    def cuts(self) -> tuple[int, ...]:
        """Frames with which a new scene begins."""
        return self._tracks.store.cuts

    @property
    def reviewer(self) -> str:
        """Name in the decisions."""
        return self._tracks.reviewer

    @property
    def model(self) -> str:
        """Name of the model that found the tracks; "" where the journal does not say."""
        model = self._tracks.store.header.settings.get("model")
        return str(model.get("name", "")) if isinstance(model, dict) else ""  # pyright: ignore

    @property
    def version(self) -> int:
        """A number that changes with every decision."""
        return self._version

    @property
    def all(self) -> tuple[ReviewedTrack, ...]:
        """Every track, in the order in which they were found."""
        with self._lock:
            return self._tracks.all

    @property
    def counts(self) -> dict[str, int]:
        """Route -> number of tracks."""
        with self._lock:
            return self._tracks.counts

    @property
    def passed_over(self) -> int:
        """Decisions that cannot be made any more, as the run has changed."""
        return self._tracks.passed_over

    @property
    def folders_given(self) -> frozenset[str]:
        """Folders of corrections that are or were decisions."""
        with self._lock:
            return self._tracks.folders_given

    def get(self, track_id: str) -> ReviewedTrack:
        """One track; raises UnknownHandle."""
        with self._lock:
            return self._tracks.get(track_id)

    def at(self, frames: range) -> list[list[tuple[Track, TrackFrame]]]:
        """The tracks that are seen in each of some frames."""
        tracks = [each.track for each in self.all]
        return [
            [(track, entry) for track in tracks if (entry := track.at(index)) is not None and entry.visible]
            for index in frames
        ]

    def decide(self, action: Action, track_id: str, other: str = "", frame: int = -1, concept: str = "") -> Decision:
        """Decide about a track; raises as `ReviewedTracks.decide`."""
        with self._lock:
            try:
                made = self._tracks.decide(action, track_id, other, frame, concept)
            finally:
                self._version += 1
            self.labels = tuple(dict.fromkeys([*self.labels, *([made.concept] if made.concept else [])]))
            return made

    def keep(self, decision: Decision) -> Decision:
        """Make a decision that is whole already, such as a correction; raises as `ReviewedTracks.keep`."""
        with self._lock:
            try:
                return self._tracks.keep(decision)
            finally:
                self._version += 1

    def undo(self) -> Undone | None:
        """Take back the last decision that stands; raises as `ReviewedTracks.undo`."""
        with self._lock:
            try:
                return self._tracks.undo()
            finally:
                self._version += 1

    def _check_video(self) -> None:
        header, info = self._tracks.store.header, self.video.info
        tracked = (header.width, header.height, header.settings.get("frames", info.frames))
        if tracked != (info.width, info.height, info.frames):
            raise InputError(
                f"{info.name} is another video than the one that was tracked: {info.frames} frames of"
                f" {info.width}x{info.height}, not {tracked[2]} of {tracked[0]}x{tracked[1]}"
            )


def find_video(tracks: ReviewedTracks) -> Video:
    """Open the video of some tracks: where it was when they were tracked, or in or beside their folder.

    Raises:
        InputError: it is in none of these places, or cannot be read.
    """
    header = tracks.store.header
    source = Path(header.source)
    folder = tracks.folder.absolute()
    places: Sequence[Path] = (source, folder / source.name, folder.parent / source.name)
    found = next((place for place in places if source.is_absolute() and place.exists()), None)
    if found is None:
        raise InputError(f"the video {header.source} is gone: put it back, or into {folder.parent}")
    return open_video(found, fps=header.fps if found.is_dir() and header.fps else None)


def is_tracked(folder: Path) -> bool:
    """Whether a folder holds tracks."""
    return (folder / TRACKS).is_file()
