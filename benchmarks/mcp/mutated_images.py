"""Images of 14 formats, and what breaks in them or is broken on purpose: drawn by a number, the same every time."""

import io
import random
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

SIDE = (160, 120)
"""(width, height) of the originals."""
_SAVED: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "jpg": ("JPEG", "RGB", {"quality": 85}),
    "progressive.jpg": ("JPEG", "RGB", {"progressive": True}),
    "cmyk.jpg": ("JPEG", "CMYK", {}),
    "png": ("PNG", "RGBA", {}),
    "palette.png": ("PNG", "P", {}),
    "gray16.png": ("PNG", "I;16", {}),
    "gif": ("GIF", "P", {"frames": 5}),
    "webp": ("WEBP", "RGB", {}),
    "lossless.webp": ("WEBP", "RGBA", {"lossless": True}),
    "bmp": ("BMP", "RGB", {}),
    "tif": ("TIFF", "RGB", {"compression": "tiff_lzw", "frames": 2}),
    "jp2": ("JPEG2000", "RGB", {}),
    "avif": ("AVIF", "RGB", {}),
    "ppm": ("PPM", "RGB", {}),
}
FORMATS = tuple(_SAVED)
_LARGE = (b"\xff\xff", b"\xff\xff\xff\xff", b"\x00\x01\x86\xa0", b"\xa0\x86\x01\x00", b"\x7f\xff\xff\xff", b"\0\0\0\0")
"""Sizes and lengths that mean harm, in both orders of bytes."""


def originals() -> dict[str, bytes]:
    """A sound file of each format, by its ending."""
    rows, columns = np.mgrid[0 : SIDE[1], 0 : SIDE[0]]
    pixels = np.stack([rows * 2, columns, (rows ^ columns) & 255], axis=-1).astype(np.uint8)  # (H, W, 3)
    image = Image.fromarray(pixels)
    found: dict[str, bytes] = {}
    for ending, (form, mode, options) in _SAVED.items():
        more = dict(options)
        frames = [image.rotate(10 * n) for n in range(1, more.pop("frames", 1))]
        wide = (columns * 300).astype(np.uint16)
        one = Image.fromarray(wide) if mode == "I;16" else image.convert(mode)
        series = {"save_all": True, "append_images": frames} if frames else {}
        buffer = io.BytesIO()
        one.save(buffer, form, **more, **series)
        found[ending] = buffer.getvalue()
    return found


def mutated(files: Mapping[str, bytes], number: int) -> tuple[str, bytes]:
    """(ending, contents) of file `number`."""
    chance = random.Random(number)
    ending = FORMATS[number % len(FORMATS)]
    data = files[ending]
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = changed(bytearray(data), chance)
    if ending.endswith("png") and chance.random() < 0.7:
        data = _with_sums(data)
    return ending, data


def changed(data: bytearray, chance: random.Random) -> bytes:
    """The file with one thing broken in it: cut off, bytes changed, doubled, left out or put in, lengths that harm."""
    kind = chance.randrange(8)
    head = chance.randrange(min(len(data), 64)) if data else 0
    at = chance.randrange(len(data)) if data else 0
    if kind == 0:
        return bytes(data[:at])
    if kind == 1:
        for _ in range(chance.choice((1, 8, 64))):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
    elif kind == 2:
        large = chance.choice(_LARGE)
        data[head : head + len(large)] = large
    elif kind == 3:
        large = chance.choice(_LARGE)
        data[at : at + len(large)] = large
    elif kind == 4:
        data[at:at] = data[at : at + 500] * chance.choice((2, 50, 400))
    elif kind == 5:
        del data[at : at + chance.choice((1, 4, 100))]
    elif kind == 6:
        data[at:at] = bytes(chance.randrange(256) for _ in range(chance.choice((1, 4, 100))))
    else:
        return _more_scans(bytes(data), chance.choice((10, 60, 400)))
    return bytes(data)


def _more_scans(data: bytes, count: int) -> bytes:
    """Repeat the last scan of a JPEG; of others the last part."""
    place = data.rfind(b"\xff\xda")
    if place < 0:
        return data + data[-200:] * count
    return data[:-2] + data[place:-2] * count + data[-2:]


def _with_sums(data: bytes) -> bytes:
    """The PNG with sums that are right, so that a decoder goes on to what was changed."""
    made, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunk = data[at + 4 : at + 8 + length]
        if at + 12 + length > len(data):
            break
        made += data[at : at + 4] + chunk + struct.pack(">I", zlib.crc32(chunk))
        at += 12 + length
    return bytes(made) + data[at:]
