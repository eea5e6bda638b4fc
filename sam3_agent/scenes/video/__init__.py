"""Procedural videos with exact truth, and the sentences about their course that hold in them."""

from sam3_agent.scenes.video.clip import (
    FIRST_TRAINING_SEED,
    MOST_EVALUATION_SEED,
    Clip,
    ClipFrame,
    ClipObject,
    ClipPlan,
    draw_clip,
    evaluation_seed,
    plan_clip,
)
from sam3_agent.scenes.video.concepts import video_concepts_of
from sam3_agent.scenes.video.options import QUERY_CLIPS, ClipOptions
from sam3_agent.scenes.video.queries import temporal_queries_of
from sam3_agent.scenes.video.truth import TruthBuilder, VideoTruth, truth_of, union_of

__all__ = [
    "FIRST_TRAINING_SEED",
    "MOST_EVALUATION_SEED",
    "QUERY_CLIPS",
    "Clip",
    "ClipFrame",
    "ClipObject",
    "ClipOptions",
    "ClipPlan",
    "TruthBuilder",
    "VideoTruth",
    "draw_clip",
    "evaluation_seed",
    "plan_clip",
    "temporal_queries_of",
    "truth_of",
    "union_of",
    "video_concepts_of",
]
