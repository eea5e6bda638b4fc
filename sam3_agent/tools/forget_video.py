"""Tool that frees a video."""

from dataclasses import dataclass

from sam3_agent.tools.arguments import VideoId
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ForgottenVideo:
    """Video that is no longer open."""

    video_id: str


def forget_video(workspace: Workspace, video_id: VideoId) -> ForgottenVideo:
    """Free a video with all of its tracks and the frames of it that are open as images; their ids are gone for good."""
    workspace.forget_video(video_id)
    return ForgottenVideo(video_id)


def present(_: Workspace, result: ForgottenVideo) -> Presentation:
    """Confirm it."""
    return Presentation(f"{result.video_id}, its frames and its tracks are freed.", {"video_id": result.video_id})


FORGET_VIDEO = ToolSpec.of(forget_video, present, removes=True)
