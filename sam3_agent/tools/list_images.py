"""Tool that lists the open images."""

from dataclasses import dataclass

from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.workspace import OpenImage, Workspace


@dataclass(frozen=True, slots=True)
class Listing:
    """All open images with the number of masks on each."""

    images: tuple[tuple[OpenImage, int], ...]


def list_images(workspace: Workspace) -> Listing:
    """List the open images with their ids, sizes and how many masks each has."""
    return Listing(tuple((image, len(workspace.masks_of(image.id))) for image in workspace.images()))


def present(_: Workspace, result: Listing) -> Presentation:
    """Tell one line an image."""
    rows = [
        {"image_id": image.id, "width": image.width, "height": image.height, "source": image.source, "masks": count}
        for image, count in result.images
    ]
    lines = [
        f"{row['image_id']}: {row['width']}x{row['height']}, {row['masks']} masks, {row['source']}" for row in rows
    ]
    return Presentation("\n".join(lines) or "no image is open; call open_image", {"images": rows})


LIST_IMAGES = ToolSpec.of(list_images, present)
