"""Procedural videos with exact truth, and the sentences about their course that hold in them."""

from sam3_agent.scenes.video.clip import (
    FIRST_TRAINING_SEED,
    Clip,
    ClipFrame,
    ClipObject,
    ClipPlan,
    draw_clip,
    plan_clip,
)
from sam3_agent.scenes.video.options import ClipOptions

__all__ = [
    "FIRST_TRAINING_SEED",
    "Clip",
    "ClipFrame",
    "ClipObject",
    "ClipOptions",
    "ClipPlan",
    "draw_clip",
    "plan_clip",
]
