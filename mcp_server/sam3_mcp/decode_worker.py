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
    """Serve with the limits that the command line gives: bytes of memory, niceness, seconds a file and a megapixel."""
    memory, niceness, base, rate = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    confine(memory, niceness)
    files, answers = sys.stdin.buffer, sys.stdout.buffer
    _say(answers, {"ready": True})
    while head := files.read(REQUEST.size):
        most, length = REQUEST.unpack(head)
        _serve(files, answers, files.read(length), most, base, rate)


def confine(memory: int, niceness: int) -> None:
    """Limit this process: so much address space, no core left behind, after all others in turn."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(niceness)
    for number in (signal.SIGINT, signal.SIGTERM):  # these are for the server, which ends its workers
        signal.signal(number, signal.SIG_IGN)


def _serve(files: BinaryIO, answers: BinaryIO, data: bytes, max_pixels: int, base: float, rate: float) -> None:
    """Judge one file, and decode it if the server still wants it, in `base` seconds and `rate` a megapixel."""
    try:
        # By default SIGPROF ends the process, also in the middle of a decoder's C code.
        signal.setitimer(signal.ITIMER_PROF, base)
        size = judge(data, max_pixels)
        _say(answers, {"size": size})
        signal.setitimer(signal.ITIMER_PROF, base + rate * size[0] * size[1] / 1e6)
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
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _say(answers: BinaryIO, words: dict[str, Any]) -> None:
    answers.write(json.dumps(words).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
