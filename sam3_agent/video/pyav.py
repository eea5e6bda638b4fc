"""PyAV (FFmpeg) as decoder and encoder: exact frames by timestamp, seeking by keyframes, truncated tails kept.

The index is made by reading the packets without decoding them (5 ms for 289 frames). Packets are not frames, though:
the beginning is decoded as a check, and the end where a file seems cut off; a stream whose packets and frames do not
agree is decoded once from beginning to end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import av.video.stream
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.video.containers import DEMUXERS
from sam3_agent.video.video import Pixels, Video, VideoInfo, VideoLimits, check_count, check_size, mean_rate

THREADS = min(4, os.cpu_count() or 1)
"""More decode little faster and hold one frame each."""
PROBED = 12
"""Frames decoded at opening to see that they are those of the index: past the reordering of any common encoder."""
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders of these leave the alpha layer of WebM out."""
DEFAULT_RATE = 25.0
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "veryfast", "crf": "20"}),
    "av1": ("libsvtav1", {"preset": "10", "crf": "32"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "crf": "31", "b": "0", "row-mt": "1"}),
}
"""FFmpeg's encoder and its options; 200 frames of 960x540 took 3.5, 3.4 and 3.8 CPU-s (1.9, 1.4 and 1.9 MB)."""
TICKS = 90_000
"""Timestamps a second where frames are not evenly spaced: MPEG's usual clock."""
BT709 = 1
"""FFmpeg's number of BT.709 as matrix, primaries and transfer: what browsers assume of what does not say."""
NARROW_RANGE = 1
KEYFRAME_SECONDS = 1.0
"""A keyframe each second, so that a page can scrub."""


@dataclass(frozen=True, slots=True, eq=False)
class PyAvReader:
    """The frames of one video stream; `pts` (T,) are their timestamps, `keys` those that can be jumped to.

    Where the stream has no usable timestamps, `pts` are the numbers of the frames in the order of decoding and
    `is_counted` is true. `stamp` is (bytes, modification time) of the file at opening; `size` upright (width, height).
    """

    path: Path
    stamp: tuple[int, int]
    stream: int
    size: tuple[int, int]
    rotation: int
    pts: NDArray[np.int64]
    keys: NDArray[np.int64]
    """(K, 2) presentation and decoding time of each keyframe, rising."""
    is_counted: bool

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Pixels, bool]]:
        """Give the frames of `indices`, rising; a jump over a keyframe seeks, anything less decodes on.

        What cannot be decoded shows the frame before it, or, at the beginning, the one after it.
        """
        self._check_unchanged()
        with _opened(self.path, self.stream) as source:
            cursor = _Cursor(source, self)
            for index in indices:
                shown, frame = cursor.go_to(index)
                yield index, _to_pixels(frame, self.rotation, self.size), shown != index or frame.is_corrupt

    def _check_unchanged(self) -> None:
        try:
            same = _stamp(self.path) == self.stamp
        except OSError as error:
            raise InputError(f"{str(self.path)!r} is gone ({error.strerror}); open the video anew") from error
        if not same:
            raise InputError(f"{str(self.path)!r} has changed since it was opened; open the video anew")


class _Source:
    """An open container with the one stream of it that is read, and the decoder of that."""

    def __init__(self, path: Path, stream: int | None) -> None:
        self._path = path
        self._wanted = stream
        self._waiting: list[Any] = []
        self.container, self.stream = _open_stream(path, stream)
        self.decoder = _decoder(self.stream)

    def close(self) -> None:
        """Let the file go."""
        self.container.close()

    def restart(self) -> None:
        """Begin at the beginning."""
        self.close()
        self._waiting = []
        self.container, self.stream = _open_stream(self._path, self._wanted)
        self.decoder = _decoder(self.stream)

    def packets(self) -> Iterator[Any]:
        """Give packets up to the end, or to where the container breaks off: then a last None."""
        while True:
            try:
                yield from self.container.demux(self.stream)
            except IndexError:
                continue  # PyAV's answer to a packet of a stream that begins later than the file; it is behind us now
            except av.error.FFmpegError:
                yield None
            return

    def frames(self) -> Iterator[Any]:
        """Decoded frames from here on; packets that cannot be decoded are passed over."""
        waiting, self._waiting = self._waiting, []
        for packet in chain(waiting, self.packets(), (None,)):
            try:
                yield from self.decoder.decode(packet)
            except av.error.EOFError:  # drained already, by the empty packet at the end
                return
            except av.error.FFmpegError:
                continue

    def seek(self, key: tuple[int, int]) -> bool:
        """Go to the keyframe of that presentation and decoding time, or one before it; False where neither is found.

        Containers find packets by the one or by the other time; a wrong one leads into the middle of a group.
        """
        for target in key:
            try:
                self.container.seek(target, stream=self.stream, backward=True)
            except av.error.FFmpegError:
                continue
            self.decoder.flush_buffers()
            packet = next((packet for packet in self.packets() if packet is not None and packet.size), None)
            if packet is not None and packet.is_keyframe and packet.pts is not None and packet.pts <= key[0]:
                self._waiting = [packet]
                return True
        return False


