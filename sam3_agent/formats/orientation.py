"""EXIF orientation: how a camera was held, and so how an image is meant to be seen."""

from pathlib import Path
from typing import Any, cast

from PIL import Image

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
