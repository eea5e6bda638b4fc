"""Decoding of image files: judged by their headers, then decoded here or in worker processes that can be killed."""

import json
import logging
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import IO, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.workspace.image_loading import image_size, read_source
from sam3_mcp.turns import Turns

logger = logging.getLogger(__name__)

MAX_SCANS = 64
"""Scans of a JPEG: encoders write about 10 for a progressive image, and each costs a pass over all pixels."""
MEMORY_BYTES = 3 * 2**30 // 2
"""Address space of a worker: an image of 100 megapixels takes 0.3 GiB as RGB and as much again while it is decoded."""
BASE_SECONDS = 2.0
SECONDS_A_MEGAPIXEL = 0.25
"""With BASE_SECONDS the time of a processor for a decode: five times what JPEG 2000, the slowest format, takes."""
WALL_FACTOR = 10.0
"""So many times as long a decode may take by the clock: on a busy machine a worker, which is nice, waits."""
START_SECONDS = 60.0
"""By the clock for a new worker's imports, which take a second on an idle machine."""
MOST_DECODES = 500
"""After which a worker is replaced, so that what its decoders leak stays small."""
NICENESS = 5
REQUEST = struct.Struct("!QQ")
"""Pixels at most and bytes of the file that follows, as a worker reads them."""

Weigh = Callable[[int], None]
"""Told the bytes of the pixels before they are decoded; raises where they are too many."""


class Decoder(Protocol):
    """Decoder of image files for the clients of a server."""

    def __call__(self, data: bytes, max_pixels: int, weigh: Weigh, client: str) -> NDArray[np.uint8]:
        """(H, W, 3) RGB pixels of a file.

        Raises:
            InputError: it is no image that can be read, too large, or takes too long.
            Busy: too many wait to be decoded.
        """
        ...


def judge(data: bytes, max_pixels: int) -> tuple[int, int]:
    """(width, height) as the header of a file says; nothing is decoded.

    Raises:
        InputError: it is no image, has too many pixels or too many scans.
    """
    width, height = image_size(data)
    if width * height > max_pixels:
        raise InputError(
            f"the image has {width}x{height} = {width * height / 1e6:.0f} megapixels; the limit is "
            f"{max_pixels / 1e6:g}: scale it down or cut it into parts first"
        )
    # Between two markers of a JPEG 0xFF is always followed by 0 or a restart marker, so each of these is a scan.
    if data.startswith(b"\xff\xd8") and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
        raise InputError(f"the image is a JPEG of {scans} scans; the limit is {MAX_SCANS}: save it anew")
    return width, height


def decode_here(data: bytes, max_pixels: int, weigh: Weigh, client: str) -> NDArray[np.uint8]:
    """Decode in this process: for a server with a single client, who can only keep itself waiting."""
    width, height = judge(data, max_pixels)
    weigh(3 * width * height)
    return read_source(data, max_pixels=max_pixels)[0]


class DecodePool:
    """Workers that decode in processes of their own, with a deadline and a memory limit. Safe for several threads.

    A client has all of them but one at most, so that one who sends slow images keeps nobody else waiting. Its workers
    end when this process does.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        memory: int = MEMORY_BYTES,
        base: float = BASE_SECONDS,
        rate: float = SECONDS_A_MEGAPIXEL,
    ) -> None:
        """Start no worker yet: each starts when it is first needed.

        Args:
            workers: half of the cores by default, from 2 to 8.
            memory: bytes of address space of each.
            base: seconds of a processor for each decode, beside those for its pixels.
            rate: seconds for each megapixel.
        """
        count = workers or max(2, min(8, (os.cpu_count() or 2) // 2))
        self._turns = Turns(count, max(1, count - 1), "many images wait to be decoded; open this one again in a moment")
        self._memory = memory
        self._base, self._rate = base, rate
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self._closed = False

    def __call__(self, data: bytes, max_pixels: int, weigh: Weigh, client: str) -> NDArray[np.uint8]:
        """Decode in a worker; see `Decoder`."""
        with self._turns.turn(client, START_SECONDS), self._worker() as worker:
            return worker.decode(data, max_pixels, weigh)

    def close(self) -> None:
        """End the workers."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    @contextmanager
    def _worker(self) -> Generator["_Worker"]:
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is None or not worker.usable:
            if worker is not None:
                worker.end()
            worker = _Worker(self._memory, self._base, self._rate)
        try:
            yield worker
        except BaseException:
            if worker.busy:  # broken off in the middle of an exchange
                worker.end()
            raise
        finally:
            self._give_back(worker)

    def _give_back(self, worker: "_Worker") -> None:
        with self._lock:
            keep = worker.usable and not self._closed
            if keep:
                self._idle.append(worker)
        if not keep:
            worker.end()


