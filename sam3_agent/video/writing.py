"""Writing of videos that browsers play: H.264 or AV1 in MP4, AV1 or VP9 in WebM.

The path is written as it is given; who wants a file that appears whole or not at all gives a temporary one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.video.video import Pixels

Codec = Literal["auto", "h264", "av1", "vp9"]
Encoder = Literal["auto", "pyav", "opencv"]

CODECS: dict[str, tuple[str, ...]] = {".mp4": ("h264", "av1"), ".webm": ("av1", "vp9"), ".mkv": ("h264", "av1", "vp9")}
"""Suffix -> codecs that may be in such a file, the usual one first."""
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "veryfast", "crf": "20"}),
    "av1": ("libsvtav1", {"preset": "10", "crf": "32"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "crf": "31", "b": "0", "row-mt": "1"}),
}
"""FFmpeg's encoder and its options; 200 frames of 960x540 took 2.5, 2.3 and 2.1 CPU-s (1.1 to 1.4 MB)."""
TICKS = 90_000
"""Timestamps a second where frames are not evenly spaced: MPEG's usual clock."""
BT709 = 1
"""FFmpeg's number of BT.709 as matrix, primaries and transfer: what browsers assume of what does not say."""
NARROW_RANGE = 1
KEYFRAME_SECONDS = 1.0
"""A keyframe each second, so that a page can scrub."""
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
    path: Path,
    frames: Iterable[Pixels],
    *,
    fps: float = 25.0,
    times: Sequence[float] | NDArray[np.float64] | None = None,
    codec: Codec = "auto",
    encoder: Encoder = "auto",
) -> WrittenVideo:
    """Encode frames, each (H, W, 3) uint8 RGB and all of one size, as they come; nothing but one of them is held.

    `times` are seconds, one a frame and rising; without them frames are `fps` a second. "auto" takes the first codec
    of the suffix: .mp4 (H.264), .webm (AV1) or .mkv. OpenCV, without PyAV, writes VP9 in .webm only.

    Raises:
        InputError: no frames, another size or type, times that do not rise, or a suffix or codec that is not written.
    """
    allowed = CODECS.get(path.suffix.lower())
    if allowed is None or (codec != "auto" and codec not in allowed):
        kinds = "; ".join(f"{suffix}: {', '.join(names)}" for suffix, names in CODECS.items())
        raise InputError(f"cannot write {codec} into {path.name!r}; these can be written: {kinds}")
    if not 0.0 < fps <= 1000.0:
        raise InputError(f"expected fps above 0 and at most 1000, got {fps}")
    checked = _Checked(iter(frames), times)
    first = checked.first()
    use_opencv = encoder == "opencv" or (encoder == "auto" and find_spec("av") is None)
    if use_opencv:
        from sam3_agent.video.opencv_writer import encode_with_opencv

        name = encode_with_opencv(path, chain((first,), checked), fps, codec, evenly=times is None)
    else:
        name = _encode(path, chain((first,), checked), fps, times is not None, allowed[0] if codec == "auto" else codec)
    height, width = first[1].shape[:2]
    right, bottom = checked.padding
    return WrittenVideo(path, checked.count, width, height, name, (right, bottom))


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
        """The first frame; raises InputError where there is none."""
        for found in self:
            return found
        raise InputError("there are no frames to write")

    def __iter__(self) -> _Checked:
        return self

    def __next__(self) -> tuple[float, Pixels]:
        """(seconds or number, padded frame)."""
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


def _encode(path: Path, frames: Iterable[tuple[float, Pixels]], fps: float, timed: bool, codec: str) -> str:
    """Write with PyAV; returns the codec."""
    import av
    import av.error

    name, options = ENCODERS[codec]
    if name not in av.codecs_available:
        raise InputError(f"this FFmpeg has no encoder for {codec} ({name}); choose another codec")
    rate = Fraction(fps).limit_denominator(1001)
    clock = Fraction(1, TICKS) if timed else 1 / rate
    container_options = {"movflags": "+faststart"} if path.suffix.lower() == ".mp4" else {}
    try:
        with av.open(str(path), "w", options=container_options) as opened:
            container: Any = opened  # PyAV's stubs know the type of a stream by its literal name only
            stream: Any = container.add_stream(name, rate=rate, options=options)
            _set_up(stream, clock, max(1, round(fps * KEYFRAME_SECONDS)))
            begin: float | None = None
            for time, pixels in frames:
                if begin is None:
                    begin = time
                    stream.height, stream.width = pixels.shape[:2]
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
                frame.pts = round((time - begin) * TICKS) if timed else round(time - begin)
                frame.time_base = clock
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        raise InputError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    return codec


def _set_up(stream: Any, clock: Fraction, keyframe_every: int) -> None:
    """Pixel format, clock, colors and keyframes of an encoder."""
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = clock
    context.gop_size = keyframe_every
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = NARROW_RANGE
