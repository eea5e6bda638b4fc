"""Start values of the memory: on the embedded weights a given mask is followed before anything is learnt."""

from pathlib import Path

import numpy as np
import pytest
import torch

import sam3_agent.model
from sam3_agent.model.tracking.video_tracker import VideoTracker
from sam3_agent.scenes.video import ClipOptions, draw_clip
from sam3_agent.training.click_loss import mask_iou
from sam3_agent.training.config import TRACKER
from sam3_agent.training.memory_start import start_memory
from sam3_agent.training.track_clips import TrackBatch, draw_lesson, encode_clip
from sam3_agent.training.track_forward import Lesson, follow_clip
from sam3_agent.training.track_run import TrackLearner, examples_of, start_track_learner

torch.set_num_threads(1)
pytestmark = pytest.mark.integration  # it trains
SIZE = 224
WALKERS = ClipOptions(min_objects=3, max_objects=4, min_side=224, max_side=256, roles=(("line", 1.0),), cuts=0.0)


@pytest.fixture(scope="module")
def learner() -> TrackLearner:
    return start_track_learner(TRACKER, Path(sam3_agent.model.__file__).parent / "weights" / "tiny", None)[0]


@pytest.fixture(scope="module")
def lesson(learner: TrackLearner) -> TrackBatch:
    clip = encode_clip(learner.backbone, draw_clip(31, 2, options=WALKERS), SIZE)
    batch = draw_lesson(clip, 2, 4, SIZE // 8, np.random.default_rng(0))
    assert batch is not None
    return batch


@torch.inference_mode()
def overlap(tracker: VideoTracker, batch: TrackBatch) -> float:
    found = follow_clip(tracker, batch, Lesson(), np.random.default_rng(0))
    pairs = [(said.best, batch.cover[said.frame], batch.there[said.frame]) for said in found]
    return float(torch.cat([mask_iou(best[there][:, None], cover[there])[:, 0] for best, cover, there in pairs]).mean())


def test_a_given_mask_is_followed_before_anything_is_learnt(learner: TrackLearner, lesson: TrackBatch) -> None:
    unstarted = overlap(learner.tracker, lesson)
    clips = [encode_clip(learner.backbone, draw_clip(seed, 5, options=WALKERS), SIZE) for seed in (21, 22, 23)]
    start_memory(learner.tracker, examples_of(learner.tracker, clips))
    assert unstarted < 0.3
    assert overlap(learner.tracker, lesson) > 0.5
