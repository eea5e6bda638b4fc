"""Tool that opens a video."""

from typing import Annotated

from pydantic import Field

from sam3_agent.tools.arguments import VideoSource
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tools.video_frames import sheet_of, spread
from sam3_agent.tracks import VideoHandle
from sam3_agent.workspace import Workspace

_STRIP = 8
"""Frames of the preview."""


def open_video(
    workspace: Workspace,
    source: VideoSource,
    fps: Annotated[
        float, Field(ge=0, le=1000, description="Frames a second of a folder of images; 0 where it is not known.")
    ] = 0.0,
) -> VideoHandle:
    """Open a video and get the video_id that the tools for videos need, with its size, its times and a preview.

    Frames are counted from 0. Each is an image for every tool that takes an image_id: frame 120 of v1 is 'v1@120'.
    Nothing is tracked yet: that is track_concepts.
    """
    return workspace.open_video(source, fps=fps or None)


def present(workspace: Workspace, video: VideoHandle) -> Presentation:
    """Tell its id, size and times, and show frames of it."""
    info = workspace.video_store.video(video.id).info
    picture = sheet_of(workspace, video.id, spread(0, video.frames - 1, _STRIP), ())
    rate = f"about {video.fps:.3g} frames/s, unevenly" if info.is_variable else f"{video.fps:.4g} frames/s"
    lines = [
        f"{video.id}: {video.frames} frames (0-{video.frames - 1}) of {video.width}x{video.height} pixels, "
        f"{video.duration:.1f} s at {rate}, {video.source}",
        *(f"note: {warning}" for warning in info.warnings),
        f"Next: track_concepts('{video.id}', ['...']); a frame is an image, as '{video.id}@0'.",
        f"preview: {picture.caption}",
    ]
    data = video.to_json()
    data = {
        "video_id": data.pop("id"),
        **data,
        "variable_rate": info.is_variable,
        "warnings": list(info.warnings),
        "model": workspace.info.to_json(),
    }
    return Presentation("\n".join(lines), data, (picture,))


OPEN_VIDEO = ToolSpec.of(open_video, present, makes="video", idempotent=False, has_picture=True)
