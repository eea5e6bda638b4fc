"""Image loading: paths, bytes, files and arrays as (H, W, 3) uint8 RGB, upright."""

import base64
import binascii
import importlib
import inspect
import io
import os
import re
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, unquote_to_bytes, urlparse

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from sam3_agent.errors import InputError
from sam3_agent.formats.orientation import TAG, UPRIGHT, is_upright

Source = str | Path | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[Any]
Reader = Callable[[Source], tuple[NDArray[np.uint8], str]]
"""Turns a source into (H, W, 3) RGB pixels, which are then the caller's, with a short name for it."""

MAX_PIXELS = 200_000_000
_STRIP = 4_000_000
"""Pixels converted at a time."""
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error, Warning,
)  # fmt: skip
"""Errors of Pillow's decoders on damaged files; warnings only where a program turns them into errors."""
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "AVIF", "PPM", "ICO")
"""Formats that are read. Pillow knows more, some of which start other programs (EPS runs Ghostscript)."""
_opening = threading.Lock()


def read_source(source: Source, *, max_pixels: int = MAX_PIXELS) -> tuple[NDArray[np.uint8], str]:
    """Decode a path, file URL, data URI, bytes, binary file, PIL image or uint8 array, with a short name for it.

    EXIF orientation is applied, transparency is laid on white, more than 8 bits are scaled by the bits that the image
    uses, and of an animation the first frame is taken. The array is the caller's own copy.

    Raises:
        InputError: it cannot be read as an image; one line says why.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source), "array"
    if isinstance(source, Image.Image):
        _check_size(source.size, "the image", max_pixels)
        return _to_pixels(source, "the image"), "PIL image"
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_bytes(bytes(source), "the given data", max_pixels), "bytes"
    if not isinstance(source, str | os.PathLike):
        return _from_bytes(_contents(source), "the given file", max_pixels), str(getattr(source, "name", "file"))
    text = os.fspath(source)
    if text.startswith("data:"):
        return _from_bytes(_data_uri(text), "the data URI", max_pixels), "data URI"
    path = _to_path(text)
    return _from_bytes(_read_file(path), repr(_short(str(path))), max_pixels), str(path)


def _contents(source: object) -> bytes:
    """Give the bytes of an open file, from where it stands."""
    read: object = getattr(source, "read", None)
    data: object = None
    if callable(read) and not inspect.iscoroutinefunction(read):
        try:
            data = read()
        except (OSError, ValueError) as error:  # ValueError: it is closed, or no text of its encoding
            raise InputError(f"cannot read the given file: {error}") from error
    if not isinstance(data, bytes):
        raise InputError(
            f"cannot open a {type(source).__name__} as an image: give a path, a data URI, bytes, a file opened in"
            " binary mode, a PIL image or a uint8 array (H, W, 3)"
        )
    tell: object = getattr(source, "tell", None)
    if not data and callable(tell) and tell():  # as a BytesIO does after an image was saved into it
        raise InputError("the given file stands at its end: call seek(0) on it first")
    return data


def image_size(data: bytes) -> tuple[int, int]:
    """(width, height) that the header of an image file says; nothing is decoded.

    Raises:
        InputError: it is no image in a format that is read.
    """
    with _opened(data, "the data") as image:
        return image.size


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
        raise InputError("the path is empty; give the path of an image file")
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
            raise InputError(f"{shown} is a directory; give the path of an image file")
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
    if not header.lower().endswith(";base64"):
        return unquote_to_bytes(payload)
    digits = "".join(unquote(payload).split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)  # many encoders drop the padding
    except (binascii.Error, ValueError) as error:
        raise InputError(f"the data URI is not valid base64: {error}") from error


def _from_bytes(data: bytes, shown: str, max_pixels: int) -> NDArray[np.uint8]:
    if not data:
        raise InputError(f"{shown} is empty (0 bytes)")
    with _opened(data, shown) as image:
        _check_size(image.size, shown, max_pixels)
        deep = _deep_color(data, image)
        return _to_pixels(image if deep is None else deep, shown)


def _opened(data: bytes, shown: str) -> Image.Image:
    """Open a file by its header alone, or say what it is instead of an image that can be read."""
    try:
        return _open_lazily(data)
    except UnidentifiedImageError as error:
        kind = kind_of(data)
        raise InputError(
            f"{shown} is {kind}"
            if kind
            else f"{shown} is not an image in a format that can be read (PNG, JPEG, WebP, TIFF, ...)"
        ) from error
    except _BROKEN as error:
        raise InputError(f"{shown} is a damaged image: {error}") from error


def _open_lazily(data: bytes) -> Image.Image:
    """Read only the header; our own limit is checked instead of Pillow's, which warns or raises by a global setting."""
    with _opening:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            Image.init()
            if is_heic(data):
                return _open_heic(data)
            return Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _open_heic(data: bytes) -> Image.Image:
    """Open by pillow-heif, the extra `heif`; without it the file is one that nobody can identify."""
    try:
        heif: Any = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise UnidentifiedImageError("pillow-heif is not installed") from error
    return heif.open_heif(io.BytesIO(data)).to_pillow()


