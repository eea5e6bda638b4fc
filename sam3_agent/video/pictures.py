"""Frames that are pictures of their own: folders of images, animated GIF, WebP and PNG, and arrays."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from sam3_agent.errors import InputError
from sam3_agent.video.video import Pixels, Video, VideoInfo, VideoLimits, check_count, check_size, mean_rate

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".avif", ".jp2")
"""Endings of frames in a folder; other files in it are left alone."""
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
"""Formats that Pillow may decode; some of its other formats start programs."""
ANIMATED = ("GIF", "WEBP", "PNG")
FOLDER_RATE = 25.0
"""Frames a second of a folder that says nothing: what FFmpeg takes for image sequences."""
SHORTEST_STEP = 0.011
"""GIF frames of 10 ms or less are shown for 100 ms, as browsers do."""
BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error,
    Image.DecompressionBombError, Warning,
)  # fmt: skip
"""Errors of Pillow's decoders on damaged files; warnings only where a program turns them into errors."""


@dataclass(frozen=True, slots=True)
class FolderReader:
    """Image files, one a frame, all of `size` (width, height)."""

    files: tuple[Path, ...]
    size: tuple[int, int]

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Pixels, bool]]:
        """Give the frames of `indices`; a damaged file gives the frame before it, or the next one that can be read."""
        last: Pixels | None = None
        for index in indices:
            pixels = self._pixels(index)
            if pixels is None:
                yield index, self._nearest(index) if last is None else last.copy(), True
            else:
                last = pixels
                yield index, pixels, False

    def _pixels(self, index: int) -> Pixels | None:
        """Read the picture, None where the file is damaged; raises InputError where it is another one than before."""
        path = self.files[index]
        try:
            with _opened(path) as picture:
                pixels = to_pixels(picture)
        except FileNotFoundError as error:
            raise InputError(f"{str(path)!r} is gone; open the folder anew") from error
        except BROKEN:
            return None
        if pixels.shape[1::-1] != self.size:
            raise InputError(f"{str(path)!r} has changed its size; open the folder anew")
        return pixels

    def _nearest(self, index: int) -> Pixels:
        """Read the picture of the nearest readable frame, earlier ones first."""
        for other in (*range(index - 1, -1, -1), *range(index + 1, len(self.files))):
            pixels = self._pixels(other)
            if pixels is not None:
                return pixels
        raise InputError(f"none of the {len(self.files)} images in {str(self.files[0].parent)!r} can be read")


def open_folder(folder: Path, limits: VideoLimits, fps: float | None) -> Video:
    """Open the images of `folder` in natural order ("2.jpg" before "10.jpg") as a video of `fps`.

    Raises:
        InputError: there is none, one is no image, or their sizes differ.
    """
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    files = tuple(sorted((path for path in found if path.is_file()), key=lambda path: natural_key(path.name)))
    if not files:
        raise InputError(f"{str(folder)!r} has no image in it ({', '.join(SUFFIXES)})")
    return open_files(files, str(folder), limits, fps)


def open_files(files: tuple[Path, ...], name: str, limits: VideoLimits, fps: float | None) -> Video:
    """`files` in the order given as a video; see `open_folder`."""
    check_count(len(files), repr(name), limits)
    size = _size(files[0], limits)
    for path in files[1:]:
        other = _size(path, limits)
        if other != size:
            raise InputError(
                f"{str(path)!r} is {other[0]}x{other[1]} but {files[0].name!r} is {size[0]}x{size[1]};"
                " all frames of a video must be of one size"
            )
    rate = fps or FOLDER_RATE
    warnings = () if fps else (f"a folder has no times: {FOLDER_RATE:g} frames a second are assumed",)
    times = np.arange(len(files)) / rate
    info = VideoInfo(
        name=name,
        width=size[0],
        height=size[1],
        times=times,
        fps=rate,
        reader="folder",
        codec=files[0].suffix.lower().lstrip("."),
        names=tuple(path.name for path in files),
        warnings=warnings,
    )
    return Video(info, FolderReader(files, size))


