"""Decoding of video files: in this process, or in worker processes that can be killed, a frame at a time."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sam3_agent.errors import Busy, InputError
from sam3_agent.video import Video, VideoInfo, VideoLimits, open_video
from sam3_agent.video.video import Pixels, check_count, check_size
from sam3_mcp.decoding import MEMORY_BYTES, MOST_DECODES, NICENESS, START_SECONDS, WALL_FACTOR
from sam3_mcp.turns import Turns

logger = logging.getLogger(__name__)

OPEN_SECONDS = 60.0
"""Of a processor for opening a video: one whose packets are not its frames, or an animation, is decoded once."""
FRAME_SECONDS = 2.0
SECONDS_A_MEGAPIXEL = 0.25
"""With FRAME_SECONDS the time of a processor for each frame up to the one that is asked for: fifty times what H.264
takes, five times what JPEG 2000 takes."""
_MOST_FRAME_SECONDS = 60.0
_MOST_WALL_SECONDS = 180.0
"""By the clock for any of it: a call that waits longer has been given up by whoever made it."""
_HELD_SECONDS = 1.0
"""A reader keeps its worker so long at least, or two that take it from each other would do nothing but seek."""
_STEP_SECONDS = 0.25
"""Between two looks for a reader that can do without its worker for now."""
_MOST_LINE = 2**16
_MOST_STATE = 2**26
"""Bytes of the index of a million frames with as many keyframes, and more."""
_PLACES = Path("/proc/self/fd")
NEXT, STOP = b"n", b"s"


class PinnedFile:
    """A file that was checked, held open so that nobody can put another one in its place; closed with its last user."""

    def __init__(self, handle: int, name: Path) -> None:
        """`handle` is this object's own from now on; `name` is what people call it."""
        self.handle = handle
        self.name = str(name)
        self.path = path_of(handle, self.name)
        self._closing = weakref.finalize(self, os.close, handle)


def path_of(handle: int, name: str) -> Path:
    """Give the path by which an open file is opened anew; its name where the system has none for open files."""
    return _PLACES / str(handle) if _PLACES.is_dir() else Path(name)


class VideoDecoder(Protocol):
    """Decoder of video files for the clients of a server."""

    def __call__(self, file: PinnedFile, limits: VideoLimits, client: str) -> Video:
        """Check and index a video.

        Raises:
            InputError: it is no video that can be read, too large, or takes too long.
            Busy: too many are read at once.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _HereReader:
    """A reader of a file that is held open."""

    reader: Any
    file: PinnedFile

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Pixels, bool]]:
        """Give the frames of `indices`; see `FrameReader`."""
        return self._kept(self.reader.read(indices))

    def _kept(self, frames: Iterator[tuple[int, Pixels, bool]]) -> Iterator[tuple[int, Pixels, bool]]:
        yield from frames  # holds self, and with it the file, while frames are read


def decode_video_here(file: PinnedFile, limits: VideoLimits, client: str) -> Video:
    """Decode in this process: for a server with a single client, who can only keep itself waiting."""
    try:
        video = open_video(file.path, limits=limits)
    except InputError as error:
        raise InputError(str(error).replace(str(file.path), file.name)) from error
    return Video(replace(video.info, name=file.name), _HereReader(video.reader, file))


class VideoPool:
    """Workers that decode videos in processes of their own, with deadlines and a memory limit. Safe for many threads.

    A worker serves one reader, a frame at a time, until that has all of its frames, or until somebody else needs the
    worker while the reader does something else; it is then given another one, which goes on at the frame that comes
    next. A client has all workers but one at most. They end when this process does.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        memory: int = MEMORY_BYTES,
        opening: float = OPEN_SECONDS,
        rate: float = SECONDS_A_MEGAPIXEL,
        patience: float = START_SECONDS,
    ) -> None:
        """Start no worker yet: each starts when it is first needed.

        Args:
            workers: as many as cores by default, from 4 to 8.
            memory: bytes of address space of each.
            opening: seconds of a processor for opening a video.
            rate: seconds for each megapixel of each frame.
            patience: seconds that a reader waits for a worker.
        """
        count = workers or max(4, min(8, os.cpu_count() or 4))
        self._turns = Turns(count, max(1, count - 1), "many videos are read just now; try this one again in a moment")
        self._options = (memory, NICENESS, opening, rate)
        self._opening, self._rate, self._patience = opening, rate, patience
        self._lock = threading.RLock()  # the end of a reader may come at any moment, also in a thread that is in here
        self._idle: list[_Worker] = []
        self._working: dict[_Reading, float] = {}
        """Readers with a worker, and since when they have it."""
        self._closed = False

    def __call__(self, file: PinnedFile, limits: VideoLimits, client: str) -> Video:
        """Open a video in a worker; see `VideoDecoder`."""
        worker = self._take(client)
        try:
            info, state = worker.open(file, limits, _wall(self._opening))
        except BaseException:
            if worker.busy:  # broken off in the middle of an exchange
                worker.end()
            raise
        finally:
            self._give_back(worker, client)
        return Video(info, _PoolReader(self, file, state, (info.width, info.height), client))

    def close(self) -> None:
        """End the workers."""
        with self._lock:
            self._closed = True
            workers = [*self._idle, *(each.worker for each in self._working if each.worker is not None)]
            self._idle = []
        for worker in workers:
            worker.end()

    def read(
        self, file: PinnedFile, state: bytes, size: tuple[int, int], indices: Sequence[int], client: str
    ) -> Iterator[tuple[int, Pixels, bool]]:
        """Give frames of an open video; see `FrameReader`."""
        reading = _Reading(client)
        before = -1
        try:
            for place, index in enumerate(indices):
                with reading.lock:
                    if reading.worker is None:
                        self._begin(reading, file, state, size, indices[place:])
                        before = -1
                    assert reading.worker is not None
                    seconds = _wall(seconds_of(index - before, size, self._rate))
                    pixels, damaged = reading.worker.frame(size, seconds)
                    reading.used, before = time.monotonic(), index
                yield index, pixels, damaged
        finally:
            with reading.lock:
                self._end(reading)

    def _begin(
        self, reading: "_Reading", file: PinnedFile, state: bytes, size: tuple[int, int], indices: Sequence[int]
    ) -> None:
        """Give a reader a worker, which is told what will be asked of it."""
        worker = self._take(reading.client)
        reading.worker = worker
        with self._lock:
            self._working[reading] = time.monotonic()
        worker.begin(file, state, size, indices)

    def _end(self, reading: "_Reading") -> None:
        """Take a reader's worker away; the caller has its lock."""
        worker, reading.worker = reading.worker, None
        if worker is None:
            return
        worker.stop()
        with self._lock:
            self._working.pop(reading, None)
        self._give_back(worker, reading.client)

    def _take(self, client: str) -> "_Worker":
        """Take a worker for oneself, an idle one if there is one.

        Raises:
            Busy: none became free.
        """
        end = time.monotonic() + self._patience
        while True:
            try:
                self._turns.begin(client, min(_STEP_SECONDS, max(0.0, end - time.monotonic())))
                break
            except Busy:
                if time.monotonic() >= end:
                    raise
                self._interrupt_one()
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.usable:
                    return worker
                worker.end()
        try:
            return _Worker(self._options)
        except OSError:
            self._turns.end(client)
            raise

    def _interrupt_one(self) -> None:
        """Take the worker of the reader that has gone longest without asking for a frame."""
        old = time.monotonic() - _HELD_SECONDS
        with self._lock:
            held = [reading for reading, since in list(self._working.items()) if since < old]
        for reading in sorted(held, key=lambda each: each.used):
            if reading.lock.acquire(blocking=False):  # else it is about to get a frame
                try:
                    self._end(reading)
                    return
                finally:
                    reading.lock.release()

    def _give_back(self, worker: "_Worker", client: str) -> None:
        with self._lock:
            keep = worker.usable and not self._closed
            if keep:
                self._idle.append(worker)
        if not keep:
            worker.end()
        self._turns.end(client)


