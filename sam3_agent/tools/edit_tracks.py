"""Tool that corrects tracks."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from sam3_agent.errors import InputError
from sam3_agent.tools.arguments import TrackIds, VideoId
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tools.track_facts import motions_of, track_data, track_lines
from sam3_agent.tools.video_frames import chosen_tracks
from sam3_agent.tracks import Track
from sam3_agent.workspace import Workspace

Operation = Literal["merge", "split", "relabel", "drop"]
_NO_FRAME = -1


@dataclass(frozen=True, slots=True)
class EditedTracks:
    """Tracks as they are after a change."""

    video_id: str
    words: str
    tracks: tuple[Track, ...]
    """The changed ones, new ones included."""
    left: int
    """Tracks of the video now."""


def edit_tracks(
    workspace: Workspace,
    video_id: VideoId,
    operation: Annotated[
        Operation,
        Field(
            description="merge: all are one object, the first id stays; split: from `frame` on it is another object, "
            "which gets a new id; relabel: they are a `concept`; drop: they are no objects."
        ),
    ],
    track_ids: TrackIds,
    frame: Annotated[int, Field(ge=_NO_FRAME, description="First frame of the new object, to split.")] = _NO_FRAME,
    concept: Annotated[str, Field(max_length=200, description="New name, to relabel.")] = "",
) -> EditedTracks:
    """Correct the tracks of a video: merge pieces of one object, split at an id switch, rename, or drop false ones.

    To correct the masks of a track from a frame on, call track_at with its track_id. There is no undo.
    """
    ids = list(dict.fromkeys(track_ids))
    if not ids:
        raise InputError("track_ids is empty; name the tracks, as ['t1', 't4']")
    chosen_tracks(workspace, video_id, ids)
    if operation == "split" and len(ids) > 1:
        raise InputError(f"one track is split at a time, got {', '.join(ids)}")
    store = workspace.video_store
    if operation == "merge":
        store.edit(video_id, "merge", ids[0], ids[1:])
    elif operation == "split":
        store.edit(video_id, "split", ids[0], frame=frame)
    for track_id in ids if operation in ("relabel", "drop") else ():
        store.edit(video_id, operation, track_id, concept=concept.strip())
    after = store.tracks(video_id)
    changed = tuple(track for track in after if track.id in ids)
    if operation == "split":
        changed = (*changed, max((t for t in after if t.id not in ids), key=lambda track: int(track.id[1:])))
    return EditedTracks(video_id, f"{operation} {', '.join(ids)}", changed, len(after))


def present(workspace: Workspace, result: EditedTracks) -> Presentation:
    """Tell the changed tracks as they are now."""
    motions = motions_of(result.tracks, workspace.video_store.clock(result.video_id))
    lines = [f"{result.words}: done; {result.video_id} has {result.left} tracks now", *track_lines(motions)]
    data: dict[str, Any] = {
        "video_id": result.video_id,
        "done": result.words,
        "tracks": [track_data(motion) for motion in motions],
        "track_count": result.left,
    }
    return Presentation("\n".join(lines), data)


EDIT_TRACKS = ToolSpec.of(edit_tracks, present, removes=True, idempotent=False)