def _size(path: Path, limits: VideoLimits) -> tuple[int, int]:
    """Upright width and height by the header."""
    try:
        with _opened(path) as picture:
            width, height = picture.size
            # of a PNG without EXIF in its header, Pillow would decode the whole picture to look for it at the end
            has_exif = picture.format != "PNG" or "exif" in picture.info
            sideways = has_exif and picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # orientations that swap sides
    except UnidentifiedImageError as error:
        raise InputError(f"{str(path)!r} is no image, though its name says so") from error
    except BROKEN as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from error
    check_size(width, height, repr(str(path)), limits)
    return (height, width) if sideways else (width, height)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Make a sorting key by which numbers in names count as numbers."""
    return tuple(
        (0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in re.split(r"(\d+)", name)
    )


@dataclass(frozen=True, slots=True)
class AnimationReader:
    """An animated image; frame k is what is shown as the k-th."""

    path: Path
    size: tuple[int, int]

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Pixels, bool]]:
        """Give the frames of `indices`; one that cannot be decoded shows the one before it."""
        last: Pixels | None = None
        try:
            opened = _opened(self.path)
        except BROKEN as error:
            raise InputError(f"{str(self.path)!r} cannot be read any more: {error}") from error
        with opened as picture:
            for index in indices:
                try:
                    picture.seek(index)
                    last, damaged = to_pixels(picture), False
                except BROKEN as error:
                    if last is None:
                        raise InputError(f"frame {index} of {str(self.path)!r} cannot be read: {error}") from error
                    damaged = True
                if last.shape[1::-1] != self.size:
                    raise InputError(f"{str(self.path)!r} has changed; open it anew")
                yield index, last.copy() if damaged else last, damaged


def open_animation(path: Path, limits: VideoLimits) -> Video:
    """Open a GIF, WebP or PNG as a video; one that does not move has one frame.

    Raises:
        InputError: it is no such file, or not one frame of it can be read.
    """
    shown = repr(str(path))
    try:
        opened = _opened(path)
    except BROKEN as error:
        raise InputError(f"{shown} cannot be read as a video or an animation: {error}") from error
    with opened as picture:
        if picture.format not in ANIMATED:
            raise InputError(f"{shown} is a picture and no video; open it as an image")
        check_size(*picture.size, shown, limits)
        steps, broken = _steps(picture, limits)
        kind, size = picture.format, picture.size
    check_count(len(steps), shown, limits)
    if len(steps) == 1 and kind == "PNG":
        raise InputError(f"{shown} is a picture and no video; open it as an image")
    times = np.concatenate(([0.0], np.cumsum(steps)[:-1]))
    warnings = (f"the file is cut off after {len(steps)} frames",) if broken else ()
    info = VideoInfo(
        name=str(path),
        width=size[0],
        height=size[1],
        times=times,
        fps=mean_rate(times, 1.0 / steps[0]),
        reader="pillow",
        codec=kind.lower(),
        warnings=warnings,
    )
    return Video(info, AnimationReader(path, size))


def _steps(picture: Image.Image, limits: VideoLimits) -> tuple[list[float], bool]:
    """Measure how long each frame is shown, seconds, and whether the file breaks off."""
    steps: list[float] = []
    while len(steps) <= limits.max_frames:
        try:
            picture.seek(len(steps))
            picture.load()
        except EOFError:
            return steps, False
        except BROKEN:
            return steps, True
        step = float(picture.info.get("duration", 0.0)) / 1000.0
        steps.append(step if step >= SHORTEST_STEP else 0.1)
    return steps, False


def _opened(path: Path) -> Image.Image:
    """Open the image, of which no more than the header is read; raises what Pillow raises."""
    Image.init()
    return Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])


@dataclass(frozen=True, slots=True, eq=False)
class ArrayReader:
    """Frames that are in memory already, (T, H, W, 3) uint8 RGB."""

    frames: Pixels

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Pixels, bool]]:
        """Give copies of the frames of `indices`."""
        for index in indices:
            yield index, self.frames[index].copy(), False


def open_array(frames: NDArray[Any], limits: VideoLimits, fps: float | None) -> Video:
    """Open an array (T, H, W, 3) uint8 RGB as a video.

    Raises:
        InputError: it has another shape or type.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise InputError(f"a video array must be uint8 RGB (T, H, W, 3), got {frames.dtype} {frames.shape}")
    count, height, width = (int(side) for side in frames.shape[:3])
    check_count(count, "the array", limits)
    check_size(width, height, "the array", limits)
    rate = fps or FOLDER_RATE
    warnings = () if fps else (f"an array has no times: {FOLDER_RATE:g} frames a second are assumed",)
    times: NDArray[np.float64] = np.arange(count, dtype=np.float64) / rate
    info = VideoInfo("array", width, height, times, rate, "array", "rgb", warnings=warnings)
    return Video(info, ArrayReader(frames))


def to_pixels(picture: Image.Image) -> Pixels:
    """Convert to (H, W, 3) RGB, upright, transparency laid on white, 16-bit gray scaled from its full range."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I"):
        gray = np.asarray(upright).astype(np.float32) / 65535.0
        return np.repeat(np.rint(gray.clip(0.0, 1.0) * 255.0).astype(np.uint8)[:, :, None], 3, axis=2)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(upright.convert("RGB"))
