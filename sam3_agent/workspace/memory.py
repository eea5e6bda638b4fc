"""Features of encoded pictures, kept up to a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sam3_agent.model.segmenter import Features, Segmenter

Window = tuple[int, int, int, int]
"""Whole-pixel xyxy part of an image."""
Key = tuple[str, Window]
"""Image id and window."""


class FeatureMemory:
    """Encodes on demand and forgets what was used least recently once `max_bytes` are exceeded.

    The newest features are kept even when they alone exceed the limit. Safe to call from several threads; one encode
    runs at a time.
    """

    def __init__(self, segmenter: Segmenter, max_bytes: int) -> None:
        self._segmenter = segmenter
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Key, Features] = OrderedDict()
        self._encodes = 0
        self._lock = threading.Lock()
        self._encoding = threading.Lock()

    @property
    def encodes(self) -> int:
        """Encodes so far."""
        return self._encodes

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        with self._lock:
            return sum(features.nbytes for features in self._kept.values())

    def get(self, key: Key, pixels: Callable[[], NDArray[np.uint8]]) -> Features:
        """The features of a window, from memory or by encoding what `pixels()` returns."""
        features = self._find(key)
        if features is not None:
            return features
        with self._encoding:
            features = self._find(key)  # another thread may have been first
            if features is None:
                features = self._segmenter.encode(pixels())
                self._keep(key, features)
            return features

    def forget(self, image_id: str) -> None:
        """Drop everything of one image."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == image_id]:
                del self._kept[key]

    def _find(self, key: Key) -> Features | None:
        with self._lock:
            features = self._kept.get(key)
            if features is not None:
                self._kept.move_to_end(key)
            return features

    def _keep(self, key: Key, features: Features) -> None:
        with self._lock:
            self._encodes += 1
            self._kept[key] = features
            held = sum(kept.nbytes for kept in self._kept.values())
            while held > self._max_bytes and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                held -= dropped.nbytes
