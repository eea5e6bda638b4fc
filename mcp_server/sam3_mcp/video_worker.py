"""Worker process of a `VideoPool`: opens video files that it is handed, gives their frames, until its socket ends.

A request is a line of JSON with the descriptor of the file, then what the line announces. A frame is decoded when it is
asked for, so that one is in flight.
"""

import os
import pickle
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np

from sam3_agent.errors import InputError
from sam3_agent.video import Video, VideoLimits, open_video
from sam3_agent.video.video import Pixels
from sam3_mcp.decode_worker import confine
from sam3_mcp.video_decoding import NEXT, path_of, receive, receive_line, seconds_of, send_line


def main() -> None:
    """Serve with the limits of the command line: bytes of memory, niceness, CPU seconds of an opening, a megapixel."""
    memory, niceness, opening, rate = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    confine(memory, niceness)
    if find_spec("av") is not None:  # before a video's time begins
        import_module("sam3_agent.video.pyav")
    with socket.socket(fileno=0) as link, suppress(EOFError, BrokenPipeError, ConnectionResetError):
        send_line(link, {"ready": True})
        while True:
            request, handle = receive_line(link, with_file=True)
            if handle is None:
                raise SystemExit("a request came without a file")
            try:
                _serve(link, request, handle, opening, rate)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                os.close(handle)


def _serve(link: socket.socket, request: dict[str, Any], handle: int, opening: float, rate: float) -> None:
    """Answer one request; what is wrong with the file is told instead."""
    name, path = str(request["name"]), path_of(handle, request["name"])
    try:
        if request["do"] == "open":
            # By default SIGPROF ends the process, also in the middle of a decoder's C code.
            signal.setitimer(signal.ITIMER_PROF, opening)
            _tell(link, open_video(path, limits=VideoLimits(*request["limits"])))
        else:
            _give(link, request, path, rate)
    except InputError as error:
        send_line(link, {"error": str(error).replace(str(path), name)})
    except MemoryError:
        send_line(link, {"error": "the video needs more memory than there is for one; scale it down"})
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # noqa: BLE001  # error boundary: decoders raise anything over damaged files
        send_line(link, {"error": f"the video is damaged ({type(error).__name__})"})


def _tell(link: socket.socket, video: Video) -> None:
    """Tell what is known of a video, with its times, and its reader as bytes that the server keeps and never reads."""
    info = video.info
    facts: dict[str, Any] = {name: getattr(info, name) for name in ("width", "height", "fps", "reader", "codec")}
    facts |= {"rotation": info.rotation, "warnings": [told[:200] for told in info.warnings[:8]]}
    state = pickle.dumps(video.reader)
    times = info.times.astype(np.float64).tobytes()
    send_line(link, {"info": facts, "times": len(times), "state": len(state)})
    link.sendall(times)
    link.sendall(state)


def _give(link: socket.socket, request: dict[str, Any], path: Path, rate: float) -> None:
    """Give a frame each time one is asked for, until the server has had enough."""
    state, size = receive(link, request["state"]), request["size"]
    indices = np.frombuffer(receive(link, request["indices"]), dtype=np.int64).tolist()
    frames, place = cast(Iterator[tuple[int, Pixels, bool]], iter(())), 0
    while bytes(receive(link, 1)) == NEXT:
        ahead = indices[place] - indices[place - 1] if place else indices[0] + 1
        signal.setitimer(signal.ITIMER_PROF, seconds_of(ahead, size, rate))
        if not place:
            frames = replace(pickle.loads(state), path=path).read(indices)
        _, pixels, damaged = next(frames)
        place += 1
        signal.setitimer(signal.ITIMER_PROF, 0)
        if pixels.shape != (size[1], size[0], 3):
            raise InputError("the video has changed its size; open it anew")
        send_line(link, {"damaged": bool(damaged)})
        link.sendall(np.ascontiguousarray(pixels).data.cast("B"))


if __name__ == "__main__":
    main()
