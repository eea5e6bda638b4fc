"""Tool that follows one object of a video that is pointed at."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_agent.tools.arguments import FrameNumber, MaskId, PointNumbers, TrackId, VideoId, box_of, point_of
from sam3_agent.tools.long_work import LongWork
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tools.track_concepts import LAST, LastFrame, Tracked, followed, present, range_of
from sam3_agent.tools.video_frames import chosen_tracks
from sam3_agent.types import ClickPrompt
from sam3_agent.workspace import ObjectClick, Workspace
from sam3_agent.workspace.prompts import click_prompt


def track_at(
    workspace: Workspace,
    video_id: VideoId,
    frame: FrameNumber,
    points: Annotated[
        Sequence[PointNumbers],
        Field(max_length=32, description="[[x, y], ...] in pixels of the frame, best deep inside the object."),
    ] = (),
    labels: Annotated[
        Sequence[int],
        Field(max_length=32, description="1 (on the object) or 0 (off it) a point; [] if all are 1."),
    ] = (),
    box: Annotated[Sequence[float], Field(max_length=4, description="[x0, y0, x1, y1] around it.")] = (),
    mask_id: Annotated[MaskId, Field(max_length=80, description="Mask on that frame as an image, or ''.")] = "",
    track_id: Annotated[
        TrackId, Field(max_length=80, description="Track to correct from here on, or '' for new.")
    ] = "",
    concept: Annotated[str, Field(max_length=200, description="What the object is called.")] = "",
    first_frame: FrameNumber = 0,
    last_frame: LastFrame = LAST,
) -> LongWork[Tracked]:
    """Follow exactly one object of a video by pointing at it on a frame: clicks, a box, or a mask found on that frame.

    For what no phrase gets: it is followed forwards and backwards. With track_id it corrects a track that went wrong:
    from that frame on the track is what you point at; earlier frames stay.
    """
    name = concept.strip()
    if track_id:
        (track,) = chosen_tracks(workspace, video_id, [track_id])
        name = name or track.concept
    mask = None
    if mask_id:
        mask, phrase = _mask_on(workspace, mask_id, f"{video_id}@{frame}")
        name = name or phrase
    prompt = _prompt(workspace, video_id, points, labels, box, mask)
    click = ObjectClick(frame, prompt, track_id or None, name or "object")
    frames = range_of(workspace, video_id, first_frame, last_frame)
    lines = workspace.follow(video_id, clicks=[click], frames=frames, live=True)
    what = f"{track_id}, corrected from frame {frame} on" if track_id else f"{click.concept} pointed at on {frame}"
    return followed(workspace, video_id, f"{what}, frames {frames[0]}-{frames[1]}", frames, lines, track_id)


def _mask_on(workspace: Workspace, mask_id: str, image_id: str) -> tuple[Rle, str]:
    """The mask, which must lie on that frame, and the phrase that found it."""
    found = workspace.image_of(mask_id)
    if found != image_id:
        raise InputError(f"{mask_id} is a mask of {found}, not of {image_id}; segment that frame first")
    return workspace.instance(mask_id).rle, workspace.phrase_of(mask_id)


def _prompt(
    workspace: Workspace,
    video_id: str,
    points: Sequence[Sequence[float]],
    labels: Sequence[int],
    box: Sequence[float],
    mask: Rle | None,
) -> ClickPrompt:
    """The clicks, checked now rather than when the work comes to their frame."""
    bad = next((label for label in labels if label not in (0, 1)), None)
    if bad is not None:
        raise InputError(f"labels are 1 (on the object) or 0 (not on it), got {bad}")
    around = box_of(box, "box") if box else None
    prompt = click_prompt([point_of(point) for point in points], [bool(label) for label in labels], around, mask)
    info = workspace.video_store.video(video_id).info
    _refuse_outside(prompt.points, around, (info.width, info.height))
    return prompt


def _refuse_outside(
    points: Sequence[tuple[float, float]], box: tuple[float, float, float, float] | None, size: tuple[int, int]
) -> None:
    """Refuse clicks that miss the frame."""
    width, height = size
    for x, y in points:
        if not (0 <= x <= width and 0 <= y <= height):
            raise InputError(f"point {[x, y]} lies outside the {width}x{height} frame")
    if box is not None and (box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0):
        raise InputError(f"box {list(box)} lies outside the {width}x{height} frame")


TRACK_AT = ToolSpec.of(track_at, present, is_long=True, idempotent=False, has_picture=True)
