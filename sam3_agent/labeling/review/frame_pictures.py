"""Frames of a video as JPEG for the review page: decoded in runs, so that stepping and playing need no jump a frame."""

import io
import threading
from collections import OrderedDict
from collections.abc import Generator

from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.video import Frame, Video

MOST_BYTES = 96_000_000
"""Of encoded frames that are held: some 600 of 1280 x 720, which is what a person goes back and forth over."""
LONGEST_SIDE = 1920
"""Pixels; larger frames are scaled down, as no window shows more of them and 4K doubles the time of a frame."""
QUALITY = 88
RUN_PIXELS = 16_000_000
"""Pixels of a run: 16 frames of 720p take about .1 s, so that a jump answers at once."""


class FramePictures:
    """JPEG of frames, the latest ones held. Thread-safe: one decodes, the others wait for it.

    Frames are decoded in runs of neighbors, aligned, so that requests that overtake each other, and steps backwards,
    find what they ask for; the decoder goes on from one run to the next without a jump.
    """

    def __init__(self, video: Video) -> None:
        """Nothing is decoded before a frame is asked for."""
        self._video = video
        self._run = min(max(RUN_PIXELS // (video.info.width * video.info.height), 1), 16)
        self._held: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0
        self._decoder: Generator[Frame] | None = None
        self._next = -1
        self._lock = threading.Lock()

    def jpeg(self, index: int) -> bytes:
        """One frame.

        Raises:
            InputError: there is no such frame, or the video has changed or is gone.
        """
        if not 0 <= index < len(self._video):
            raise InputError(f"there is no frame {index}; the video has 0-{len(self._video) - 1}")
        with self._lock:
            if index in self._held:
                self._held.move_to_end(index)
                return self._held[index]
            return self._decoded(index)

    def close(self) -> None:
        """Let the video's file go."""
        with self._lock:
            self._stop()

    def _decoded(self, index: int) -> bytes:
        """Decode the run in which a frame lies; gives that frame."""
        start = index - index % self._run
        if self._decoder is None or self._next != start:
            self._stop()
            self._decoder = _frames(self._video, start)
        # put back when all went well: a decoder that failed is not gone on with
        decoder, self._decoder = self._decoder, None
        found = b""
        for place in range(start, min(start + self._run, len(self._video))):
            frame = next(decoder, None)
            if frame is None:
                raise InputError(f"frame {place} cannot be decoded")
            encoded = _encoded(frame)
            found = encoded if place == index else found
            self._hold(place, encoded)
        self._decoder, self._next = decoder, min(start + self._run, len(self._video))
        return found

    def _hold(self, index: int, encoded: bytes) -> None:
        self._bytes += len(encoded) - len(self._held.pop(index, b""))
        self._held[index] = encoded
        while self._bytes > MOST_BYTES and len(self._held) > 1:
            self._bytes -= len(self._held.popitem(last=False)[1])

    def _stop(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
        self._decoder, self._next = None, -1


def _frames(video: Video, start: int) -> Generator[Frame]:
    yield from video.frames(range(start, len(video)))


def _encoded(frame: Frame) -> bytes:
    image = Image.fromarray(frame.image)
    longest = max(image.size)
    if longest > LONGEST_SIDE:
        size = [max(1, round(side * LONGEST_SIDE / longest)) for side in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