class _Cursor:
    """A place in a stream that moves forward, by decoding or by jumping."""

    def __init__(self, source: _Source, reader: PyAvReader) -> None:
        self._source = source
        self._reader = reader
        self._frames = enumerate(source.frames())
        self._position = -1
        self._latest: Any = None
        self._ahead: tuple[int, Any] | None = None

    def go_to(self, index: int) -> tuple[int, Any]:
        """Find the frame nearest to `index`, an earlier one if possible, with its number; raises InputError if none."""
        if index > self._position + 1:
            place = int(np.count_nonzero(self._reader.keys[:, 0] <= self._reader.pts[index])) - 1
            if place >= 0 and np.count_nonzero(self._reader.pts < self._reader.keys[place, 0]) > self._position + 1:
                self._jump(place)
        self._decode_to(index)
        if self._latest is not None:
            return self._position, self._latest
        if self._ahead is not None:
            return self._ahead
        raise InputError(f"no frame of {str(self._reader.path)!r} can be decoded")

    def _jump(self, place: int) -> None:
        """Seek to keyframe number `place`; from the beginning instead where the container does not lead there."""
        pts, dts = self._reader.keys[place].tolist()
        if not self._source.seek((pts, dts)):
            self._source.restart()
        self._frames = enumerate(self._source.frames())
        self._ahead = None

    def _decode_to(self, index: int) -> None:
        while self._position < index:
            found = self._ahead or self._next()
            self._ahead = None
            if found is None:
                return
            if found[0] > index:
                self._ahead = found
                return
            self._position, self._latest = found

    def _next(self) -> tuple[int, Any] | None:
        """Find the next frame that is in the index, with its number."""
        pts = self._reader.pts
        for number, frame in self._frames:
            value: int | None = number if self._reader.is_counted else frame.pts
            if value is None:
                continue
            place = int(np.searchsorted(pts, value))
            if place < pts.size and pts[place] == value:
                return place, frame
        return None


@dataclass(frozen=True, slots=True, eq=False)
class _Index:
    """Timestamps (T,) in presentation order, keyframes among them (K, 2), and what is wrong with the file."""

    pts: NDArray[np.int64]
    keys: NDArray[np.int64]
    is_counted: bool = False
    warnings: tuple[str, ...] = ()


def open_with_pyav(path: Path, limits: VideoLimits) -> Video:
    """Check and index a video file.

    Raises:
        InputError: it has no video, is too large, or not one frame of it can be decoded.
    """
    shown = repr(str(path))
    stamp = _stamp(path)
    with _opened(path, None) as source:
        stream, number = source.stream, source.stream.index
        check_size(stream.codec_context.width, stream.codec_context.height, shown, limits)
        rate = float(stream.average_rate or stream.guessed_rate or DEFAULT_RATE)
        step = float(stream.time_base or Fraction(1, 1))
        codec = stream.codec_context.name
        index, declared, is_cut = _scan(source, shown, limits)
    first, index = _check_beginning(path, number, index, limits)
    if is_cut and index.keys.size:
        index = _check_end(path, number, index)
    check_count(index.pts.size, shown, limits)
    if is_cut and declared > index.pts.size:
        told = f"the file is cut off or damaged: {index.pts.size} of {declared} frames can be read"
        index = replace(index, warnings=(*index.warnings, told))
    times = (index.pts - index.pts[0]) * (1.0 / rate if index.is_counted else step)
    rotation = round(first.rotation / 90) * 90 % 360
    size = (first.height, first.width) if rotation in (90, 270) else (first.width, first.height)
    check_size(*size, shown, limits)
    info = VideoInfo(
        name=str(path),
        width=size[0],
        height=size[1],
        times=times,
        fps=mean_rate(times, rate),
        reader="pyav",
        codec=codec,
        rotation=rotation,
        warnings=index.warnings,
    )
    reader = PyAvReader(path, stamp, number, size, rotation, index.pts, index.keys, index.is_counted)
    return Video(info, reader)


