"""Opening of videos: what a source is, and who reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlparse

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.video.containers import kind_of
from sam3_agent.video.pictures import open_animation, open_array, open_files, open_folder
from sam3_agent.video.video import Video, VideoLimits

VideoSource = str | Path | Sequence[Path] | NDArray[Any]
"""A file, a folder of images, image files in order, or an array (T, H, W, 3) uint8 RGB."""
Decoder = Literal["auto", "pyav", "opencv"]

INSTALL = "pip install 'sam3-agent[video]'"


def open_video(
    source: VideoSource,
    *,
    fps: float | None = None,
    decoder: Decoder = "auto",
    limits: VideoLimits = VideoLimits(),  # noqa: B008 (frozen)
) -> Video:
    """Check and index a video; frames are decoded when they are asked for.

    `fps` is for folders and arrays, which have no times of their own; a file keeps its timestamps. "auto" reads files
    by PyAV, or by OpenCV where PyAV is not installed (exact as well, but every jump decodes from the beginning).

    Raises:
        InputError: it cannot be read as a video; one line says why.
    """
    if fps is not None and not 0.0 < fps <= 1000.0:
        raise InputError(f"expected fps above 0 and at most 1000, got {fps}")
    if isinstance(source, np.ndarray):
        return open_array(source, limits, fps)
    if not isinstance(source, str | Path):
        return _from_list(source, limits, fps)
    path = _to_path(str(source))
    if path.is_dir():
        return open_folder(path, limits, fps)
    if not path.exists():
        raise InputError(f"no such file or folder: {str(path)!r}")
    if not path.is_file():
        raise InputError(f"{str(path)!r} is not a regular file")
    if fps is not None:
        raise InputError("fps is for folders and arrays; a video file has times of its own")
    if kind_of(path) == "image":
        return open_animation(path, limits)
    return _open_container(path, decoder, limits)


def _open_container(path: Path, decoder: Decoder, limits: VideoLimits) -> Video:
    has_pyav = find_spec("av") is not None
    if decoder == "pyav" and not has_pyav:
        raise InputError(f"PyAV is not installed: {INSTALL}")
    if decoder == "opencv" or not has_pyav:
        from sam3_agent.video.opencv import open_with_opencv

        return open_with_opencv(path, limits)
    from sam3_agent.video.pyav import open_with_pyav

    return open_with_pyav(path, limits)


def _from_list(files: Sequence[Path], limits: VideoLimits, fps: float | None) -> Video:
    paths = tuple(Path(file) for file in files)
    if not paths:
        raise InputError("the list of frames is empty")
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"no such file: {str(missing[0])!r} ({len(missing)} of {len(paths)} are missing)")
    return open_files(paths, str(paths[0].parent), limits, fps)


def _to_path(text: str) -> Path:
    if not text.strip():
        raise InputError("the path is empty; give the path of a video file or of a folder of images")
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text)
    if scheme and scheme.group().lower() != "file://":
        raise InputError(f"cannot fetch {text[:160]!r}: download it first, then open the file by its path")
    try:
        path = Path(unquote(urlparse(text).path) if scheme else text).expanduser()
        return path.absolute()  # so that no decoder takes a name such as "concat:a" for a protocol
    except (RuntimeError, ValueError) as error:
        raise InputError(f"not a usable path: {text[:160]!r} ({error})") from error
