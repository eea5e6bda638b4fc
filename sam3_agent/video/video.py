"""Video as a value: its size, its times, and its frames, decoded when they are asked for.

Frames are addressed by index from 0; their times are seconds from the first frame, by the container's timestamps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError

Pixels = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""

BLOCK_BYTES = 256_000_000
"""Bytes that are held at once while frames are read in an order that no decoder can follow (backwards)."""
BLOCK_FRAMES = 64
UNEVEN = 0.02
"""Seconds by which steps between frames may differ in a video of constant rate: more than the rounding of timestamps
to milliseconds (Matroska) and to hundredths (GIF)."""


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """Sizes beyond which a video is refused before anything is decoded.

    80 megapixels are more than twice an 8K frame, and below the size at which Pillow suspects a bomb; a million frames
    are nine hours at 30 fps, and 8 MB of times.
    """

    max_pixels: int = 80_000_000
    max_frames: int = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame, `image` (H, W, 3) uint8 RGB and the reader's own copy, shown from second `time` on.

    `damaged` means that it could not be decoded whole; where nothing of it could, the picture is that of the nearest
    frame that could be decoded, an earlier one if there is one.
    """

    index: int
    time: float
    image: Pixels
    damaged: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class VideoInfo:
    """Facts about a video, known before its frames are read.

    `times` (T,) seconds, rising from 0; `fps` the mean rate; `rotation` degrees counterclockwise that were applied to
    make it upright; `names` of the frames' files where it is a folder; `warnings` say what is not as the file claims.
    """

    name: str
    width: int
    height: int
    times: NDArray[np.float64]
    fps: float
    reader: str
    codec: str
    rotation: int = 0
    names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be a video; from now on nobody can change the times."""
        if self.times.ndim != 1 or self.times.size < 1 or not self.fps > 0.0:
            raise InputError(f"expected at least one frame and fps above 0, got {self.times.shape} and {self.fps}")
        self.times.setflags(write=False)

    @property
    def frames(self) -> int:
        """Count the frames."""
        return self.times.size

    @property
    def duration(self) -> float:
        """Seconds, the showing of the last frame included."""
        return float(self.times[-1]) + 1.0 / self.fps

    @property
    def is_variable(self) -> bool:
        """Whether the time between frames varies."""
        steps = np.diff(self.times)
        return steps.size > 1 and float(np.ptp(steps)) > UNEVEN

    def to_json(self) -> dict[str, Any]:
        """Give the facts as one JSON object, without the table of times."""
        return {
            "name": self.name,
            "width": self.width,
            "height": self.height,
            "frames": self.frames,
            "fps": round(self.fps, 4),
            "duration": round(self.duration, 4),
            "variable_rate": self.is_variable,
            "rotation": self.rotation,
            "codec": self.codec,
            "reader": self.reader,
            "warnings": list(self.warnings),
        }


class FrameReader(Protocol):
    """A decoder of one video; every call reads for itself, so that threads need not wait for each other."""

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Pixels, bool]]:
        """Give (index, picture, damaged) of frames by rising index, each decoded when it is asked for."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """A video that was checked and indexed; nothing of it is open or decoded until frames are asked for."""

    info: VideoInfo
    reader: FrameReader = field(repr=False)

    def __len__(self) -> int:
        return self.info.frames

    def frame(self, index: int) -> Frame:
        """Frame `index`, exactly.

        Raises:
            InputError: there is no such frame, or the file has changed or gone.
        """
        return next(iter(self.frames((index,))))

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[Frame]:
        """Give frames in the order asked for, all of them by default; only those in flight are held.

        Rising indices are decoded as they come. Any other order is read in blocks of at most BLOCK_BYTES.

        Raises:
            InputError: there is no such frame, or the file has changed or gone.
        """
        wanted = range(self.info.frames) if indices is None else indices
        wanted = wanted if isinstance(wanted, range) else tuple(wanted)
        self._check(wanted)
        if isinstance(wanted, range) and wanted.step > 0:
            return self._rising(wanted)
        if all(one < two for one, two in pairwise(wanted)):
            return self._rising(wanted)
        return self._any_order(wanted)

    def index_at(self, seconds: float) -> int:
        """Find the index of the frame that is shown at `seconds`; the first or the last one beyond the ends."""
        position = int(np.searchsorted(self.info.times, seconds + 1e-9, side="right")) - 1
        return min(max(position, 0), self.info.frames - 1)

    def _check(self, wanted: Sequence[int]) -> None:
        low, high = (min(wanted), max(wanted)) if len(wanted) else (0, 0)
        if low < 0 or high >= self.info.frames:
            wrong = low if low < 0 else high
            raise InputError(f"there is no frame {wrong} in {self.info.name}; its frames are 0-{self.info.frames - 1}")

    def _rising(self, wanted: Sequence[int]) -> Iterator[Frame]:
        for index, image, damaged in self.reader.read(wanted):
            yield Frame(index, float(self.info.times[index]), image, damaged)

    def _any_order(self, wanted: Sequence[int]) -> Iterator[Frame]:
        fit = BLOCK_BYTES // (3 * self.info.width * self.info.height)
        block = min(BLOCK_FRAMES, max(1, fit))
        for start in range(0, len(wanted), block):
            part = wanted[start : start + block]
            held = {frame.index: frame for frame in self._rising(sorted(set(part)))}
            for index in part:
                frame = held[index]
                yield Frame(index, frame.time, frame.image.copy(), frame.damaged)


def mean_rate(times: NDArray[np.float64], otherwise: float) -> float:
    """Compute frames a second over `times` (T,), seconds; `otherwise` where there is one frame or no time passes."""
    span = float(times[-1] - times[0]) if times.size > 1 else 0.0
    return (times.size - 1) / span if span > 0.0 else otherwise


def check_size(width: int, height: int, shown: str, limits: VideoLimits) -> None:
    """Refuse a picture of no pixels or of more than the limit.

    Raises:
        InputError: it is; the message names `shown`.
    """
    if width < 1 or height < 1:
        raise InputError(f"{shown} has no pixels ({width}x{height})")
    if width * height > limits.max_pixels:
        raise InputError(
            f"{shown} has frames of {width}x{height} = {width * height / 1e6:.0f} megapixels; the limit is"
            f" {limits.max_pixels / 1e6:g}: scale it down first"
        )


def check_count(frames: int, shown: str, limits: VideoLimits) -> None:
    """Refuse a video of no frames or of more than the limit.

    Raises:
        InputError: it is; the message names `shown`.
    """
    if frames < 1:
        raise InputError(f"{shown} has no frame that can be read")
    if frames > limits.max_frames:
        raise InputError(f"{shown} has more than {limits.max_frames} frames, the limit; cut it into parts first")
