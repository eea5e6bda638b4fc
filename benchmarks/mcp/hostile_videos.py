"""`python -m benchmarks.mcp.hostile_videos [--files 300]`: mutated videos of seven formats against a server, 8 at once.

One token opens each and looks at four of its frames; another lists its images ten times a second. The bars are those of
`benchmarks.mcp.hostile_images`: no call of the other takes over a second, server and decoders stay within their memory,
and neither the log nor an answer holds a traceback. `--cost` measures a frame in the server and in a decoder instead.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mcp import Client
from numpy.typing import NDArray
from sam3_mcp.image_access import ImageAccess
from sam3_mcp.path_allowlist import PathAllowlist
from sam3_mcp.video_access import VideoAccess
from sam3_mcp.video_decoding import VideoDecoder, VideoPool, decode_video_here

from benchmarks.machine import machine_words
from benchmarks.mcp.hostile_images import FilesOf, Seen, call, options_of, run
from benchmarks.mcp.mutated_videos import FORMATS, mutated, originals
from benchmarks.process import children_of
from sam3_agent.video import write_video

SIZES = ((640, 360), (1280, 720), (1920, 1080))
_FRAMES = 60


def main() -> None:
    """See the module."""
    if "--cost" in sys.argv[1:]:
        print(json.dumps({"frames": cost(), "machine": machine_words()}, indent=1))
        return
    options = options_of(__doc__ or "", 300)
    run(options, FilesOf(originals(), mutated, _open, len(FORMATS)))


async def _open(client: Client, path: Path, ending: str, seen: Seen) -> None:
    """Open a video, look at its frames, forget it."""
    opened = await call(client, "open_video", {"source": str(path), "max_side": 0}, ending, seen)
    if opened is None:
        return
    seen.outcomes["opened"] += 1
    looked = await call(client, "look_frames", {"video_id": opened["video_id"], "count": 4}, ending, seen)
    seen.outcomes["looked at"] += looked is not None
    await client.call_tool("forget_video", {"video_id": opened["video_id"]})


def cost() -> list[dict[str, Any]]:
    """CPU milliseconds a frame: decoded here; of the server and of the decoder, where that is a process of its own."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for width, height in SIZES:
            path = Path(name) / f"{height}.mp4"
            write_video(path, _moving(width, height), fps=25.0)
            here, _ = _read(path, decode_video_here)
            pool = VideoPool(1)
            before = _children()
            own, pause = _read(path, pool)
            pool.close()
            rows.append(
                {
                    "size": f"{width}x{height}",
                    "here_ms": round(here, 2),
                    "server_ms": round(own, 2),
                    "decoder_ms": round((_children() - before - pause) * 1e3 / _FRAMES, 2),
                }
            )
    return rows


def _read(path: Path, decode: VideoDecoder) -> tuple[float, float]:
    """(CPU milliseconds of this process a frame, CPU seconds that its children took to begin)."""
    files = PathAllowlist.of([path.parent])
    video = VideoAccess(files, ImageAccess(files), decode=decode).read(str(path))
    pause = _running_children()
    began = time.process_time()
    for frame in video.frames():
        assert frame.image.shape[2] == 3
    return (time.process_time() - began) * 1e3 / _FRAMES, pause


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _running_children() -> float:
    """CPU seconds of the children that have not ended (Linux)."""
    ticks = 0
    for child in children_of(os.getpid()):
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _moving(width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """Blocks of noise that go to the right."""
    noise = np.random.default_rng(0).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    ground = noise.repeat(8, 0).repeat(8, 1)
    for index in range(_FRAMES):
        yield np.roll(ground, 3 * index, 1)


if __name__ == "__main__":
    main()
