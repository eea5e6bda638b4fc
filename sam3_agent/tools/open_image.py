"""Tool that opens an image."""

from sam3_agent.tools.arguments import ImageSource
from sam3_agent.tools.model_scope import scope_hints, words_hint
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.types import ModelInfo
from sam3_agent.workspace import OpenImage, Workspace

_LARGE = 2
"""An image is large from so many times the model's own side on: a patch then covers more than twice its pixels."""


def open_image(workspace: Workspace, source: ImageSource) -> OpenImage:
    """Open an image and get the image_id that every other tool needs, with its size and a preview.

    The image is encoded once here; all later questions about it are cheap. All coordinates in all tools are pixels of
    this whole, upright image: x grows to the right, y downwards, boxes are [x0, y0, x1, y1].
    """
    return workspace.open(source)


def present(workspace: Workspace, image: OpenImage) -> Presentation:
    """Tell its id and size, which model sees it, and show it."""
    info = workspace.info
    picture = workspace.look(image.id, style="plain")
    hints = [*scope_hints(info), *([words] if (words := words_hint(info)) else []), *size_hints(image, info)]
    lines = [
        f"{image.id}: {image.width}x{image.height} pixels, {image.source}. "
        f"Seen by {info.name} ({info.device}, {info.dtype}).",
        *(f"hint: {line}" for line in hints),
        f"preview: {picture.caption}",
    ]
    data = {
        "image_id": image.id,
        "width": image.width,
        "height": image.height,
        "source": image.source,
        "model": info.to_json(),
        "hints": hints,
    }
    return Presentation("\n".join(lines), data, (picture,))


def size_hints(image: OpenImage, info: ModelInfo) -> list[str]:
    """Say what the model hardly sees in an image much larger than what it is shown."""
    if max(image.width, image.height) < _LARGE * info.input_side:
        return []
    side = info.patch_in(image.width, image.height)
    return [
        f"the image is large for the model, which hardly sees what is under {side:.0f} pixels a side in it: look for "
        "small things in a region of the image, or with tiles='always'"
    ]


OPEN_IMAGE = ToolSpec.of(open_image, present, makes="image", idempotent=False, has_picture=True, fetches=True)
