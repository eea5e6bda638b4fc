"""Tool that measures tracks and how they stand to each other in time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field

from sam3_agent.errors import InputError
from sam3_agent.tools.arguments import TrackIds, VideoId
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tools.track_colors import TrackColors, colors_of_tracks, main_color
from sam3_agent.tools.track_facts import MOST_LINES, motions_of, track_data
from sam3_agent.tools.video_frames import chosen_tracks
from sam3_agent.tracks import TrackFrame
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.tracking import Clock, Motion, meetings
from sam3_agent.workspace.tracking import measure_tracks as measured
from sam3_agent.workspace.tracking.measure import RULES, Meeting, SortBy, center, nearest_at

NO_FRAME = -1
_MOST_MET = 40
"""Tracks among which meetings are looked for: every pair is compared in every frame."""
_MOST_MEETINGS = 60


@dataclass(frozen=True, slots=True)
class TrackMeasures:
    """Measured tracks in order, their meetings, and how they stand in one frame."""

    video_id: str
    sort_by: SortBy
    motions: tuple[Motion, ...]
    meetings: tuple[Meeting, ...]
    unmet: bool
    """There are too many tracks to look for meetings."""
    frame: int
    clock: Clock
    colors: Mapping[str, TrackColors] = field(default_factory=dict[str, TrackColors])
    """By track id; empty where they were not asked for."""


def measure_tracks(
    workspace: Workspace,
    video_id: VideoId,
    track_ids: TrackIds = (),
    sort_by: Annotated[SortBy, Field(description="What orders them: 'last_seen' is who leaves first.")] = "first_seen",
    descending: Annotated[bool, Field(description="True for the greatest or latest first.")] = False,
    frame: Annotated[
        int, Field(ge=NO_FRAME, description="Frame in which to order them from left to right; -1 for none.")
    ] = NO_FRAME,
    colors: Annotated[bool, Field(description="True to read the colors of each at its beginning and end.")] = False,
) -> TrackMeasures:
    """Compare tracks exactly: who appears or leaves first, how fast and whereto they move, who meets whom, and when.

    Use it for every question of order, speed, direction, growth or meeting; never judge such things by eye. Speeds are
    pixels per second. Without track_ids it measures all tracks of the video.
    """
    tracks = chosen_tracks(workspace, video_id, track_ids)
    if frame >= (count := len(workspace.video_store.video(video_id))):
        raise InputError(f"there is no frame {frame} in {video_id}; its frames are 0-{count - 1}")
    clock = workspace.video_store.clock(video_id)
    motions = motions_of([m.track for m in measured(tracks, clock, sort_by, descending=descending)], clock)
    unmet = len(motions) > _MOST_MET
    met = () if unmet else meetings(motions)
    seen = colors_of_tracks(workspace.video_store.video(video_id), motions) if colors else dict[str, TrackColors]()
    return TrackMeasures(video_id, sort_by, motions, met, unmet, frame, clock, seen)


def present(_: Workspace, result: TrackMeasures) -> Presentation:
    """Tell one line a track with the measure that orders them, then who meets whom."""
    motions = result.motions
    lines = [f"{len(motions)} tracks of {result.video_id}, ordered by {result.sort_by}:"]
    told = {track_id: _color_words(seen) for track_id, seen in result.colors.items()}
    for rank, motion in enumerate(motions[:MOST_LINES], 1):
        lines.append(f"  {_line(rank, motion)}{told.get(motion.track.id, '')}")
    lines += ["  none; call track_concepts first"] if not motions else []
    met = result.meetings[:_MOST_MEETINGS]
    lines += [f"meet: {_meeting_words(meeting, result.clock)}" for meeting in met]
    lines += [f"meetings are only looked for among {_MOST_MET} tracks; name some by track_ids"] if result.unmet else []
    before = _before(motions)
    lines += [f"gone before the next one comes: {', '.join(f'{a} before {b}' for a, b in before)}"] if before else []
    here = _row_at(motions, result.frame)
    if result.frame != NO_FRAME:
        order = ", ".join(row["id"] for row in here) or "none is seen"
        lines.append(f"in frame {result.frame} from left to right: {order}")
    rows: list[dict[str, Any]] = []
    for rank, motion in enumerate(motions, 1):
        seen = result.colors.get(motion.track.id)
        rows.append({"rank": rank} | track_data(motion) | (_color_data(seen) if seen is not None else {}))
    data: dict[str, Any] = {
        "video_id": result.video_id,
        "sort_by": result.sort_by,
        "tracks": rows,
        "meetings": [_meeting_data(meeting, result.clock) for meeting in met],
        "before": [list(pair) for pair in before],
        "frame": result.frame,
        "left_to_right": here,
        "rules": RULES,
    }
    return Presentation("\n".join(lines), data)


def _line(rank: int, motion: Motion) -> str:
    first, last = motion.seconds
    came = f" (enters {motion.enters_from})" if motion.enters_from else ""
    went = f" (leaves {motion.leaves_to})" if motion.leaves_to else ""
    parts = [
        f"{rank}. {motion.track.id} '{motion.track.concept}' from frame {motion.first} ({first:.2f} s){came} to frame "
        f"{motion.last} ({last:.2f} s){went}",
        f"seen for {motion.duration:.2f} s",
        f"{motion.direction}, {motion.displacement:.0f} px" if motion.direction != "still" else "still",
        f"path {motion.path:.0f} px at {motion.speed:.0f} px/s",
        f"{motion.mean_area:.0f} px large",
        f"area x{motion.area_change:.2f}",
    ]
    parts += [f"{len(motion.gaps)} gaps"] if motion.gaps else []
    return "; ".join(parts)


def _color_words(seen: TrackColors) -> str:
    one, other = main_color(seen.first), main_color(seen.last)
    return f"; {one or 'no color'} at first, {other or 'no color'} at the end ({seen.change * 100:.0f} % changed)"


def _color_data(seen: TrackColors) -> dict[str, Any]:
    return {"colors_first": dict(seen.first), "colors_last": dict(seen.last), "color_change": round(seen.change, 2)}


def _before(motions: tuple[Motion, ...]) -> list[tuple[str, str]]:
    """Neighbors in time of which one is gone before the other comes."""
    ordered = sorted(motions, key=lambda motion: motion.first)
    return [(a.track.id, b.track.id) for a, b in pairwise(ordered) if a.last < b.first]


def _row_at(motions: tuple[Motion, ...], frame: int) -> list[dict[str, Any]]:
    """Tracks seen in a frame, from left to right, each with its nearest."""
    seen: list[tuple[Motion, TrackFrame]] = [
        (motion, entry) for motion in motions if (entry := motion.track.at(frame)) is not None and entry.visible
    ]
    rows: list[dict[str, Any]] = []
    for motion, entry in sorted(seen, key=lambda pair: center(pair[1].box)[0]):
        nearest = nearest_at(motion, motions, frame)
        told = {"id": nearest[0], "distance": round(nearest[1], 1)} if nearest is not None else {}
        rows.append({"id": motion.track.id, "box": [round(v, 1) for v in entry.box], "nearest": told})
    return rows


def _meeting_words(meeting: Meeting, clock: Clock) -> str:
    near = f"{clock.time(meeting.first):.2f}-{clock.time(meeting.last):.2f} s"
    how = f"overlap {meeting.overlap:.2f}" if meeting.overlap > 0 else f"{meeting.gap:.0f} px apart at least"
    return f"{meeting.one} and {meeting.other} in frames {meeting.first}-{meeting.last} ({near}), {how}"


def _meeting_data(meeting: Meeting, clock: Clock) -> dict[str, Any]:
    return {
        "ids": [meeting.one, meeting.other],
        "first": meeting.first,
        "last": meeting.last,
        "first_s": round(clock.time(meeting.first), 3),
        "gap": round(meeting.gap, 1),
        "overlap": round(meeting.overlap, 3),
    }


MEASURE_TRACKS = ToolSpec.of(measure_tracks, present)
