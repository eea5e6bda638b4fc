"""Videos of seven formats, and what breaks in them or is broken on purpose: drawn by a number, the same every time."""

import io
import random
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.mcp.mutated_images import changed
from sam3_agent.video import Codec, write_video

SIDE, FRAMES = (160, 120), 24
"""(width, height) and frames of the originals."""
_WRITTEN: Mapping[str, Codec] = {"mp4": "h264", "webm": "vp9", "mkv": "h264", "av1.mp4": "av1"}
FORMATS = (*_WRITTEN, "gif", "webp", "png")


def originals() -> dict[str, bytes]:
    """A sound file of each format, by its ending."""
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as name:
        for ending, codec in _WRITTEN.items():
            path = Path(name) / f"one.{ending}"
            write_video(path, _frames(), fps=12.0, codec=codec)
            found[ending] = path.read_bytes()
    for ending in ("gif", "webp", "png"):
        first, *rest = [Image.fromarray(frame) for frame in _frames()]
        buffer = io.BytesIO()
        first.save(buffer, ending.upper(), save_all=True, append_images=rest, duration=80)
        found[ending] = buffer.getvalue()
    return found


def mutated(files: Mapping[str, bytes], number: int) -> tuple[str, bytes]:
    """(ending, contents) of file `number`: one in five is broken on purpose, where its kind can be."""
    chance = random.Random(number)
    ending = FORMATS[number % len(FORMATS)]
    data = files[ending]
    if ending.endswith("mp4") and chance.random() < 0.4:
        return ending, chance.choice((huge, endless, renamed))(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = changed(bytearray(data), chance)
    return ending, data


def huge(data: bytes, side: int = 0x7FF0) -> bytes:
    """The MP4 with a width and a height of so many pixels in its sample entry."""
    made = bytearray(data)
    for name in (b"avc1", b"av01"):
        at = data.find(name, data.find(b"stsd"))
        if at >= 0:
            made[at + 28 : at + 32] = struct.pack(">HH", side, side)
    return bytes(made)


def endless(data: bytes, frames: int = 1_000_000_000) -> bytes:
    """The MP4 whose tables say that it has so many frames, each of one byte and a moment long."""
    made = bytearray(data)
    sizes, times, chunks = (data.find(name) for name in (b"stsz", b"stts", b"stsc"))
    if sizes >= 0:
        made[sizes + 8 : sizes + 16] = struct.pack(">II", 1, frames)
    if times >= 0:
        made[times + 12 : times + 16] = struct.pack(">I", frames)
    if chunks >= 0:
        made[chunks + 16 : chunks + 20] = struct.pack(">I", frames)
    return bytes(made)


def renamed(data: bytes) -> bytes:
    """The MP4 that says it is in another codec."""
    return data.replace(b"avc1", b"mp4v").replace(b"av01", b"hev1")


def _frames() -> Iterator[NDArray[np.uint8]]:
    """A square that goes to the right over a gradient, (H, W, 3) each."""
    rows, columns = np.mgrid[0 : SIDE[1], 0 : SIDE[0]]
    ground = np.stack([rows * 2, columns, (rows ^ columns) & 255], axis=-1).astype(np.uint8)
    for index in range(FRAMES):
        frame = ground.copy()
        frame[40:70, 4 * index : 4 * index + 30] = (250, 240, 10)
        yield frame
