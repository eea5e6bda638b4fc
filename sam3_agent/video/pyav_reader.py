"""Video files read by PyAV (FFmpeg): exact frames by timestamp, seeking by keyframes, truncated tails kept.

The index is made by reading the packets without decoding them (5 ms for 289 frames). Packets are not frames, though:
the beginning is decoded as a check, and the end where a file seems cut off; a stream whose packets and frames do not
agree is decoded once from beginning to end.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
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
    is_counted: bool

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Pixels, bool]]:
        """The frames of `indices`, rising; a jump over a keyframe seeks, anything less decodes on.

        What cannot be decoded shows the frame before it, or, at the beginning, the one after it.
        """
        self._check_unchanged()
        with _opened(self.path, self.stream) as source:
            cursor = _Cursor(source, self)
            for index in indices:
                shown, frame = cursor.go_to(index)
                yield index, _to_pixels(frame, self.rotation, self.size), shown != index

    def _check_unchanged(self) -> None:
        try:
            same = _stamp(self.path) == self.stamp
        except OSError as error:
            raise InputError(f"{str(self.path)!r} is gone ({error.strerror}); open the video anew") from error
        if not same:
            raise InputError(f"{str(self.path)!r} has changed since it was opened; open the video anew")


@dataclass(slots=True)
class _Source:
    """An open container with the one stream of it that is read; `decoder` where its own codec is not used."""

    container: av.container.InputContainer
    stream: av.video.stream.VideoStream
    decoder: Any

    def frames(self) -> Iterator[Any]:
        """Decoded frames from here on; packets that cannot be decoded are passed over."""
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.FFmpegError):
                break
            try:
                yield from self.decoder.decode(packet)
            except av.error.FFmpegError:
                continue
        try:
            yield from self.decoder.decode(None)
        except av.error.FFmpegError:  # already drained, or nothing was ever decoded
            return

    def seek(self, pts: int) -> None:
        """Go to the last keyframe at or before `pts`."""
        self.container.seek(pts, stream=self.stream, backward=True)
        self.decoder.flush_buffers()


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
        """The frame nearest to `index`, from before it if there is one, with its number; raises InputError if none."""
        key = self._key_before(index)
        if key is not None and np.searchsorted(self._reader.pts, key) > self._position + 1:
            self._jump(key, index)
        self._decode_to(index)
        if self._latest is not None:
            return self._position, self._latest
        if self._ahead is not None:
            return self._ahead
        raise InputError(f"no frame of {str(self._reader.path)!r} can be decoded")

    def _key_before(self, index: int) -> int | None:
        place = int(np.searchsorted(self._reader.keys, self._reader.pts[index], side="right")) - 1
        return int(self._reader.keys[place]) if place >= 0 else None

    def _jump(self, key: int, index: int) -> None:
        """Seek to `key`; from the beginning instead where the container does not lead there."""
        self._seek(key)
        self._ahead = self._next()
        if self._ahead is None or self._ahead[0] > index:
            self._seek(int(self._reader.pts[0]))
            self._ahead = None

    def _seek(self, pts: int) -> None:
        try:
            self._source.seek(pts)
        except av.error.FFmpegError as error:
            raise InputError(f"cannot seek in {str(self._reader.path)!r}: {error.strerror}") from error
        self._frames = enumerate(self._source.frames())

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
        """The next frame that is in the index, with its number."""
        pts = self._reader.pts
        for number, frame in self._frames:
            value = number if self._reader.is_counted else frame.pts
            if value is None:
                continue
            place = int(np.searchsorted(pts, value))
            if place < pts.size and pts[place] == value:
                return place, frame
        return None


@dataclass(frozen=True, slots=True, eq=False)
class _Index:
    """Timestamps (T,) in presentation order, keyframes among them, and what is wrong with the file."""

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
    if is_cut and not index.is_counted and index.keys.size:
        index = _check_end(path, number, index)
    check_count(index.pts.size, shown, limits)
    missing = declared - index.pts.size
    if is_cut and missing > 0:
        told = f"the file is cut off or damaged: {index.pts.size} of {declared} frames can be read"
        index = _Index(index.pts, index.keys, index.is_counted, (*index.warnings, told))
    times = (index.pts - index.pts[0]) * (1.0 / rate if index.is_counted else step)
    rotation = int(first.rotation) % 360
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
    """The index by packets alone, how many frames the file claims or begins, and whether its end needs a check."""
    pts: list[int] = []
    keys: list[int] = []
    packets, is_cut, has_times = 0, False, True
    stream = source.stream
    for packet in _packets(source):
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
            keys.append(packet.pts)
        check_count(len(pts), shown, limits)
    ordered = np.unique(np.array(pts, dtype=np.int64))
    is_cut = is_cut or stream.frames == 0 or stream.frames > packets
    usable = has_times and ordered.size == len(pts) and ordered.size > 0
    index = _Index(ordered if usable else ordered[:0], np.unique(np.array(keys, dtype=np.int64)))
    return index, max(stream.frames, packets), is_cut


def _packets(source: _Source) -> Iterator[Any]:
    """Packets up to the end, or to where the container breaks off: then a last None."""
    try:
        yield from source.container.demux(source.stream)
    except av.error.FFmpegError:
        yield None


def _check_beginning(path: Path, stream: int, index: _Index, limits: VideoLimits) -> tuple[Any, _Index]:
    """The first frame, and the index without frames before it; a new index where packets are not frames."""
    decoded: list[Any] = []
    with _opened(path, stream) as source:
        for frame in source.frames():
            decoded.append(frame.pts)
            if len(decoded) == 1:
                first = frame
            if len(decoded) == PROBED:
                break
        else:
            if not decoded:
                raise InputError(f"no frame of {str(path)!r} can be decoded; it is damaged or protected")
    if decoded[0] is not None:
        begin = int(np.searchsorted(index.pts, decoded[0]))
        if index.pts[begin : begin + len(decoded)].tolist() == decoded:
            pts = index.pts[begin:]
            told = (f"the first {begin} frames cannot be decoded and are left out",) if begin else ()
            return first, _Index(pts, index.keys[index.keys >= pts[0]], warnings=told)
    return first, _count(path, stream, limits)


def _check_end(path: Path, stream: int, index: _Index) -> _Index:
    """The index without what cannot be decoded at its end: decodes from the last keyframe that gives any frame."""
    pts, keys = index.pts, index.keys
    while keys.size:
        with _opened(path, stream) as source:
            source.seek(int(keys[-1]))
            found = {frame.pts for frame in source.frames() if frame.pts is not None and frame.pts >= keys[-1]}
        end = pts[pts >= keys[-1]]
        good = [value for value in end.tolist() if value in found]
        if good:
            # only the tail goes: a hole before a frame that can be decoded is shown as damaged
            return _Index(pts[pts <= good[-1]], keys, warnings=index.warnings)
        pts, keys = pts[pts < keys[-1]], keys[:-1]
    return _Index(pts, keys, warnings=index.warnings)


def _count(path: Path, stream: int, limits: VideoLimits) -> _Index:
    """The index by decoding everything: by timestamps where every frame has one and they rise, else by counting."""
    found: list[int | None] = []
    with _opened(path, stream) as source:
        for frame in source.frames():
            found.append(frame.pts)
            check_count(len(found), repr(str(path)), limits)
    none = np.zeros(0, dtype=np.int64)
    times = [value for value in found if value is not None]
    if len(times) == len(found) and all(one < two for one, two in pairwise(times)):
        return _Index(np.array(times, dtype=np.int64), none)
    told = "the file has no usable times: its frames are taken to be evenly spaced"
    return _Index(np.arange(len(found), dtype=np.int64), none, is_counted=True, warnings=(told,))


@contextmanager
def _opened(path: Path, stream: int | None) -> Generator[_Source]:
    """The container, opened for the stream of that number (None: the first that is a video and no cover picture)."""
    shown = repr(str(path))
    try:
        container = av.open(str(path), options={"format_whitelist": DEMUXERS}, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{shown} cannot be read as a video: {reason or error}") from error
    with container:
        videos = [video for video in container.streams.video if not video.disposition & Disposition.attached_pic]
        chosen = videos[:1] if stream is None else [video for video in videos if video.index == stream]
        if not chosen:
            raise InputError(f"{shown} has no video in it")
        video = chosen[0]
        if _codec_of(video) is None:
            raise InputError(f"{shown} is in a codec that this FFmpeg does not decode")
        yield _Source(container, video, _decoder(video))


def _codec_of(video: av.video.stream.VideoStream) -> Any:
    return video.codec_context  # None where FFmpeg has no decoder, whatever the stubs say


def _decoder(video: av.video.stream.VideoStream) -> Any:
    """The stream's own decoder, or one that reads the alpha layer where there is one."""
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
    """(H, W, 3) RGB, upright, transparency laid on white; scaled where the stream changes its size on the way."""
    width, height = size[::-1] if rotation in (90, 270) else size
    if any(component.is_alpha for component in frame.format.components):
        layer = frame.to_ndarray(format="rgba", width=width, height=height).astype(np.uint16)
        alpha = layer[:, :, 3:]
        pixels = ((layer[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    else:
        pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
    return np.ascontiguousarray(np.rot90(pixels, rotation // 90)) if rotation else pixels
