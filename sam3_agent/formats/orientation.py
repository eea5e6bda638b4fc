"""EXIF orientation: how a camera was held, and so how an image is meant to be seen."""

import shutil
from pathlib import Path
from typing import Any, cast

from PIL import Image, ImageOps

from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing

TAG = 0x0112
UPRIGHT = 1
_ON_THEIR_SIDE = (5, 6, 7, 8)
_STORED_SIZE = (256, 257)
"""TIFF's tags of width and height as they are stored."""


def is_upright(picture: Image.Image) -> bool:
    """Tell whether the pixels are stored as they are meant to be seen."""
    return picture.getexif().get(TAG, UPRIGHT) == UPRIGHT


def upright_size(path: Path) -> tuple[int, int]:
    """Measure (height, width) of an image as it is meant to be seen; its pixels are not decoded.

    Raises:
        OSError, Image.DecompressionBombError: it is no readable image.
    """
    with Image.open(path) as picture:
        width, height = picture.size
        turned = picture.getexif().get(TAG, UPRIGHT) in _ON_THEIR_SIDE
        if turned and picture.format == "TIFF":  # Pillow may give the upright size of TIFFs already
            tags = cast(Any, picture).tag_v2
            turned = picture.size == tuple(tags.get(tag) for tag in _STORED_SIZE)
    return (width, height) if turned else (height, width)


def copy_picture(source: Path, target: Path) -> None:
    """Copy an image; one that is turned by its EXIF is written upright, as the masks are, and one whose name tells
    another format than its contents in that format.
    """
    try:
        if not source.is_file():  # nor a pipe, which would be waited for
            raise FileNotFoundError
        with replacing(target) as temporary, Image.open(source) as picture:
            if is_upright(picture) and _keeps_format(source, target):
                shutil.copyfile(source, temporary)
                return
            form = picture.format if _keeps_format(source, target) else "PNG"
            upright = ImageOps.exif_transpose(picture)
            upright.save(temporary, form, quality=95)
    except FileNotFoundError as error:
        raise InputError(f"the image {source} is gone; export without --images, or put it back") from error


def _keeps_format(source: Path, target: Path) -> bool:
    return target.suffix == source.suffix or target.suffix != ".png"
