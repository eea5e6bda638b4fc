"""From options to a workspace with a model in it."""

import gc
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from sam3_agent.cli.images import Images
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import progress_console
from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing
from sam3_agent.model.segmenter import Segmenter
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


def check_readable(images: Images) -> None:
    """Fail early, before seconds are spent on loading a model.

    One unreadable image among many is reported when its turn comes.

    Raises:
        InputError: no image can be read.
    """
    first: InputError | None = None
    for source in images.sources:
        try:
            read_source(source)
        except InputError as error:
            first = first or error
        else:
            return
    if first is not None:
        count = len(images.sources)
        raise first if count == 1 else InputError(f"none of the {count} images can be read; the first: {first}")


def open_workspace(segmenter: ModelOptions) -> Workspace:
    """Load the model; raises ModelUnavailable."""
    with loading_model(segmenter.model):
        from sam3_agent.model.replicas import load_segmenter  # imports torch

        return Workspace(load_segmenter(segmenter.model, device=segmenter.device, dtype=segmenter.dtype))


def load_for_teaching(segmenter: ModelOptions) -> Segmenter:
    """Load the model on one device, which teaching needs; raises ModelUnavailable."""
    with loading_model(segmenter.model):
        from sam3_agent.model.sam3 import Sam3  # imports torch

        return Sam3.load(segmenter.model, segmenter.device, segmenter.dtype)


@contextmanager
def loading_model(name: str) -> Generator[None]:
    """Say that a model is being loaded; imports within are quicker than elsewhere."""
    with progress_console().status(f"loading {name}"), _uncollected():
        yield


@contextmanager
def _uncollected() -> Generator[None]:
    """Keep the garbage collector out of the imports: they make a million objects and no garbage.

    Collecting them again and again took .5 of 6.8 CPU seconds.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
