"""The tool that opens an image."""

from typing import Annotated

from pydantic import Field

from sam3_agent.workspace import OpenImage, Workspace


def open_image(
    workspace: Workspace,
    source: Annotated[str, Field(description="Path of a picture file, file:// URL, or data: URI.")],
) -> OpenImage:
    """Open a picture and get the image_id that every other tool needs, with its size and a preview.

    The picture is encoded once here; all later questions about it are cheap. All coordinates in all tools are pixels of
    this whole, upright image: x grows to the right, y downwards, boxes are [x0, y0, x1, y1].
    """
    return workspace.open(source)
