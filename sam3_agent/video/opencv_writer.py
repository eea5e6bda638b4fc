"""Videos written by OpenCV, where PyAV is not installed: VP9 in WebM, the one thing it writes that browsers play."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from sam3_agent.errors import InputError
from sam3_agent.video.video import Pixels


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
            f"without PyAV only VP9 in .webm can be written, not {path.name!r} in {codec};"
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