class _Worker:
    """One process that decodes, one file after the other."""

    def __init__(self, memory: int, base: float, rate: float) -> None:
        self._base, self._rate = base, rate
        command = [sys.executable, "-m", "sam3_mcp.decode_worker", *map(str, (memory, NICENESS, base, rate))]
        # One thread each: libraries that start one a core would only take address space.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
        )
        self._requests = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)
        self._decodes = 0
        self.busy = False

    @property
    def usable(self) -> bool:
        """Whether it can take another file."""
        return not self.busy and self._decodes < MOST_DECODES and self._process.poll() is None

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        self._requests.close()
        self._answers.close()

    def decode(self, data: bytes, max_pixels: int, weigh: Weigh) -> NDArray[np.uint8]:
        """Decode a file; see `Decoder`."""
        self.busy = True
        deadline = _Deadline(self._process, START_SECONDS)
        try:
            with deadline:
                if not self._decodes:
                    self._answer()  # it is ready
                self._decodes += 1
                _send(self._requests, REQUEST.pack(max_pixels, len(data)) + data)
                width, height = self._answer()["size"]
                self._weigh(weigh, 3 * width * height)
                deadline.extend(WALL_FACTOR * (BASE_SECONDS + self._rate * width * height / 1e6))
                height, width = self._answer()["shape"]
                pixels = np.empty((height, width, 3), dtype=np.uint8)
                self._fill(pixels.data.cast("B"))
                self.busy = False
                return pixels
        except (OSError, EOFError) as error:
            self._process.kill()
            status = self._process.wait()
            logger.warning("a decoder ended over an image, status %d", status)
            if deadline.passed or status == -signal.SIGPROF:
                raise InputError("the image takes too long to decode; save it anew as a plain PNG or JPEG") from error
            raise InputError("the decoder broke down over this image; try again, or save it anew") from error

    def _weigh(self, weigh: Weigh, count: int) -> None:
        try:
            weigh(count)
        except BaseException:
            _send(self._requests, b"n")
            self.busy = False
            raise
        _send(self._requests, b"y")

    def _answer(self) -> dict[str, Any]:
        """One line of the worker.

        Raises:
            InputError: what the worker says is wrong with the file.
            EOFError: it is gone.
        """
        line = bytearray()
        while not line.endswith(b"\n"):
            read = self._answers.read(1)
            if not read:
                raise EOFError
            line += read
        answer = json.loads(line)
        if "error" in answer:
            self.busy = False
            raise InputError(answer["error"])
        return answer

    def _fill(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            read = cast(Any, self._answers).readinto(view[done:])
            if not read:
                raise EOFError
            done += read


class _Deadline:
    """Kills a process when its time is over."""

    def __init__(self, process: "subprocess.Popen[bytes]", seconds: float) -> None:
        self.passed = False
        self._process = process
        self._timer = self._started(seconds)

    def extend(self, seconds: float) -> None:
        """Give it so many seconds from now on."""
        self._timer.cancel()
        self._timer = self._started(seconds)

    def __enter__(self) -> "_Deadline":
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _started(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self._kill)
        timer.daemon = True
        timer.start()
        return timer

    def _kill(self) -> None:
        self.passed = True
        self._process.kill()


def _send(pipe: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[cast(Any, pipe).write(view) :]
