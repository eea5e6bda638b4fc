"""From options to a workspace with a model in it."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import progress_console
from sam3_agent.formats.files import replacing
from sam3_agent.tools.viewer import viewer_of
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.image_loading import read_source

PAGE = ".html"
LONGEST = 2048
"""Pixels of the longer side of a written picture."""
_QUALITY = 92


def write_marked(workspace: Workspace, image_id: str, mask_ids: Sequence[str], path: Path) -> None:
    """Write the image with exactly these masks marked, atomically; without masks, the image alone.

    A path that ends in .html gets the viewer: a page with the masks inside, each to be switched off.
    """
    if path.suffix.lower() == PAGE:
        return write_viewer(workspace, image_id, mask_ids, path)
    longest = min(LONGEST, max(workspace.image(image_id).width, workspace.image(image_id).height))
    style = "marks" if mask_ids else "plain"
    return write_picture(workspace.look(image_id, mask_ids, style=style, longest=longest).image, path)


def write_viewer(workspace: Workspace, image_id: str, mask_ids: Sequence[str], path: Path) -> None:
    """Write the page that shows these masks in any browser, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(viewer_of(workspace, image_id, mask_ids), encoding="utf-8")


def write_picture(image: Image.Image, path: Path) -> None:
    """Write a picture in the format of its suffix, atomically."""
    with replacing(path) as temporary:
        image.save(temporary, quality=_QUALITY)  # PNG has no quality and ignores it


def check_picture(source: str) -> None:
    """Fail early, before seconds are spent on loading a model; raises InputError when it is no usable picture."""
    read_source(source)


def open_workspace(segmenter: ModelOptions) -> Workspace:
    """Load the model; raises ModelUnavailable."""
    with progress_console().status(f"loading {segmenter.model}"):
        from sam3_agent.model.replicas import load_segmenter  # imports torch

        return Workspace(load_segmenter(segmenter.model, device=segmenter.device, dtype=segmenter.dtype))
