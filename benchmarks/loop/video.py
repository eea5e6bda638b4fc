"""Benchmark of the planner without an LLM on referring queries about unseen videos, kind by kind.

`python -m benchmarks.loop video --runs 120 --model tiny`
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sam3_evals.metrics.video.region import score_frames

from sam3_agent import masks
from sam3_agent.loop.agent import Agent
from sam3_agent.model.fake import OBJECT, FakeSegmenter
from sam3_agent.planner import RulesLLM
from sam3_agent.scenes.video import (
    QUERY_CLIPS,
    ClipObject,
    VideoTruth,
    draw_clip,
    temporal_queries_of,
    truth_of,
    union_of,
)
from sam3_agent.scenes.vocabulary import SUPERCATEGORY_PHRASE
from sam3_agent.tracks import VideoAnswer
from sam3_agent.types import Candidate, Detection
from sam3_agent.workspace import Workspace

SEED = 990_000
"""Under 2^40: never trained on. The rules were made on seeds from 700,000 on."""
FRAMES, FPS = 24, 8.0
RIGHT = 0.7
"""An answer of this J&F means the right objects: what is missing is the edge of their masks."""
Frames = NDArray[np.uint8]
"""(T, H, W, 3) RGB."""
LEAST_PIXELS = 8
"""A model sees nothing of fewer pixels; the truth counts no less as seen."""


def measure(runs: int, segmenter: str, seed: int = SEED) -> dict[str, Any]:
    """Ask `runs` queries of all kinds, as they come; J&F and right answers by kind."""
    seen_by = workspace_for(segmenter)
    by_kind: dict[str, list[float]] = defaultdict(list)
    none: list[bool] = []
    failed: list[str] = []
    asked = 0
    for number in count():
        clip = draw_clip(seed + number, FRAMES, options=QUERY_CLIPS)
        truth = truth_of(clip)
        workspace = seen_by(clip.frames, truth)
        video = workspace.open_video(clip.frames, fps=FPS)
        for query in temporal_queries_of(truth, np.random.default_rng([seed, number])):
            answer = Agent(workspace, RulesLLM()).ask_video(video.id, query.text)
            by_kind[query.kind].append(score_of(answer, union_of(truth, query.target_ids)))
            if answer.outcome == "failed":
                failed.append(answer.reason)
            if not query.target_ids:
                none.append(answer.outcome == "no_match")
            asked += 1
            if asked == runs:
                workspace.forget_video(video.id)
                return _figures(segmenter, by_kind, none, failed, number + 1)
        workspace.forget_video(video.id)
    raise AssertionError("there is no last clip")


def _figures(
    segmenter: str, by_kind: Mapping[str, Sequence[float]], none: Sequence[bool], failed: Sequence[str], videos: int
) -> dict[str, Any]:
    every = [value for values in by_kind.values() for value in values]
    there = [value for kind, values in by_kind.items() for value in values if kind != "no_target"]
    kinds = {
        kind: {
            "queries": len(values),
            "jf": round(mean(values), 3),
            "right": sum(value >= RIGHT for value in values),
        }
        for kind, values in sorted(by_kind.items())
    }
    return {
        "runs": len(every),
        "videos": videos,
        "model": segmenter,
        "jf": round(mean(every), 4),
        "jf_with_target": round(mean(there), 4) if there else None,
        "no_target_said_so": round(mean(none), 4) if none else None,
        "beyond_the_rules": len(failed),
        "kinds": kinds,
    }


def score_of(answer: VideoAnswer, truth: Sequence[masks.Rle | None]) -> float:
    """J&F of the union of the tracks over all frames; 1 where both have nothing."""
    predicted = [answer.mask_at(frame) for frame in range(len(truth))]
    return score_frames(predicted, truth).jf


def workspace_for(name: str) -> Callable[[Frames, VideoTruth], Workspace]:
    """From a clip to a workspace whose model sees it: one for all, or "perfect", which knows that clip's truth."""
    if name == "perfect":
        return lambda frames, truth: Workspace(perfect_tracker(frames, truth))

    from sam3_agent.model.replicas import load_segmenter

    workspace = Workspace(load_segmenter(name))
    return lambda frames, truth: workspace


def perfect_tracker(frames: Frames, truth: VideoTruth) -> FakeSegmenter:
    """Model that knows the truth of a clip: it answers every phrase that holds, and follows every object exactly."""
    known = {frame.tobytes(): index for index, frame in enumerate(frames)}

    def answers(image: NDArray[np.uint8]) -> dict[str, Detection]:
        index = known.get(image.tobytes())
        return {} if index is None else _answers(truth, index)

    return FakeSegmenter(answers)


def _answers(truth: VideoTruth, index: int) -> dict[str, Detection]:
    found: dict[str, list[Candidate]] = {}
    for number, thing in enumerate(truth.objects):
        rle = truth.masklets[number][index]
        if rle is None or truth.areas[index, number] < LEAST_PIXELS:
            continue
        candidate = Candidate(rle, masks.box(rle), 0.95)
        for phrase in (f"{OBJECT}{thing.id}", *_phrases(thing)):
            found.setdefault(phrase, []).append(candidate)
    return {phrase: Detection(0.97, tuple(candidates)) for phrase, candidates in found.items()}


def _phrases(thing: ClipObject) -> Iterator[str]:
    """Phrases that hold of an object in every frame."""
    for noun in (thing.noun, SUPERCATEGORY_PHRASE[thing.supercategory], "object", "thing"):
        yield noun
        yield f"{thing.pattern} {noun}"
        if len(set(thing.colors)) == 1:
            yield f"{thing.color} {noun}"
