"""Features of encoded images, kept up to a number of bytes."""

import threading
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import Busy
from sam3_agent.masks import Window
from sam3_agent.model.lru_cache import ByteLru
from sam3_agent.model.request_context import Caller, calling, current_caller
from sam3_agent.model.segmenter import Features, KeepsStatistics, Segmenter

Key = tuple[str, Window]
"""Image id and window."""


class FeatureCache:
    """Encodes on demand and forgets what was used least recently once `max_bytes` are exceeded.

    The newest features are kept even when they alone exceed the limit. Safe to call from several threads: however many
    ask for the same window at once, one of them encodes it; different windows go to the model at the same time.
    """

    def __init__(self, segmenter: Segmenter, max_bytes: int, owner: Callable[[str], Hashable] = lambda _: None) -> None:
        """`owner` tells whose an image is, by its id: features of the owner who holds most are forgotten first."""
        self._segmenter = segmenter
        self._kept: ByteLru[Key, Features] = ByteLru(
            max_bytes, lambda features: features.nbytes, lambda key: owner(key[0])
        )
        self._turns: dict[Key, _Turn] = {}
        """For every window that is being encoded."""
        self._lock = threading.Lock()

    @property
    def encodes(self) -> int:
        """Encodes so far."""
        return self._kept.statistics.misses

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._kept.statistics.bytes

    def statistics(self) -> dict[str, object]:
        """{"features": of this memory, "model": what the model counts, {} where it does not count}.

        A thread that waited for another one's encode counts as a hit.
        """
        segmenter = self._segmenter.statistics() if isinstance(self._segmenter, KeepsStatistics) else {}
        return {"features": self._kept.statistics.to_json(), "eye": segmenter}

    def held(self, key: Key) -> Features | None:
        """Return the features of a window where they are in memory; nothing is encoded."""
        return self._kept.get(key)

    def get(self, key: Key, pixels: Callable[[], NDArray[np.uint8]], *, passing: bool = False) -> Features:
        """The features of a window, from memory or by encoding what `pixels()` returns.

        Those of a tile are only passing: they make room before all others. An encode that somebody urgent waits for is
        urgent, whoever began it.

        Raises:
            Busy: the caller's deadline came while another thread encoded.
        """
        features = self._kept.get(key, passing=passing)
        if features is not None:
            return features
        with self._turn(key) as turn:
            features = self._kept.get(key, passing=passing)  # another thread may have been first
            if features is None:
                with turn.encoding():
                    features = self._segmenter.encode(pixels())
                self._kept.put(key, features, passing=passing)
            return features

    def forget(self, image_id: str) -> None:
        """Drop everything of one image."""
        self._kept.forget(lambda key: key[0] == image_id)

    @contextmanager
    def _turn(self, key: Key) -> Generator["_Turn"]:
        """One thread at a time for each key."""
        with self._lock:
            turn = self._turns.setdefault(key, _Turn())
            turn.users += 1
        try:
            with turn.alone():
                yield turn
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    del self._turns[key]


class _Turn:
    """The threads that want one window: the first encodes, as urgently as those that wait for it need."""

    def __init__(self) -> None:
        self.users = 0
        """Threads that encode or wait."""
        self._lock = threading.Lock()
        self._state = threading.Lock()
        self._urgent = False
        self._encoder: Caller | None = None

    @contextmanager
    def alone(self) -> Generator[None]:
        """Wait until no other thread encodes, at most as long as the caller has."""
        caller = current_caller()
        if not caller.bulk:
            self._hurry()
        left = caller.seconds_left()
        if not self._lock.acquire(timeout=-1 if left is None else left):
            raise Busy("another call is still having this image encoded; ask again, or allow more seconds")
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def encoding(self) -> Generator[None]:
        """The caller of this thread encodes meanwhile."""
        with calling() as caller:
            with self._state:
                self._encoder = caller
                urgent = self._urgent
            if urgent:
                caller.hurry()
            try:
                yield
            finally:
                with self._state:
                    self._encoder = None

    def _hurry(self) -> None:
        with self._state:
            self._urgent = True
            encoder = self._encoder
        if encoder is not None:
            encoder.hurry()
