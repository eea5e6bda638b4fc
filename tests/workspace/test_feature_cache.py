"""The memory of features: one encode for each picture, however many ask, and several pictures at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent.model.fake import FakeFeatures, FakeSegmenter
from sam3_agent.workspace.feature_cache import FeatureCache, Window

WHOLE: Window = (0, 0, 10, 10)
PIXELS = np.zeros((10, 10, 3), dtype=np.uint8)


class MeetingSegmenter(FakeSegmenter):
    """Encodes nothing before so many encodes run at the same time."""

    def __init__(self, together: int) -> None:
        super().__init__({})
        self._meeting = threading.Barrier(together, timeout=60)

    def encode(self, image: NDArray[np.uint8]) -> FakeFeatures:
        self._meeting.wait()
        return super().encode(image)


class FailingSegmenter(FakeSegmenter):
    """Fails until it is mended."""

    broken = True

    def encode(self, image: NDArray[np.uint8]) -> FakeFeatures:
        if self.broken:
            raise RuntimeError("broken")
        return super().encode(image)


def test_sixteen_threads_that_ask_for_one_picture_encode_it_once() -> None:
    slow = threading.Event()

    def answers(_: NDArray[np.uint8]) -> dict[str, object]:
        slow.wait(0.2)
        return {}

    segmenter = FakeSegmenter(answers)  # pyright: ignore[reportArgumentType]
    memory = FeatureCache(segmenter, 10**6)
    together = threading.Barrier(16, timeout=60)

    def ask(_: int) -> object:
        together.wait()
        return memory.get(("img1", WHOLE), lambda: PIXELS)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(16)))
    assert segmenter.encodes == memory.encodes == 1
    assert all(each is found[0] for each in found)
    features = memory.statistics()["features"]
    assert isinstance(features, dict)
    assert (features["hits"], features["misses"]) == (15, 1)


def test_different_pictures_are_encoded_at_the_same_time() -> None:
    memory = FeatureCache(MeetingSegmenter(4), 10**6)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: memory.get((f"img{number}", WHOLE), lambda: PIXELS), range(4)))
    assert memory.encodes == 4


def test_after_a_failed_encode_the_next_who_asks_tries_again() -> None:
    segmenter = FailingSegmenter({})
    memory = FeatureCache(segmenter, 10**6)
    with pytest.raises(RuntimeError, match="broken"):
        memory.get(("img1", WHOLE), lambda: PIXELS)
    segmenter.broken = False
    assert memory.get(("img1", WHOLE), lambda: PIXELS) is memory.get(("img1", WHOLE), lambda: PIXELS)
    assert memory.encodes == 1


def test_evictions_are_counted_and_forgetting_frees_all_windows_of_a_picture() -> None:
    memory = FeatureCache(FakeSegmenter({}, feature_bytes=100), 250)
    for number in range(3):
        memory.get(("img1", (0, 0, number + 1, 1)), lambda: PIXELS)
    memory.get(("img2", WHOLE), lambda: PIXELS)
    features = memory.statistics()["features"]
    assert features == {"hits": 0, "misses": 4, "evictions": 2, "items": 2, "bytes": 200, "limit": 250}
    memory.forget("img1")
    assert memory.nbytes == 100
