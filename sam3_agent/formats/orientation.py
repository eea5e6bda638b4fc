"""How a camera held a picture: EXIF's orientation tag."""

from pathlib import Path

from PIL import Image

TAG = 0x0112
UPRIGHT = 1
_ON_THEIR_SIDE = (5, 6, 7, 8)


def is_upright(picture: Image.Image) -> bool:
    """Whether the pixels are stored as they are meant to be seen."""
    return picture.getexif().get(TAG, UPRIGHT) == UPRIGHT


def upright_size(path: Path) -> tuple[int, int]:
    """(height, width) of the picture as it is meant to be seen; its pixels are not decoded.

    Raises:
        OSError, Image.DecompressionBombError: it is no readable picture.
    """
    with Image.open(path) as picture:
        width, height = picture.size
        turned = picture.getexif().get(TAG, UPRIGHT) in _ON_THEIR_SIDE
    return (width, height) if turned else (height, width)
