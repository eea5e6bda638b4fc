"""Frames of a video with tracks drawn on them, as a sheet for models and people."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sam3_agent.errors import UnknownHandle
from sam3_agent.render import LONGEST, FrameCell, Mark, Picture, draw_frame_sheet
from sam3_agent.tracks import Track, TrackFrame
from sam3_agent.video import Video
from sam3_agent.workspace import Workspace

FEW = 6
"""Frames on a sheet where nobody says how many: cells of a third of the sheet, on which ids can be read."""
_CROWD = 30
"""With more tracks in a frame than this, labels hide the objects: the others are drawn thin."""


def chosen_tracks(workspace: Workspace, video_id: str, track_ids: Sequence[str]) -> tuple[Track, ...]:
    """The tracks of these ids in their order, all of the video without ids.

    Raises:
        UnknownHandle: there is no such video or track.
    """
    known = {track.id: track for track in workspace.video_store.tracks(video_id)}
    for track_id in track_ids:
        if track_id not in known:
            raise UnknownHandle("track", track_id, known)
    return tuple(known[i] for i in dict.fromkeys(track_ids)) if track_ids else tuple(known.values())


def sheet_of(
    workspace: Workspace, video_id: str, frames: Sequence[int], tracks: Sequence[Track], faint: Sequence[Track] = ()
) -> Picture:
    """Draw these frames with the tracks outlined, each with its id, and those in `faint` thin and without one."""
    video = workspace.video_store.video(video_id)
    info = video.info
    cells = _cells(video, frames, tracks, faint)
    picture = draw_frame_sheet(cells, len(frames), (info.width, info.height), longest=LONGEST)
    numbers = ", ".join(str(frame) for frame in frames)
    words = f"frames {numbers} of {video_id}, {len(frames)} cells in reading order, each at scale {picture.scale:.3g}, "
    words += "under its number and time"
    drawn = ", ".join(track.id for track in tracks[:_CROWD])
    words += f"; outlined: {drawn}" if drawn else "; nothing is drawn on them"
    return replace(picture, caption=words)


def frames_showing(tracks: Sequence[Track], count: int) -> list[int]:
    """At most `count` frames in which every track is seen at least once, as far as that goes, and else far apart."""
    seen: dict[int, dict[str, float]] = {}
    for track in tracks:
        for frame in track.visible:
            x0, y0, x1, y1 = frame.box
            seen.setdefault(frame.index, {})[track.id] = (x1 - x0) * (y1 - y0)
    chosen: list[int] = []
    missing = {track.id for track in tracks if track.visible}
    while missing and len(chosen) < count:
        best = max(seen, key=lambda index: (len(missing & seen[index].keys()), sum(seen[index].values()), -index))
        chosen.append(best)
        missing -= seen[best].keys()
    order = sorted(seen)
    while order and len(chosen) < min(count, len(order)):
        chosen.append(max(order, key=lambda index: (min(abs(index - other) for other in chosen), -index)))
    return sorted(chosen)


def spread(first: int, last: int, count: int) -> list[int]:
    """At most `count` frames from the first to the last, evenly."""
    steps = max(1, min(count, last - first + 1) - 1)
    return sorted({first + round(step * (last - first) / steps) for step in range(steps + 1)})


def _cells(video: Video, frames: Sequence[int], tracks: Sequence[Track], faint: Sequence[Track]) -> Iterator[FrameCell]:
    for frame in video.frames(frames):
        marks = [_mark(track, seen, faint=n >= _CROWD) for n, (track, seen) in enumerate(_visible(tracks, frame.index))]
        marks += [_mark(track, seen, faint=True) for track, seen in _visible(faint, frame.index)]
        yield FrameCell(frame.image, f"#{frame.index}   {frame.time:.1f} s", tuple(marks))


def _visible(tracks: Sequence[Track], index: int) -> list[tuple[Track, TrackFrame]]:
    return [(track, seen) for track in tracks if (seen := track.at(index)) is not None and seen.visible]


def _mark(track: Track, seen: TrackFrame, *, faint: bool) -> Mark:
    return Mark(track.id, seen.rle, seen.box, faint=faint)