def _scan(source: _Source, shown: str, limits: VideoLimits) -> tuple[_Index, int, bool]:
    """Make the index by packets alone; also tell how many frames the file claims, and whether its end needs a check."""
    pts: list[int] = []
    keys: list[tuple[int, int]] = []
    packets, is_cut, has_times = 0, False, True
    for packet in source.packets():
        if packet is None or packet.is_corrupt:
            is_cut = True
        if packet is None or packet.size == 0:
            continue
        packets += 1
        if packet.is_discard or not (pts or packet.is_keyframe):
            continue  # cut away by the file's edit list; or before the first frame that can be decoded
        if packet.pts is None:
            has_times = False
            continue
        pts.append(packet.pts)
        if packet.is_keyframe:
            keys.append((packet.pts, packet.pts if packet.dts is None else packet.dts))
        check_count(len(pts), shown, limits)
    ordered = np.unique(np.array(pts, dtype=np.int64))
    declared = source.stream.frames
    is_cut = is_cut or declared == 0 or declared > packets
    usable = has_times and ordered.size == len(pts) and ordered.size > 0
    table = np.array(sorted(keys), dtype=np.int64).reshape(-1, 2)
    return _Index(ordered if usable else ordered[:0], table), max(declared, packets), is_cut


def _check_beginning(path: Path, stream: int, index: _Index, limits: VideoLimits) -> tuple[Any, _Index]:
    """Decode the beginning: its first frame, and the index from there, or a new one where packets are not frames."""
    with _opened(path, stream) as source:
        decoded = list(islice(source.frames(), PROBED))
    if not decoded:
        raise InputError(f"no frame of {str(path)!r} can be decoded; it is damaged or protected")
    times: list[int | None] = [frame.pts for frame in decoded]
    if times[0] is not None:
        begin = int(np.searchsorted(index.pts, times[0]))
        if index.pts[begin : begin + len(times)].tolist() == times:
            pts = index.pts[begin:]
            told = (f"the first {begin} frames cannot be decoded and are left out",) if begin else ()
            return decoded[0], _Index(pts, index.keys[index.keys[:, 0] >= pts[0]], warnings=told)
    return decoded[0], _count(path, stream, limits)


def _check_end(path: Path, stream: int, index: _Index) -> _Index:
    """Shorten the index by what cannot be decoded at its end: decodes from the last keyframe that gives any frame.

    Only the tail goes: a hole before a frame that can be decoded stays, and is shown as damaged.
    """
    with _opened(path, stream) as source:
        for pts, dts in reversed(index.keys.tolist()):
            if not source.seek((pts, dts)):
                source.restart()
            last = max((frame.pts for frame in source.frames() if frame.pts is not None), default=None)
            if last is not None and last >= pts:
                return replace(index, pts=index.pts[index.pts <= last])
    return index


def _count(path: Path, stream: int, limits: VideoLimits) -> _Index:
    """Make the index by decoding all: by timestamps where every frame has one and they rise, else by counting."""
    found: list[int | None] = []
    with _opened(path, stream) as source:
        for frame in source.frames():
            found.append(frame.pts)
            check_count(len(found), repr(str(path)), limits)
    no_keys = np.zeros((0, 2), dtype=np.int64)
    times = [value for value in found if value is not None]
    if len(times) == len(found) and all(one < two for one, two in pairwise(times)):
        return _Index(np.array(times, dtype=np.int64), no_keys)
    told = "the file has no usable times: its frames are taken to be evenly spaced"
    return _Index(np.arange(len(found), dtype=np.int64), no_keys, is_counted=True, warnings=(told,))


@contextmanager
def _opened(path: Path, stream: int | None) -> Generator[_Source]:
    """Open the stream of that number (None: the first that is a video and no cover picture) for a block."""
    source = _Source(path, stream)
    try:
        yield source
    finally:
        source.close()


