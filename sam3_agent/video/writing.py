"""Writing of videos that browsers play: H.264 or AV1 in MP4, AV1 or VP9 in WebM.

The path is written as it is given; who wants a file that appears whole or not at all gives a temporary one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain, count
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.video.video import Pixels

Codec = Literal["auto", "h264", "av1", "vp9"]
Encoder = Literal["auto", "pyav", "opencv"]

CODECS: dict[str, tuple[str, ...]] = {".mp4": ("h264", "av1"), ".webm": ("vp9", "av1"), ".mkv": ("h264", "av1", "vp9")}
"""Suffix -> codecs that may be in such a file, the usual one first."""
LARGEST_SIDE = 8192


@dataclass(frozen=True, slots=True)
class WrittenVideo:
    """A file that was written; `padded` (right, bottom) pixels were repeated at the edges to make both sides even."""

    path: Path
    frames: int
    width: int
    height: int
    codec: str
    padded: tuple[int, int]


def write_video(
    path: str | Path,
    frames: Iterable[Pixels],
    *,
    fps: float = 25.0,
    times: Sequence[float] | NDArray[np.float64] | None = None,
    codec: Codec = "auto",
    encoder: Encoder = "auto",
) -> WrittenVideo:
    """Encode frames, each (H, W, 3) uint8 RGB and all of one size, as they come; nothing but one of them is held.

    `times` are seconds, one a frame and rising; without them frames are `fps` a second. "auto" takes the first codec
    of the suffix: .mp4 (H.264), .webm (VP9) or .mkv. OpenCV, without PyAV, writes VP9 in .webm only.

    Raises:
        InputError: no frames, another size or type, times that do not rise, or a suffix or codec that is not written.
    """
    if not 0.0 < fps <= 1000.0:
        raise InputError(f"expected fps above 0 and at most 1000, got {fps}")
    path = Path(path).expanduser()
    usual = _usual_codec(path, codec)
    checked = _Checked(iter(frames), times)
    first = checked.first()
    if _uses_opencv(encoder):
        from sam3_agent.video.opencv import encode_with_opencv

        name = encode_with_opencv(path, chain((first,), checked), fps, codec, evenly=times is None)
    else:
        from sam3_agent.video.pyav import encode_with_pyav

        name = encode_with_pyav(path, chain((first,), checked), fps, usual, timed=times is not None)
    height, width = first[1].shape[:2]
    return WrittenVideo(path, checked.count, width, height, name, checked.padding)


def _usual_codec(path: Path, codec: Codec) -> str:
    """Choose the codec asked for, or the first of the suffix; raises InputError where the file cannot hold it."""
    allowed = CODECS.get(path.suffix.lower())
    if allowed is None or (codec != "auto" and codec not in allowed):
        kinds = "; ".join(f"{suffix}: {', '.join(names)}" for suffix, names in CODECS.items())
        raise InputError(
            f"cannot write codec {codec} into {path.suffix or 'a file without suffix'}; these can be written: {kinds}"
        )
    return allowed[0] if codec == "auto" else codec


def _uses_opencv(encoder: Encoder) -> bool:
    has_pyav = find_spec("av") is not None
    if encoder == "pyav" and not has_pyav:
        raise InputError("PyAV is not installed: pip install 'sam3-agent[video]'")
    return encoder == "opencv" or not has_pyav


class _Checked:
    """Frames with their times, checked and padded to even sides as they pass."""

    def __init__(self, frames: Iterable[Pixels], times: Sequence[float] | NDArray[np.float64] | None) -> None:
        self._frames = iter(frames)
        self._times = iter(count()) if times is None else iter(times)
        self._size: tuple[int, int] | None = None
        self._before = -np.inf
        self.count = 0
        self.padding = (0, 0)

    def first(self) -> tuple[float, Pixels]:
        """Give the first frame; raises InputError where there is none."""
        for found in self:
            return found
        raise InputError("there are no frames to write")

    def __iter__(self) -> _Checked:
        return self

    def __next__(self) -> tuple[float, Pixels]:
        """Give (seconds or number, padded frame)."""
        frame = next(self._frames)
        time = next(self._times, None)
        if time is None or not time > self._before:
            raise InputError(f"expected one time a frame, rising; frame {self.count} has {time} after {self._before}")
        self._before = float(time)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise InputError(f"a frame must be uint8 RGB (H, W, 3), got {frame.dtype} {frame.shape}")
        size = frame.shape[:2]
        if self._size is None:
            if not all(1 <= side <= LARGEST_SIDE for side in size):
                raise InputError(f"expected sides from 1 to {LARGEST_SIDE} pixels, got {size[1]}x{size[0]}")
            self._size = (size[0], size[1])
            self.padding = (size[1] % 2, size[0] % 2)
        if size != self._size:
            raise InputError(
                f"frame {self.count} is {size[1]}x{size[0]}, the first was {self._size[1]}x{self._size[0]}"
            )
        self.count += 1
        right, bottom = self.padding
        return float(time), np.pad(frame, ((0, bottom), (0, right), (0, 0)), "edge") if right or bottom else frame
