"""Features of encoded pictures, kept up to a number of bytes."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from sam3_agent.masks import Window
from sam3_agent.model.lru import ByteLru
from sam3_agent.model.segmenter import Features, KeepsStatistics, Segmenter

Key = tuple[str, Window]
"""Image id and window."""


class FeatureMemory:
    """Encodes on demand and forgets what was used least recently once `max_bytes` are exceeded.

    The newest features are kept even when they alone exceed the limit. Safe to call from several threads: however many
    ask for the same window at once, one of them encodes it; different windows go to the eye at the same time.
    """

    def __init__(self, segmenter: Segmenter, max_bytes: int) -> None:
        self._segmenter = segmenter
        self._kept: ByteLru[Key, Features] = ByteLru(max_bytes, lambda features: features.nbytes)
        self._turns: dict[Key, tuple[threading.Lock, int]] = {}
        """For every window that is being encoded: the lock, and how many threads hold it or wait for it."""
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
        """{"features": of this memory, "eye": what the eye counts, {} where it does not count}.

        A thread that waited for another one's encode counts as a hit.
        """
        eye = self._segmenter.statistics() if isinstance(self._segmenter, KeepsStatistics) else {}
        return {"features": self._kept.statistics.to_json(), "eye": eye}

    def get(self, key: Key, pixels: Callable[[], NDArray[np.uint8]], *, passing: bool = False) -> Features:
        """The features of a window, from memory or by encoding what `pixels()` returns.

        Those of a tile are only passing: they make room before all others.
        """
        features = self._kept.get(key, passing=passing)
        if features is not None:
            return features
        with self._turn(key):
            features = self._kept.get(key, passing=passing)  # another thread may have been first
            if features is None:
                features = self._segmenter.encode(pixels())
                self._kept.put(key, features, passing=passing)
            return features

    def forget(self, image_id: str) -> None:
        """Drop everything of one image."""
        self._kept.forget(lambda key: key[0] == image_id)

    @contextmanager
    def _turn(self, key: Key) -> Generator[None]:
        """One thread at a time for each key."""
        with self._lock:
            turn, users = self._turns.get(key, (threading.Lock(), 0))
            self._turns[key] = (turn, users + 1)
        try:
            with turn:
                yield
        finally:
            with self._lock:
                _, users = self._turns.pop(key)
                if users > 1:
                    self._turns[key] = (turn, users - 1)
