"""Tool that lists the tracks of a video."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from sam3_agent.tools.arguments import VideoId
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tools.track_facts import motions_of, track_data, track_lines
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.tracking import Clock, Motion


@dataclass(frozen=True, slots=True)
class TrackList:
    """Tracks of a video, in the order in which they were found."""

    video_id: str
    motions: tuple[Motion, ...]
    clock: Clock
    running: bool
    """The video is being tracked: there is more to come."""


def list_tracks(
    workspace: Workspace,
    video_id: VideoId,
    concept: Annotated[str, Field(max_length=200, description="Only tracks of this concept, or '' for all.")] = "",
) -> TrackList:
    """List the tracks of a video, a line each: concept, when it is seen, where it enters and leaves, how it moves.

    While a job is tracking the video it lists what is there so far.
    """
    wanted = " ".join(concept.lower().split())
    store = workspace.video_store
    tracks = [t for t in store.tracks(video_id) if not wanted or " ".join(t.concept.lower().split()) == wanted]
    clock = store.clock(video_id)
    return TrackList(video_id, motions_of(tracks, clock), clock, store.is_running(video_id))


def present(_: Workspace, result: TrackList) -> Presentation:
    """Tell one line a track."""
    clock = result.clock
    more = "; it is still being tracked" if result.running else ""
    head = f"{len(result.motions)} tracks in frames {clock.start}-{clock.last} of {result.video_id}{more}"
    lines = [f"{head}:", *track_lines(result.motions)] if result.motions else [f"{head}; call track_concepts"]
    data: dict[str, Any] = {
        "video_id": result.video_id,
        "frames": [clock.start, clock.last],
        "running": result.running,
        "tracks": [track_data(motion) for motion in result.motions],
    }
    return Presentation("\n".join(lines), data)


LIST_TRACKS = ToolSpec.of(list_tracks, present)