def _deep_color(data: bytes, image: Image.Image) -> Image.Image | None:
    """Give an image of 16 bits in each of several channels, scaled to 8; None where Pillow reads all there is.

    Pillow keeps the upper 8 bits of each channel, and so a camera's 12 bits would be black.
    """
    tiles: list[Any] = getattr(image, "tile", None) or []
    arguments: Any = tiles[0][3] if tiles else ""
    layout = arguments if isinstance(arguments, str) else str(next(iter(arguments or ()), ""))  # such as "RGB;16B"
    if ";16" not in layout or layout.startswith("I"):
        return None
    values = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.shape[:2] != image.size[::-1]:
        return None
    if values.ndim == 3:
        values = cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA if values.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    scaled = Image.fromarray(scaled_to_8_bit(values))
    scaled.getexif()[TAG] = image.getexif().get(TAG, UPRIGHT)
    return scaled


def _check_size(size: tuple[int, int], shown: str, max_pixels: int = MAX_PIXELS) -> None:
    width, height = size
    if width * height > max_pixels:
        raise InputError(
            f"{shown} has {width}x{height} = {width * height / 1e6:.0f} megapixels; the limit is "
            f"{max_pixels / 1e6:g}: scale it down or cut it into parts first"
        )
    if width < 1 or height < 1:
        raise InputError(f"{shown} has no pixels ({width}x{height})")


def _to_pixels(image: Image.Image, shown: str) -> NDArray[np.uint8]:
    try:
        if getattr(image, "n_frames", 1) > 1:
            image.seek(0)
        white_is_zero = _is_white_zero(image)
        upright = image if is_upright(image) else ImageOps.exif_transpose(image)
        if upright.mode.startswith(("I", "F")):
            scaled = scaled_to_8_bit(np.asarray(upright))
            upright = Image.fromarray(255 - scaled if white_is_zero else scaled)
        return _by_strips(upright)
    except MemoryError as error:
        width, height = image.size
        raise InputError(f"not enough memory to decode {shown} ({width}x{height}); scale it down first") from error
    except _BROKEN as error:
        raise InputError(f"{shown} is a damaged or truncated image: {error}") from error


def _is_white_zero(image: Image.Image) -> bool:
    """Tell whether 0 means white in a TIFF; Pillow minds it up to 8 bits only."""
    tags: Any = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0


