"""OpenCV as decoder and encoder, where PyAV is not installed: exact, but without seeking, and VP9 in WebM only.

OpenCV's jumps land beside the frame asked for (measured on variable rates), so frames are counted from the beginning.
VP9 in WebM is the one thing it writes that browsers play.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.video.video import Pixels, Video, VideoInfo, VideoLimits, check_count, check_size, mean_rate

DEFAULT_RATE = 25.0
INSTALL = "PyAV reads more: pip install 'sam3-agent[video]'"


@dataclass(frozen=True, slots=True)
class OpenCvReader:
    """The frames of one file, all of `size` (width, height), upright."""

    path: Path
    size: tuple[int, int]

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Pixels, bool]]:
        """Give the frames of `indices`, rising; one that cannot be decoded shows the one before it."""
        position = -1
        last: Any = None
        with _opened(self.path) as capture:
            for index in indices:
                while position < index and capture.grab():
                    position += 1
                retrieved = False
                pixels: Any = None
                if position == index:
                    retrieved, pixels = capture.retrieve()
                if retrieved:
                    last = _to_rgb(pixels, self.size)
                elif last is None:
                    raise InputError(f"frame {index} of {str(self.path)!r} cannot be decoded; the file has changed")
                yield index, np.asarray(last, dtype=np.uint8).copy(), not retrieved


def open_with_opencv(path: Path, limits: VideoLimits) -> Video:
    """Check and index a video file, by decoding it once.

    Raises:
        InputError: it has no video, is too large, or not one frame of it can be decoded.
    """
    import cv2

    shown = repr(str(path))
    with _opened(path) as capture:
        declared = round(max(0.0, float(capture.get(cv2.CAP_PROP_FRAME_COUNT))))
        check_size(*_size(capture), shown, limits)
        rotation = round(float(capture.get(cv2.CAP_PROP_ORIENTATION_META)))
        rate = float(capture.get(cv2.CAP_PROP_FPS)) or DEFAULT_RATE
        codec = _codec(capture)
        times, size = _scan(capture, shown, limits)
    warnings: list[str] = []
    if times.size > 1 and not (np.diff(times) > 0.0).all():
        times = np.arange(times.size) / rate
        warnings.append("the file has no usable times: its frames are taken to be evenly spaced")
    if declared > times.size:
        warnings.append(f"the file is cut off or damaged: {times.size} of {declared} frames can be read")
    info = VideoInfo(
        name=str(path),
        width=size[0],
        height=size[1],
        times=times,
        fps=mean_rate(times, rate),
        reader="opencv",
        codec=codec,
        rotation=-rotation % 360,
        warnings=tuple(warnings),
    )
    return Video(info, OpenCvReader(path, size))


def _scan(capture: Any, shown: str, limits: VideoLimits) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Collect (T,) seconds from the first frame, and the upright width and height of that."""
    import cv2

    milliseconds: list[float] = []
    size = _size(capture)
    while capture.grab():
        milliseconds.append(float(capture.get(cv2.CAP_PROP_POS_MSEC)))
        check_count(len(milliseconds), shown, limits)
        if len(milliseconds) == 1:
            found, first = capture.retrieve()
            size = (first.shape[1], first.shape[0]) if found else size
    if not milliseconds:
        raise InputError(f"OpenCV decodes no frame of {shown}, which may be in a codec that it lacks; {INSTALL}")
    return (np.array(milliseconds) - milliseconds[0]) / 1000.0, size


@contextmanager
def _opened(path: Path) -> Generator[Any]:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # nothing: what is wrong with a file is told by an error
    import cv2

    logging: Any = cast(Any, cv2).utils.logging
    logging.setLogLevel(logging.LOG_LEVEL_ERROR)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise InputError(f"{str(path)!r} cannot be read as a video by OpenCV; {INSTALL}")
        yield capture
    finally:
        capture.release()


def _size(capture: Any) -> tuple[int, int]:
    import cv2

    return round(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), round(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))


def _to_rgb(pixels: Any, size: tuple[int, int]) -> Pixels:
    """Convert to (H, W, 3) RGB, scaled where the stream changes its size on the way."""
    import cv2

    library: Any = cv2  # its stubs have no place for what retrieve() gives
    if pixels.shape[1::-1] != size:
        pixels = library.resize(pixels, size, interpolation=library.INTER_AREA)
    return np.asarray(library.cvtColor(pixels, library.COLOR_BGR2RGB), dtype=np.uint8)


def _codec(capture: Any) -> str:
    import cv2

    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    letters = bytes((code >> shift) & 0xFF for shift in (0, 8, 16, 24))
    return letters.decode("ascii", "replace").strip("\x00 ").lower() or "unknown"


def encode_with_opencv(
    path: Path, frames: Iterable[tuple[float, Pixels]], fps: float, codec: str, *, evenly: bool
) -> str:
    """Write frames of even sides; returns the codec.

    Raises:
        InputError: another suffix or codec, frames that are not evenly spaced, or OpenCV cannot write there.
    """
    import cv2

    if path.suffix.lower() != ".webm" or codec not in ("auto", "vp9"):
        raise InputError(
            f"without PyAV only VP9 in .webm can be written, not {path.suffix} in codec {codec};"
            " pip install 'sam3-agent[video]' for H.264 and AV1"
        )
    if not evenly:
        raise InputError("without PyAV frames can be written at one rate only: pip install 'sam3-agent[video]'")
    writer: Any = None
    try:
        for _, pixels in frames:
            if writer is None:
                fourcc = cast(Any, cv2).VideoWriter.fourcc(*"vp09")
                writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, pixels.shape[1::-1])
                if not writer.isOpened():
                    raise InputError(f"OpenCV cannot write {str(path)!r}")
            writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    finally:
        if writer is not None:
            writer.release()
    return "vp9"
