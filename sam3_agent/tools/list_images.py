"""Tool that lists the open images."""

from dataclasses import dataclass

from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tracks import VideoHandle
from sam3_agent.workspace import OpenImage, Workspace


@dataclass(frozen=True, slots=True)
class Listing:
    """All open images with the number of masks on each, and all open videos."""

    images: tuple[tuple[OpenImage, int], ...]
    videos: tuple[VideoHandle, ...] = ()


def list_images(workspace: Workspace) -> Listing:
    """List the open images with their ids, sizes and how many masks each has, and the open videos."""
    images = tuple((image, len(workspace.masks_of(image.id))) for image in workspace.images())
    return Listing(images, tuple(workspace.videos()))


def present(_: Workspace, result: Listing) -> Presentation:
    """Tell one line an image."""
    rows = [
        {"image_id": image.id, "width": image.width, "height": image.height, "source": image.source, "masks": count}
        for image, count in result.images
    ]
    lines = [
        f"{row['image_id']}: {row['width']}x{row['height']}, {row['masks']} masks, {row['source']}" for row in rows
    ]
    videos = [video.to_json() for video in result.videos]
    lines += [
        f"{video.id}: video, {video.frames} frames, {video.width}x{video.height}, {video.source}"
        for video in result.videos
    ]
    told = "\n".join(lines) or "no image is open; call open_image"
    return Presentation(told, {"images": rows, "videos": videos})


LIST_IMAGES = ToolSpec.of(list_images, present)
