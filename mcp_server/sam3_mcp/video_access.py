"""Access to the videos that a client names, where the operator allows it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sam3_agent.errors import InputError
from sam3_agent.video import Video, VideoInfo, VideoLimits
from sam3_agent.video.pictures import FOLDER_RATE, SUFFIXES, natural_key
from sam3_agent.video.video import Pixels, check_count, check_size
from sam3_mcp.image_access import ImageAccess
from sam3_mcp.path_allowlist import PathAllowlist
from sam3_mcp.video_decoding import PinnedFile, VideoDecoder, decode_video_here

SHARED_LIMITS = VideoLimits(max_pixels=4096 * 2304, max_frames=216_000)
_OTHERWISE = "give the path of a video file, or of a folder of images"


@dataclass(frozen=True, slots=True)
class VideoAccess:
    """Reader of video files and folders of frames below the allowed folders; bounded in bytes, pixels and seconds.

    Frames of folders go through the decoder of images, files through that of videos (containers of video and
    animations only, never lists that name other files).
    """

    files: PathAllowlist
    images: ImageAccess
    limits: VideoLimits = VideoLimits()  # noqa: RUF009 (frozen)
    max_bytes: int | None = None
    """Of a file."""
    max_seconds: float | None = None
    decode: VideoDecoder = decode_video_here

    def bounded(self) -> "VideoAccess":
        """The same for a server with many clients: frames up to 4K, and no more of them than an hour at 60 a second."""
        return replace(self, limits=SHARED_LIMITS)

    def read(self, source: Any, *, fps: float | None = None, client: str = "") -> Video:
        """A video, checked and indexed.

        Raises:
            InputError: it is not allowed, too large or too long, or no video; one line says what to do.
        """
        if not isinstance(source, str) or source.strip().lower().startswith("data:"):
            raise InputError(f"the source must be a path; {_OTHERWISE}")
        real = self.files.check(source)
        video = self._folder(real, fps, client) if real.is_dir() else self._file(source, fps, client)
        if self.max_seconds is not None and video.info.duration > self.max_seconds:
            raise InputError(
                f"the video lasts {video.info.duration:.0f} s; the limit is {self.max_seconds:g} s: cut it into parts"
            )
        return video

    def _file(self, source: str, fps: float | None, client: str) -> Video:
        """Open a file and keep it open, so that nobody can put another one in its place."""
        if fps is not None:
            raise InputError("fps is for folders; a video file has times of its own")
        handle, real = self.files.open(source, _OTHERWISE)
        file = PinnedFile(handle, real)
        size = os.fstat(handle).st_size
        if self.max_bytes is not None and size > self.max_bytes:
            raise InputError(
                f"the video has {size / 2**20:.0f} MiB; the limit is {self.max_bytes / 2**20:.0f} MiB: scale it down"
            )
        return self.decode(file, self.limits, client)

    def _folder(self, folder: Path, fps: float | None, client: str) -> Video:
        try:
            names = [entry.name for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)]
        except OSError as error:
            raise InputError(f"cannot read the folder {str(folder)!r}: {error.strerror or error}") from error
        kept = sorted(
            (name for name in names if Path(name).suffix.lower() in SUFFIXES and name[0] != "."), key=natural_key
        )
        if not kept:
            raise InputError(f"{str(folder)!r} has no image in it ({', '.join(SUFFIXES)})")
        check_count(len(kept), repr(str(folder)), self.limits)
        paths = tuple(str(folder / name) for name in kept)
        height, width = self.images.read(paths[0], _weightless, client)[0].shape[:2]
        check_size(width, height, repr(kept[0]), self.limits)
        rate = fps or FOLDER_RATE
        warnings = () if fps else (f"a folder has no times: {FOLDER_RATE:g} frames a second are assumed",)
        codec = Path(kept[0]).suffix.lower().lstrip(".")
        times = np.arange(len(kept)) / rate
        info = VideoInfo(str(folder), width, height, times, rate, "folder", codec, 0, tuple(kept), warnings)
        return Video(info, _AllowedFolder(self.images, paths, client, (width, height)))


@dataclass(frozen=True, slots=True, eq=False)
class _AllowedFolder:
    """Image files, one a frame, each checked and decoded like an image that a client opens."""

    images: ImageAccess
    paths: tuple[str, ...]
    client: str
    size: tuple[int, int]
    """(width, height)"""

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Pixels, bool]]:
        """Give the frames of `indices`; see `FrameReader`.

        Raises:
            InputError: one is gone, damaged or of another size.
        """
        for index in indices:
            pixels = self.images.read(self.paths[index], _weightless, self.client)[0]
            if pixels.shape[1::-1] != self.size:
                raise InputError(
                    f"frame {index} ({Path(self.paths[index]).name}) is {pixels.shape[1]}x{pixels.shape[0]}, not "
                    f"{self.size[0]}x{self.size[1]}; all frames of a video must be of one size"
                )
            yield index, pixels, False


def _weightless(_: int) -> None:
    """Count nothing: of the frames that are looked at, one at a time is held."""
