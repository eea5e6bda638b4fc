"""The objects of one video shared out over replicas, and many videos through one scheduler."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from sam3_agent import masks
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.scheduler import Scheduler
from sam3_agent.model.video_segmenter import Sighting, TrackedMask, TrackMemory, TrackRequest, VideoSegmenter
from sam3_agent.types import ModelInfo
from tests.model.conftest import small_model, small_video_tracker

ALIKE = 1e-5
Pixels = NDArray[np.uint8]


def replica(tokenizer: CLIPTokenizer) -> Sam3:
    video = small_video_tracker()
    return Sam3(small_model(), tokenizer, ModelInfo("small", "cpu", "float32"), video.tracker, video=video)


def square(left: int, top: int) -> masks.Rle:
    mask = np.zeros((120, 180), dtype=np.bool_)
    mask[top : top + 30, left : left + 30] = True
    return masks.encode(mask)


STARTS = [TrackRequest(mask=square(10 + 40 * (n % 3), 10 + 40 * (n // 3))) for n in range(5)]


def follow(segmenter: Sam3 | Scheduler, frames: Sequence[Pixels]) -> list[TrackedMask]:
    """What is said of five objects on all frames."""
    assert isinstance(segmenter, VideoSegmenter)
    memories: list[TrackMemory] = []
    said: list[TrackedMask] = []
    for index, pixels in enumerate(frames):
        seen = segmenter.encode(pixels)
        found = segmenter.track(seen, index, [TrackRequest(memory) for memory in memories] or STARTS)
        before = memories or [None] * len(STARTS)
        sightings = [Sighting(mask, old, index == 0, "thing") for mask, old in zip(found, before, strict=True)]
        memories = segmenter.remember(seen, index, sightings)
        said += found
    return said


def furthest(one: Sequence[TrackedMask], other: Sequence[TrackedMask]) -> float:
    pairs = list(zip(one, other, strict=True))
    return max(max(float(np.abs(a.logits - b.logits).max()), abs(a.score - b.score)) for a, b in pairs)


def test_objects_shared_out_over_two_replicas_are_what_they_are_on_one(
    tokenizer: CLIPTokenizer, tracking_segmenter: Sam3, picture: Pixels
) -> None:
    frames = [np.roll(picture, 3 * t, axis=1) for t in range(5)]
    with Scheduler([replica(tokenizer), replica(tokenizer)]) as two:
        assert furthest(follow(two, frames), follow(tracking_segmenter, frames)) <= ALIKE
        assert all(each["batches"] > 0 for each in two.statistics()["replicas"])


def test_several_videos_at_once_through_one_scheduler_do_not_meet(tracking_segmenter: Sam3, picture: Pixels) -> None:
    videos = [[np.roll(picture, (shift + 2) * t, axis=1) for t in range(4)] for shift in range(3)]
    with Scheduler([tracking_segmenter]) as shared, ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda frames: follow(shared, frames), videos))
    for frames, said in zip(videos, found, strict=True):
        assert furthest(said, follow(tracking_segmenter, frames)) <= ALIKE