class _Reading:
    """A reader between its first frame and its last one; `lock` guards its worker."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.worker: _Worker | None = None
        self.used = time.monotonic()
        self.lock = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class _PoolReader:
    """A reader of a file that is held open, in the workers of a pool."""

    pool: VideoPool
    file: PinnedFile
    state: bytes
    """Facts of the file for a worker, who alone reads it."""
    size: tuple[int, int]
    """(width, height)"""
    client: str

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Pixels, bool]]:
        """Give the frames of `indices`; see `FrameReader`."""
        return self.pool.read(self.file, self.state, self.size, indices, self.client)


class _Worker:
    """One process that decodes for one reader after the other."""

    def __init__(self, options: tuple[int, int, float, float]) -> None:
        self._link, theirs = socket.socketpair()
        command = [sys.executable, "-m", "sam3_mcp.video_worker", *map(str, options)]
        # Heaps and libraries' threads, one a core each, would only take address space.
        more = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env={**os.environ, **more}
            )
        self._is_new = True
        self._uses = 0
        self._is_broken = False
        self.busy = False

    @property
    def usable(self) -> bool:
        """Whether it can serve another reader."""
        return not self.busy and not self._is_broken and self._uses < MOST_DECODES and self._process.poll() is None

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        self._link.close()

    def open(self, file: PinnedFile, limits: VideoLimits, seconds: float) -> tuple[VideoInfo, bytes]:
        """Open a video; gives what is known of it, and what a worker needs to read it."""
        request = {"do": "open", "name": file.name, "limits": [limits.max_pixels, limits.max_frames]}
        try:
            self._ask(request, file)
            head = self._answer(seconds)
            times = self._bytes(int(head["times"]), 8 * limits.max_frames)
            state = bytes(self._bytes(int(head["state"]), _MOST_STATE))
            info = VideoInfo(
                name=file.name, times=np.frombuffer(times, dtype=np.float64).copy(), **_facts(head["info"])
            )
            check_count(info.frames, repr(file.name), limits)
            check_size(info.width, info.height, repr(file.name), limits)
        except (OSError, EOFError) as error:
            raise self._broken(error) from error
        self.busy = False
        return info, state

    def begin(self, file: PinnedFile, state: bytes, size: tuple[int, int], indices: Sequence[int]) -> None:
        """Be ready to give these frames."""
        wanted = np.asarray(indices, dtype=np.int64).tobytes()
        request = {"do": "read", "name": file.name, "size": size, "state": len(state), "indices": len(wanted)}
        try:
            self._ask(request, file)
            self._link.sendall(state)
            self._link.sendall(wanted)
        except (OSError, EOFError) as error:
            raise self._broken(error) from error

    def frame(self, size: tuple[int, int], seconds: float) -> tuple[Pixels, bool]:
        """Give the next frame, (H, W, 3), and whether it is damaged."""
        try:
            self._link.sendall(NEXT)
            damaged = bool(self._answer(seconds)["damaged"])
            pixels = np.empty((size[1], size[0], 3), dtype=np.uint8)
            _fill(self._link, pixels.data.cast("B"))
        except (OSError, EOFError) as error:
            raise self._broken(error) from error
        return pixels, damaged

    def stop(self) -> None:
        """Have it wait for another request, wherever in its frames it is."""
        if self.busy and not self._is_broken:
            try:
                self._link.sendall(STOP)
                self.busy = False
            except OSError:
                self._is_broken = True

    def _ask(self, request: dict[str, Any], file: PinnedFile) -> None:
        self.busy = True
        self._uses += 1
        if self._is_new:
            self._answer(START_SECONDS)  # it is ready
            self._is_new = False
        self._link.settimeout(START_SECONDS)
        send_line(self._link, request, file.handle)

    def _answer(self, seconds: float) -> dict[str, Any]:
        """Read one line of the worker, which has so many seconds for it and what follows.

        Raises:
            InputError: what the worker says is wrong with the file.
            OSError, EOFError: it is gone or late.
        """
        self._link.settimeout(seconds)
        answer, _ = receive_line(self._link)
        if "error" in answer:
            self.busy = False
            raise InputError(str(answer["error"])[:1000])
        return answer

    def _bytes(self, count: int, most: int) -> bytearray:
        if not 0 <= count <= most:
            raise EOFError
        return receive(self._link, count)

    def _broken(self, error: Exception) -> InputError:
        """Say what has become of a worker that is gone or late."""
        self._is_broken, late = True, isinstance(error, TimeoutError)
        if late:
            self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_HELD_SECONDS)  # its socket may have ended just before it
        status = self._process.poll()
        self._process.kill()
        logger.warning("a decoder ended over a video, status %s", status)
        if late or status == -signal.SIGPROF:
            return InputError("the video takes too long to decode; save it anew as H.264 with a keyframe each second")
        return InputError("the decoder broke down over this video; try again, or save it anew")


def seconds_of(frames: int, size: Sequence[int], rate: float) -> float:
    """Compute seconds of a processor for so many frames of (width, height), of which the last one is asked for."""
    return min(_MOST_FRAME_SECONDS, FRAME_SECONDS + rate * max(1, frames) * size[0] * size[1] / 1e6)


def _wall(seconds: float) -> float:
    """Give the seconds by the clock in which a worker, which is nice, has so many of a processor."""
    return min(_MOST_WALL_SECONDS, WALL_FACTOR * seconds)


def _facts(told: dict[str, Any]) -> dict[str, Any]:
    """Read the facts of a video as a worker tells them, by their types."""
    whole = {name: int(told[name]) for name in ("width", "height", "rotation")}
    words = {name: str(told[name])[:100] for name in ("reader", "codec")}
    return {**whole, **words, "fps": float(told["fps"]), "warnings": tuple(str(each) for each in told["warnings"])}


def send_line(link: socket.socket, words: dict[str, Any], handle: int | None = None) -> None:
    """Send a line of JSON, with the descriptor of a file if one is given."""
    line = json.dumps(words).encode() + b"\n"
    if handle is None:
        link.sendall(line)
        return
    sent = socket.send_fds(link, [line], [handle])
    link.sendall(line[sent:])


def receive_line(link: socket.socket, *, with_file: bool = False) -> tuple[dict[str, Any], int | None]:
    """Receive a line of JSON, with the descriptor that came with its first byte if one is expected.

    Raises:
        EOFError: nothing more comes, or no line.
        OSError: none came in time.
    """
    line, handle = bytearray(), None
    if with_file:
        first, handles, _, _ = socket.recv_fds(link, 1, 1)
        line += first
        handle = handles[0] if handles else None
        if not first:
            raise EOFError
    while not line.endswith(b"\n"):
        if len(line) > _MOST_LINE:
            raise EOFError
        line += receive(link, 1)
    return json.loads(line), handle


def receive(link: socket.socket, count: int) -> bytearray:
    """Receive exactly so many bytes.

    Raises:
        EOFError: fewer come.
    """
    data = bytearray(count)
    _fill(link, memoryview(data))
    return data


def _fill(link: socket.socket, view: memoryview) -> None:
    done = 0
    while done < len(view):
        read = link.recv_into(view[done:])
        if not read:
            raise EOFError
        done += read
