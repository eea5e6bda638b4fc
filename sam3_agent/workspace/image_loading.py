"""Anything that can be a picture -> (H, W, 3) uint8 RGB, upright."""

import base64
import binascii
import io
import re
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, unquote_to_bytes, urlparse

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from sam3_agent.errors import InputError
from sam3_agent.formats.orientation import is_upright

Source = str | Path | bytes | Image.Image | NDArray[Any]
Reader = Callable[[Source], tuple[NDArray[np.uint8], str]]
"""Turns a source into (H, W, 3) RGB pixels, which are then the caller's, with a short name for it."""

MAX_PIXELS = 200_000_000
_STRIP = 4_000_000
"""Pixels converted at a time."""
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error, Warning,
)  # fmt: skip
"""What Pillow's decoders raise on damaged files; warnings only where a program turns them into errors."""
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "AVIF", "PPM", "ICO")
"""What is read. Pillow knows more formats, some of which start other programs (EPS runs Ghostscript)."""
_opening = threading.Lock()


def read_source(source: Source, *, max_pixels: int = MAX_PIXELS) -> tuple[NDArray[np.uint8], str]:
    """Decode a path, file URL, data URI, bytes, PIL image or uint8 array; also return a short name for it.

    EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled from its full range, and of an
    animation the first frame is taken. The array is the caller's own copy.

    Raises:
        InputError: it cannot be read as a picture; one line says why.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source), "array"
    if isinstance(source, Image.Image):
        _check_size(source.size, "the picture", max_pixels)
        return _to_pixels(source, "the picture"), "PIL image"
    if isinstance(source, bytes):
        return _from_bytes(source, "the given data", max_pixels), "bytes"
    text = str(source)
    if text.startswith("data:"):
        return _from_bytes(_data_uri(text), "the data URI", max_pixels), "data URI"
    path = _to_path(text)
    return _from_bytes(_read_file(path), repr(_short(str(path))), max_pixels), str(path)


def image_size(data: bytes) -> tuple[int, int]:
    """(width, height) that the header of an image file says; nothing is decoded.

    Raises:
        InputError: it is no image in a format that is read.
    """
    try:
        with _open_lazily(data) as picture:
            return picture.size
    except UnidentifiedImageError as error:
        raise InputError(
            "the data is not a picture in a format that can be read (PNG, JPEG, WebP, TIFF, ...)"
        ) from error
    except _BROKEN as error:
        raise InputError(f"the data is a damaged picture: {error}") from error


def data_uri_bytes(text: str) -> bytes:
    """The bytes in a data URI.

    Raises:
        InputError: it is damaged.
    """
    return _data_uri(text)


def _short(text: str) -> str:
    return text if len(text) <= 160 else text[:120] + "..."


def _to_path(text: str) -> Path:
    if not text.strip():
        raise InputError("the path is empty; give the path of a picture file")
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text)
    if scheme and scheme.group().lower() != "file://":
        raise InputError(f"cannot fetch {_short(text)!r}: download it first, then open the file by its path")
    try:
        return Path(unquote(urlparse(text).path) if scheme else text).expanduser()
    except (RuntimeError, ValueError) as error:
        raise InputError(f"not a usable path: {_short(text)!r} ({error})") from error


def _read_file(path: Path) -> bytes:
    shown = repr(_short(str(path)))
    try:
        if path.is_dir():
            raise InputError(f"{shown} is a directory; give the path of a picture file")
        if not path.exists():
            raise InputError(f"no such file: {shown}")
        if not path.is_file():
            raise InputError(f"{shown} is not a regular file")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot read {shown}: {reason}") from error


def _data_uri(text: str) -> bytes:
    header, comma, payload = text.partition(",")
    if not comma:
        raise InputError("the data URI has no ',' between its type and its data")
    if not header.endswith(";base64"):
        return unquote_to_bytes(payload)
    try:
        return base64.b64decode("".join(unquote(payload).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"the data URI is not valid base64: {error}") from error


def _from_bytes(data: bytes, shown: str, max_pixels: int) -> NDArray[np.uint8]:
    if not data:
        raise InputError(f"{shown} is empty (0 bytes)")
    try:
        picture = _open_lazily(data)
    except UnidentifiedImageError as error:
        raise InputError(
            f"{shown} is not a picture in a format that can be read (PNG, JPEG, WebP, TIFF, ...)"
        ) from error
    except _BROKEN as error:
        raise InputError(f"{shown} is a damaged picture: {error}") from error
    with picture:
        _check_size(picture.size, shown, max_pixels)
        return _to_pixels(picture, shown)


def _open_lazily(data: bytes) -> Image.Image:
    """Read only the header; our own limit is checked instead of Pillow's, which warns or raises by a global setting."""
    with _opening:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            Image.init()
            return Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_size(size: tuple[int, int], shown: str, max_pixels: int = MAX_PIXELS) -> None:
    width, height = size
    if width * height > max_pixels:
        raise InputError(
            f"{shown} has {width}x{height} = {width * height / 1e6:.0f} megapixels; the limit is "
            f"{max_pixels / 1e6:g}: scale it down or cut it into parts first"
        )
    if width < 1 or height < 1:
        raise InputError(f"{shown} has no pixels ({width}x{height})")


def _to_pixels(picture: Image.Image, shown: str) -> NDArray[np.uint8]:
    try:
        if getattr(picture, "n_frames", 1) > 1:
            picture.seek(0)
        upright = picture if is_upright(picture) else ImageOps.exif_transpose(picture)
        if upright.mode.startswith(("I", "F")):
            upright = Image.fromarray(_scale_to_8_bit(np.asarray(upright)))
        return _by_strips(upright)
    except MemoryError as error:
        width, height = picture.size
        raise InputError(f"not enough memory to decode {shown} ({width}x{height}); scale it down first") from error
    except _BROKEN as error:
        raise InputError(f"{shown} is a damaged or truncated picture: {error}") from error


def _by_strips(picture: Image.Image) -> NDArray[np.uint8]:
    """(H, W, 3) RGB, converted strip by strip: a whole 100 megapixel picture would be copied four times."""
    width, height = picture.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    step = max(1, _STRIP // width)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        pixels[top:bottom] = np.asarray(_to_rgb(picture.crop((0, top, width, bottom))))
    return pixels


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _scale_to_8_bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W) integers or floats -> uint8: 0-65535 and 0-1 by their full range, anything else from its own extremes."""
    numbers = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    if np.issubdtype(values.dtype, np.integer) and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    span = max(high - low, 1e-12)
    return np.rint((numbers - low) / span * 255).astype(np.uint8)


def _from_array(source: NDArray[Any]) -> NDArray[np.uint8]:
    if source.dtype != np.uint8:
        raise InputError(f"an image array must be uint8 RGB (H, W, 3), got {source.dtype} {source.shape}")
    if source.ndim == 2:
        source = np.repeat(source[:, :, None], 3, axis=2)  # (H, W, 3)
    if source.ndim != 3 or source.shape[2] not in (3, 4):
        raise InputError(f"an image array must be uint8 RGB (H, W, 3), got shape {source.shape}")
    _check_size((source.shape[1], source.shape[0]), "the array")
    if source.shape[2] == 4:
        return _to_pixels(Image.fromarray(source), "the array")
    return cast(NDArray[np.uint8], np.array(source, order="C"))
