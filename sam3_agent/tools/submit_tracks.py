"""Tool that ends a run about a video with an answer."""

from dataclasses import dataclass

from sam3_agent.errors import InputError
from sam3_agent.tools.arguments import Reason, TrackIds, VideoId
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tools.track_facts import motions_of, track_lines
from sam3_agent.tools.video_frames import FEW, chosen_tracks, frames_showing, sheet_of
from sam3_agent.tracks import Track
from sam3_agent.workspace import Workspace


@dataclass(frozen=True, slots=True)
class TrackSubmission:
    """Final answer of a run about a video."""

    video_id: str
    tracks: tuple[Track, ...]
    reason: str


def submit_tracks(
    workspace: Workspace,
    video_id: VideoId,
    track_ids: TrackIds,
    reason: Reason = "",
) -> TrackSubmission:
    """End the run: these tracks are what the query means.

    Every track when the query means several objects, one when it means one. Two tracks of one object are both named.
    """
    if not track_ids:
        raise InputError("track_ids is empty; give the tracks that answer the query, or call report_no_match")
    return TrackSubmission(video_id, chosen_tracks(workspace, video_id, track_ids), reason)


def present(workspace: Workspace, result: TrackSubmission) -> Presentation:
    """Echo the tracks, a line each, and show frames of them."""
    motions = motions_of(result.tracks, workspace.video_store.clock(result.video_id))
    picture = sheet_of(workspace, result.video_id, frames_showing(result.tracks, FEW), result.tracks)
    head = f"Answer submitted. Reason: {result.reason or 'none given'}"
    text = "\n".join([head, *track_lines(motions), f"sheet: {picture.caption}"])
    data = {"outcome": "answered", "track_ids": [track.id for track in result.tracks], "reason": result.reason}
    return Presentation(text, data, (picture,))


SUBMIT_TRACKS = ToolSpec.of(submit_tracks, present, has_picture=True)
