"""Worker process of a `DecodePool`: reads image files on stdin, writes pixels on stdout, until stdin ends."""

import json
import os
import resource
import signal
import sys
from typing import Any, BinaryIO

from sam3_agent.errors import InputError
from sam3_agent.workspace.image_loading import read_source
from sam3_mcp.decoding import REQUEST, judge


def main() -> None:
    """Serve with the memory limit in bytes and the niceness that the command line gives."""
    memory, niceness = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.nice(niceness)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends its workers
    files, answers = sys.stdin.buffer, sys.stdout.buffer
    _say(answers, {"ready": True})
    while head := files.read(REQUEST.size):
        most, length = REQUEST.unpack(head)
        _serve(files, answers, files.read(length), most)


def _serve(files: BinaryIO, answers: BinaryIO, data: bytes, max_pixels: int) -> None:
    """Judge one file, and decode it if the server still wants it."""
    try:
        _say(answers, {"size": judge(data, max_pixels)})
        pixels = read_source(data, max_pixels=max_pixels)[0] if files.read(1) == b"y" else None
    except InputError as error:
        _say(answers, {"error": str(error)})
    except MemoryError:
        _say(answers, {"error": "the image needs more memory than there is for one; scale it down"})
    except Exception as error:  # noqa: BLE001  # error boundary: decoders raise anything over damaged files
        _say(answers, {"error": f"the image is damaged ({type(error).__name__})"})
    else:
        if pixels is not None:
            _say(answers, {"shape": pixels.shape[:2]})
            answers.write(pixels.data.cast("B"))
            answers.flush()


def _say(answers: BinaryIO, words: dict[str, Any]) -> None:
    answers.write(json.dumps(words).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
