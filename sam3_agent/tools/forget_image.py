"""The tool that frees an image."""

from sam3_agent.tools.arguments import ImageId
from sam3_agent.tools.results import Forgotten
from sam3_agent.workspace import Workspace


def forget_image(workspace: Workspace, image_id: ImageId) -> Forgotten:
    """Free an image with all of its masks; their ids are gone for good."""
    workspace.forget(image_id)
    return Forgotten(image_id)
