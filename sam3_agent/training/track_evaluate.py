"""A quick held-out reading of a tracker run; the figures that count come from `benchmarks/video`."""

import numpy as np
import torch
from torch import nn

from sam3_agent.model.tracking.video_tracker import VideoTracker
from sam3_agent.scenes.video import ClipOptions
from sam3_agent.training.click_loss import mask_iou
from sam3_agent.training.track_clips import View, draw_tracks
from sam3_agent.training.track_forward import Lesson, follow_clip

SEEDS = 1 << 20
"""First seed of the clips; below those that are trained on."""
HELD_OUT = ClipOptions(min_side=224, max_side=400, gaps=0.2)


@torch.inference_mode()
def quick_track_evaluation(
    tracker: VideoTracker, backbone: nn.Module, clips: int = 10, frames: int = 8, first: int = SEEDS
) -> dict[str, str]:
    """J of objects that are there, beside that of the first mask kept; how often presence and absence are right."""
    found: list[float] = []
    still: list[float] = []
    last: list[float] = []
    right: list[bool] = []
    absent: list[bool] = []
    size = tracker.tracker.image_size
    view = View(size, tracker.tracker.mask_size[0], size)
    for seed in range(first, first + clips):
        batch = draw_tracks(seed, frames, 6, view, HELD_OUT)
        for said in follow_clip(tracker, backbone, batch, Lesson(), np.random.default_rng(0)):
            cover, there = batch.cover[said.frame], batch.there[said.frame]
            seen = said.score > 0
            j = mask_iou(torch.where(seen[:, None, None], said.best, -1.0)[:, None], cover)[:, 0]
            copied = mask_iou(batch.cover[0][:, None] - 0.5, cover)[:, 0]
            found += j[there].tolist()
            still += copied[there].tolist()
            last += j[there].tolist() if said.frame == frames - 1 else []
            right += (seen == there).tolist()
            absent += (~seen[~there]).tolist()
    return {
        "masks": f"J {np.mean(found):.3f} (at the end {np.mean(last):.3f}, first mask kept {np.mean(still):.3f})"
        f" n {len(found)}",
        "presence": f"right {np.mean(right):.3f},"
        f" absence found {np.mean(absent) if absent else 1:.3f} of {len(absent)}",
    }
