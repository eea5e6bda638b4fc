"""Tool that shows frames of a video."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from sam3_agent.errors import InputError
from sam3_agent.render import MOST_FRAMES, Picture
from sam3_agent.tools.arguments import TrackIds, VideoId
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tools.video_frames import FEW, chosen_tracks, frames_showing, sheet_of, spread
from sam3_agent.tracks import Track
from sam3_agent.workspace import Workspace


@dataclass(frozen=True, slots=True)
class LookedFrames:
    """Sheet of frames with what it shows."""

    video_id: str
    frames: tuple[int, ...]
    tracks: tuple[Track, ...]
    picture: Picture


def look_frames(
    workspace: Workspace,
    video_id: VideoId,
    frames: Annotated[
        Sequence[int], Field(max_length=MOST_FRAMES, description="Frames to show, as [0, 48, 96]; [] to choose well.")
    ] = (),
    times_s: Annotated[
        Sequence[float], Field(max_length=MOST_FRAMES, description="Seconds to show, in place of frames.")
    ] = (),
    track_ids: TrackIds = (),
    count: Annotated[
        int, Field(ge=1, le=MOST_FRAMES, description="How many frames to choose where none are named.")
    ] = FEW,
) -> LookedFrames:
    """See frames of a video on one sheet, numbered, with the tracks outlined and their ids beside them.

    With track_ids it shows these, and without frames it chooses frames in which each of them is seen. Fewer frames are
    larger; for all pixels call look with image_id 'v1@120'.
    """
    video = workspace.video_store.video(video_id)
    if frames and times_s:
        raise InputError("give frames or times_s, not both")
    tracks = chosen_tracks(workspace, video_id, track_ids)
    wanted = [*frames, *(video.index_at(seconds) for seconds in times_s)]
    if not wanted and track_ids:
        wanted = frames_showing(tracks, count)
    wanted = list(dict.fromkeys(wanted)) or spread(0, len(video) - 1, count)
    others = [t for t in chosen_tracks(workspace, video_id, ()) if t not in tracks] if track_ids else []
    return LookedFrames(video_id, tuple(wanted), tracks, sheet_of(workspace, video_id, wanted, tracks, others))


def present(workspace: Workspace, result: LookedFrames) -> Presentation:
    """Tell what is where in each frame, as the sheet shows it."""
    video = workspace.video_store.video(result.video_id)
    rows: list[dict[str, Any]] = []
    lines = [f"{len(result.frames)} frames of {result.video_id}:"]
    for index in result.frames:
        seen = [(t, f) for t in result.tracks if (f := t.at(index)) is not None and f.visible]
        boxes = [{"id": t.id, "concept": t.concept, "box": [round(v, 1) for v in f.box]} for t, f in seen]
        time = float(video.info.times[index])
        rows.append({"frame": index, "time_s": round(time, 3), "image_id": f"{result.video_id}@{index}", "seen": boxes})
        told = "; ".join(f"{t.id} '{t.concept}' [{', '.join(f'{v:.0f}' for v in f.box)}]" for t, f in seen)
        lines.append(f"  frame {index} ({time:.1f} s): {told or 'no tracks'}")
    lines.append(f"sheet: {result.picture.caption}")
    return Presentation("\n".join(lines), {"video_id": result.video_id, "frames": rows}, (result.picture,))


LOOK_FRAMES = ToolSpec.of(look_frames, present, has_picture=True)
