"""The tool that lists what is open."""

from sam3_agent.tools.results import Listing
from sam3_agent.workspace import Workspace


def list_images(workspace: Workspace) -> Listing:
    """List the open images with their ids, sizes and how many masks each has."""
    return Listing(tuple((image, len(workspace.masks_of(image.id))) for image in workspace.images()))
