"""Calibration of the presence head: the logit from which on an object counts as there, and how sure one above it is.

Both are read off whole videos. Steps look at a few frames and at parts of the picture, where half of the objects are
away; a video is longer, and nine tenths of its objects are there. So the head's zero, which is where a track is shown
and remembered, lies elsewhere.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sam3_agent.model.tracker import Part
from sam3_agent.model.tracking.video_tracker import VideoTracker
from sam3_agent.scenes.video import draw_clip
from sam3_agent.training.click_loss import mask_iou
from sam3_agent.training.track_clips import LEAST_CELLS, VISIBLE, EncodedClip, TrackBatch, encode_clip
from sam3_agent.training.track_forward import Lesson, follow_clip

SEEDS = 1 << 61
"""First seed of the clips; the range is that of training, of which the evaluation sees none."""
CLIPS = 16
FRAMES = 24
COST = 0.01
"""Of J, that a higher threshold may take for the absences that it finds."""
SCALES = np.geomspace(0.25, 8.0, 101)
"""From which the scale is chosen; a few clips could be told apart without error, and no scale would be too much."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The head's logits about N objects, each on a frame after the first."""

    score: NDArray[np.float32]
    """(N,)"""
    iou: NDArray[np.float32]
    """(N,) of the mask that would be shown; NaN where the object is away."""

    @property
    def away(self) -> NDArray[np.bool_]:
        """(N,) whether nothing of the object is seen."""
        return np.isnan(self.iou)

    def j(self, threshold: float) -> float:
        """Mean IoU of the objects that are there; 0 for those with a score of no more than the threshold."""
        shown = np.where(self.score > threshold, self.iou, 0.0)[~self.away]
        return float(shown.mean()) if len(shown) else 0.0

    def absent(self, threshold: float) -> float:
        """Share of the objects that are away and are said to be; NaN where none is."""
        return float((self.score <= threshold)[self.away].mean()) if self.away.any() else float("nan")


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logit x of the head becomes scale * (x - zero)."""

    zero: float = 0.0
    scale: float = 1.0

    def apply(self, head: nn.Module) -> None:
        """Put it into the last layer of a head, for good."""
        last = cast(nn.Linear, cast(Any, head).proj_out)
        with torch.no_grad():
            last.bias.sub_(self.zero).mul_(self.scale)
            last.weight.mul_(self.scale)


@torch.inference_mode()
def judge_clips(
    tracker: VideoTracker, backbone: nn.Module, clips: int = CLIPS, frames: int = FRAMES, first: int = SEEDS
) -> Judged:
    """Follow every object of some clips from its true mask on the first frame by memory alone."""
    scores: list[Tensor] = []
    ious: list[Tensor] = []
    for seed in range(first, first + clips):
        batch = whole_clip(encode_clip(backbone, draw_clip(seed, frames), tracker.tracker.image_size))
        if not batch.cover.shape[1]:
            continue
        for said in follow_clip(tracker, batch, Lesson(), np.random.default_rng(0)):
            iou = mask_iou(said.best[:, None], batch.cover[said.frame])[:, 0]
            scores.append(said.score)
            ious.append(torch.where(batch.there[said.frame], iou, torch.nan))
    return Judged(_joined(scores), _joined(ious))


def calibration_of(judged: Judged, cost: float = COST) -> Calibration:
    """The zero of `threshold_of`, and the scale under which what was judged is likeliest (Platt, 1999)."""
    if not len(judged.score):
        return Calibration()
    zero = threshold_of(judged, cost)
    sign = np.where(judged.away, -1.0, 1.0)
    costs = [float(np.logaddexp(0.0, -sign * scale * (judged.score - zero)).mean()) for scale in SCALES]
    return Calibration(zero, float(SCALES[int(np.argmin(costs))]))


def threshold_of(judged: Judged, cost: float = COST) -> float:
    """The highest threshold whose J is at most `cost` below the best one's; 0 where nothing was judged.

    Raising it finds absences and loses objects; J alone would leave it where a track that goes on where nothing is
    costs nothing.
    """
    steps = np.unique(judged.score)
    if not len(steps):
        return 0.0
    middles = np.concatenate([[steps[0] - 1.0], (steps[1:] + steps[:-1]) / 2])
    found = np.array([judged.j(float(each)) for each in middles])
    return float(middles[np.flatnonzero(found >= found.max() - cost)[-1]])


def whole_clip(clip: EncodedClip) -> TrackBatch:
    """A clip's objects that are there on its first frame, on whole pictures."""
    cover = clip.cover.float() / 255.0  # (T, N, 4g, 4g)
    there = (cover[0] > VISIBLE).sum((1, 2)) >= LEAST_CELLS
    side = clip.grid.shape[-1]
    return TrackBatch(clip.grid.float(), cover[:, there].contiguous(), Part(0, 0, side, side))


def _joined(values: list[Tensor]) -> NDArray[np.float32]:
    return cast(Any, torch.cat(values).float().cpu()).numpy() if values else np.zeros(0, dtype=np.float32)