def _by_strips(image: Image.Image) -> NDArray[np.uint8]:
    """Give (H, W, 3) RGB, converted strip by strip: a whole 100 megapixel image would be copied four times."""
    width, height = image.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    step = max(1, _STRIP // width)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        pixels[top:bottom] = np.asarray(_to_rgb(image.crop((0, top, width, bottom))))
    return pixels


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


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


_DEPTHS = (8, 10, 12, 14, 16)
"""Bits of sensors that write into 16: a camera of 12 bits uses 6 % of the range, and would look black."""


def scaled_to_8_bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale integers or floats of any shape to uint8.

    Integers from 0 to 65535 are scaled by the fewest bits of a usual sensor that hold the brightest, floats from 0 to 1
    by their full range, anything else from its own extremes. What is not finite becomes 0.
    """
    numbers = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    if np.issubdtype(values.dtype, np.integer) and low >= 0 and high <= 65535:
        low, high = 0.0, float(2 ** next(bits for bits in _DEPTHS if high < 2**bits) - 1)
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    span = max(high - low, 1e-12)
    return np.rint((numbers - low) / span * 255).astype(np.uint8)


_SAVE = "save it as JPEG or PNG"
_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\x0a", f"a JPEG XL image, which is not read: {_SAVE}"),
    (0, b"\x00\x00\x00\x0cJXL ", f"a JPEG XL image, which is not read: {_SAVE}"),
    (0, b"%PDF", f"a PDF document: {_SAVE} page by page"),
    (0, b"8BPS", f"a Photoshop document: {_SAVE}"),
    (0, b"v/1\x01", f"an OpenEXR image, which is not read: {_SAVE}"),
    (0, b"#?RADIANCE", f"a Radiance HDR image, which is not read: {_SAVE}"),
    (0, b"II\x2b\x00", f"a BigTIFF, which is not read: {_SAVE} or plain TIFF"),
    (0, b"MM\x00\x2b", f"a BigTIFF, which is not read: {_SAVE} or plain TIFF"),
    (0, b"\x93NUMPY", "a NumPy array: load it and pass the array, uint8 (H, W, 3)"),
    (0, b"\x89HDF", f"an HDF5 file: {_SAVE}"),
    (0, b"PK\x03\x04", "a ZIP archive: unpack it first"),
    (0, b"\x1f\x8b", "a gzip archive: unpack it first"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska, WebM): take a frame of it"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the image: fetch it with 'git lfs pull'"),
    (8, b"AVI ", "a video (AVI): take a frame of it"),
    (128, b"DICM", f"a DICOM file, which is not read: {_SAVE}"),
)  # fmt: skip
"""Offset, bytes there, and what such a file is."""
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")
_VIDEO = (
    b"isom",
    b"iso2",
    b"iso4",
    b"iso5",
    b"iso6",
    b"mp41",
    b"mp42",
    b"qt  ",
    b"M4V ",
    b"avc1",
    b"dash",
    b"3gp4",
    b"3gp5",
)
_TEXT = ((b"<svg", f"an SVG drawing, which has no pixels: {_SAVE}"), (b"<!doctype html", "a web page, not an image"))
_HEAD = 400
_MOST_BANDS = 1000


def is_heic(data: bytes) -> bool:
    """Tell whether the data is an HEIC or HEIF image, as iPhones write them."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC and not any(data[i : i + 4] in _AVIF for i in range(8, 40, 4))


def kind_of(data: bytes) -> str | None:
    """Describe a file that cannot be read as an image; None where nothing is known of it."""
    if is_heic(data):
        return f"a HEIC image: {_SAVE}, or install the extra that reads it: pip install 'sam3-agent[heif]'"
    if data[4:8] == b"ftyp" and data[8:12] in (*_AVIF, *_HEIC):
        return f"an AVIF image, which this build of Pillow does not read: {_SAVE}"
    if data[4:8] == b"ftyp" and data[8:12] in _VIDEO:
        return "a video (MP4, MOV): take a frame of it"
    for offset, mark, words in _KINDS:
        if data[offset : offset + len(mark)] == mark:
            return words
    head = data[:_HEAD].lower()
    return next((words for mark, words in _TEXT if mark in head), None) or tiff_kind(data)


def tiff_kind(data: bytes) -> str | None:
    """Describe the bands of a TIFF, such as "a TIFF of 4 bands of 16 bits"; None where it is none."""
    if data[:4] not in (b"II\x2a\x00", b"MM\x00\x2a"):
        return None
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(directory.next)
        directory.load(file)
        bands = int(directory.get(TiffImagePlugin.SAMPLESPERPIXEL, 1))
        depths = directory.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        bits = "/".join(str(value) for value in dict.fromkeys(depths[:_MOST_BANDS]))
        kind = {2: " (signed)", 3: " (floating point)"}.get(
            int(directory.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0]), ""
        )
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error):
        return "a TIFF with a damaged directory"
    counted = f"{bands} {'band' if bands == 1 else 'bands'} of {bits} bits{kind}"
    return f"a TIFF of {counted}, which is not read: {_SAVE} of 8 bits"
