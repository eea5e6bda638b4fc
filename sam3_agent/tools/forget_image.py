"""Tool that frees an image."""

from dataclasses import dataclass

from sam3_agent.tools.arguments import ImageId
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Image that is no longer open."""

    image_id: str


def forget_image(workspace: Workspace, image_id: ImageId) -> Forgotten:
    """Free an image with all of its masks; their ids are gone for good."""
    workspace.forget(image_id)
    return Forgotten(image_id)


def present(_: Workspace, result: Forgotten) -> Presentation:
    """Confirm it."""
    return Presentation(f"{result.image_id} and its masks are freed.", {"image_id": result.image_id})


FORGET_IMAGE = ToolSpec.of(forget_image, present, removes=True)
