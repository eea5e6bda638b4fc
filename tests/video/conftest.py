"""Small videos that say in their pixels which frame they show."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

av = pytest.importorskip("av", reason="PyAV, the extra [video], is not installed: nothing makes the videos")

from sam3_agent.video.pyav import ordinary_scheduling  # noqa: E402 - it imports PyAV

BITS = 8
SIDE = 16
SIZE = (BITS * SIDE, 64)
"""Width and height of the videos: one column of blocks a bit."""
TINTS = ((200, 40, 40), (40, 160, 60), (50, 70, 200))


def numbered(index: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """(H, W, 3): the upper half holds `index` in binary, white or black; the lower half three tints."""
    width, height = size
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    for bit in range(BITS):
        picture[: height // 2, width * bit // BITS : width * (bit + 1) // BITS] = 255 * (index >> bit & 1)
    for place, tint in enumerate(TINTS):
        picture[height // 2 :, width * place // 3 : width * (place + 1) // 3] = tint
    return picture


def number_of(picture: NDArray[np.uint8]) -> int:
    """The index that a picture of `numbered` shows, however it was compressed."""
    height, width = picture.shape[:2]
    row = picture[height // 4].mean(axis=-1)
    return sum(1 << bit for bit in range(BITS) if row[int(width * (bit + 0.5) / BITS)] > 127)


Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Encodes numbered frames with PyAV, as told by the keywords of `encode`."""

    def made(name: str, **how: Any) -> Path:
        path = tmp_path / name
        encode(path, **how)
        return path

    return made


def encode(
    path: Path,
    *,
    codec: str = "libx264",
    frames: int = 30,
    size: tuple[int, int] = SIZE,
    pts: Sequence[int] | None = None,
    clock: int = 90_000,
    rate: int = 25,
    gop: int = 10,
    rotation: int = 0,
    pixel_format: str = "yuv420p",
    pictures: Sequence[NDArray[np.uint8]] | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
) -> None:
    """Write numbered frames, or `pictures` (RGB or RGBA), at `pts` of `clock` ticks a second or evenly."""
    os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder asks once a process how much it may say
    with av.open(str(path), "w", options=container or {}) as output:
        stream: Any = output.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.gop_size = gop
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, clock)
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(frames if pts is None else len(pts)):
            picture = numbered(index, size) if pictures is None else pictures[index]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24" if picture.shape[2] == 3 else "rgba")
            frame = frame.reformat(format=pixel_format)
            if pts is not None:
                frame.pts, frame.time_base = pts[index], Fraction(1, clock)
            with ordinary_scheduling():  # as root, the AV1 encoder else leaves this process real-time
                output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