def _open_stream(path: Path, stream: int | None) -> tuple[av.container.InputContainer, av.video.stream.VideoStream]:
    shown = repr(str(path))
    try:
        container = av.open(str(path), options={"format_whitelist": DEMUXERS}, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{shown} cannot be read as a video: {reason or error}") from error
    videos = [video for video in container.streams.video if not video.disposition & Disposition.attached_pic]
    chosen = videos[:1] if stream is None else [video for video in videos if video.index == stream]
    if not chosen or _codec_of(chosen[0]) is None:
        container.close()
        raise InputError(f"{shown} has no video in it{' that this FFmpeg decodes' if chosen else ''}")
    return container, chosen[0]


def _codec_of(video: av.video.stream.VideoStream) -> Any:
    return video.codec_context  # None where FFmpeg has no decoder, whatever the stubs say


def _decoder(video: av.video.stream.VideoStream) -> Any:
    """Choose the stream's own decoder, or one that reads the alpha layer where there is one."""
    name = ALPHA_DECODERS.get(video.codec_context.name)
    if name in av.codecs_available and video.metadata.get("alpha_mode") == "1":
        decoder = av.CodecContext.create(name, "r")
        decoder.extradata = video.codec_context.extradata
        return decoder
    video.thread_type = "AUTO"
    video.codec_context.thread_count = THREADS
    return video.codec_context


def _stamp(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def _to_pixels(frame: Any, rotation: int, size: tuple[int, int]) -> Pixels:
    """Convert to (H, W, 3) RGB, upright, transparency laid on white; scaled where the stream changes its size."""
    width, height = size[::-1] if rotation in (90, 270) else size
    if any(component.is_alpha for component in frame.format.components):
        layer = frame.to_ndarray(format="rgba", width=width, height=height).astype(np.uint16)
        alpha = layer[:, :, 3:]
        pixels = ((layer[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    else:
        pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
    return np.ascontiguousarray(np.rot90(pixels, rotation // 90)) if rotation else pixels


def encode_with_pyav(path: Path, frames: Iterable[tuple[float, Pixels]], fps: float, codec: str, *, timed: bool) -> str:
    """Write frames of even sides that come with their seconds or, if not `timed`, numbers; returns the codec.

    Raises:
        InputError: this FFmpeg lacks the encoder, or the file cannot be written.
    """
    name, options = ENCODERS[codec]
    if name not in av.codecs_available:
        raise InputError(f"this FFmpeg has no encoder for {codec} ({name}); choose another codec")
    os.environ.setdefault("SVT_LOG", "1")  # errors only: the AV1 encoder else writes twenty lines to stderr
    rate = Fraction(fps).limit_denominator(1001)
    clock = Fraction(1, TICKS) if timed else 1 / rate
    container_options = {"movflags": "+faststart"} if path.suffix.lower() == ".mp4" else {}
    try:
        with av.open(str(path), "w", options=container_options) as opened:
            container: Any = opened  # PyAV's stubs know the type of a stream by its literal name only
            stream: Any = container.add_stream(name, rate=rate, options=options)
            _set_up(stream, clock, max(1, round(fps * KEYFRAME_SECONDS)))
            begin: float | None = None
            for time, pixels in frames:
                if begin is None:
                    begin = time
                    stream.height, stream.width = pixels.shape[:2]
                    with ordinary_scheduling():
                        stream.codec_context.open()
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
                frame.pts = round((time - begin) * TICKS) if timed else round(time - begin)
                frame.time_base = clock
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        raise InputError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    return codec


@contextmanager
def ordinary_scheduling() -> Generator[None]:
    """Give all threads the scheduling back that the calling one has now.

    SVT-AV1 makes its threads and the one that opens it real-time wherever it may, as it may as root: they, and every
    thread that is started later, would run before all else on the machine, for ever.
    """
    if sys.platform != "linux":
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in (int(task.name) for task in Path("/proc/self/task").iterdir()):
            with suppress(ProcessLookupError):  # it ended in between
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, parameters)


def _set_up(stream: Any, clock: Fraction, keyframe_every: int) -> None:
    """Pixel format, clock, colors and keyframes of an encoder."""
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = clock
    context.gop_size = keyframe_every
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = NARROW_RANGE
