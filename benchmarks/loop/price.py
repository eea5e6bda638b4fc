"""The same perfect LLM through this loop and through Meta's protocol: quality, calls, tokens, pictures, encodes.

`python -m benchmarks.loop price --runs 300 --model tiny`
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.loop.meta import run_meta
from benchmarks.loop.perfect_llm import Bill, PerfectLLM
from sam3_agent import masks
from sam3_agent.loop.agent import Agent
from sam3_agent.scenes import Query, Scene, SceneOptions, generate_scene, queries_of
from sam3_agent.types import Instance
from sam3_agent.workspace import Workspace
from tests.loop.fixtures_segmenter import perfect_segmenter

SEED = 770_000
OPTIONS = SceneOptions(min_side=512, max_side=1536, max_objects=12)
SEEN, SEEN_WELL = 0.5, 0.75
"""The model finds an object, or finds it well, when one of its masks overlaps it so much (IoU)."""


@dataclass(frozen=True)
class Served:
    """One query through one protocol."""

    iou: float
    bill: Bill
    least: float
    """Over the targets, the least IoU of the model's best mask of one; 1 without targets."""
    best: float
    """IoU of the model's own best mask of each target: more than any choice among its masks can reach, almost."""


def measure(runs: int, segmenter: str) -> dict[str, Any]:
    """`runs` queries through both; gIoU over all, and over those whose targets the model finds."""
    seen_by = segmenter_for(segmenter)
    ours: list[Served] = []
    plain: list[Served] = []
    verified: list[Served] = []
    for scene, query in islice(queries(), runs):
        workspace = seen_by(scene)
        truth = truth_of(scene, query)
        served = _ours(workspace, scene, query, truth)
        ours.append(served)
        outcome = run_meta(workspace, scene, query)
        theirs = iou_of(outcome.instances, truth)
        plain.append(replace(served, iou=theirs, bill=outcome.unverified))
        verified.append(replace(served, iou=theirs, bill=outcome.verified))
    table = {"this loop": _row(ours), "Meta's, verifying": _row(verified), "Meta's, not verifying": _row(plain)}
    share = table["this loop"]["input_tokens"] / table["Meta's, verifying"]["input_tokens"]
    return {"runs": runs, "eye": segmenter, **table, "share_of_tokens": round(share, 3)}


def _ours(workspace: Workspace, scene: Scene, query: Query, truth: NDArray[np.bool_]) -> Served:
    before = workspace.encodes
    image = workspace.open(scene.image)
    llm = PerfectLLM(scene, query)
    answer = Agent(workspace, llm).ask(image.id, query.text)
    llm.bill.encodes = workspace.encodes - before
    targets = [masks.encode(obj.mask) for obj in scene.objects if obj.id in query.target_ids]
    known = workspace.masks_of(image.id)
    overlaps = masks.iou(targets, [instance.rle for instance in known]) if known else np.zeros((len(targets), 1))
    least = float(overlaps.max(axis=1).min(initial=1.0))
    best = iou_of([known[i] for i in overlaps.argmax(axis=1)], truth) if known or not targets else 0.0
    workspace.forget(image.id)
    return Served(iou_of(answer.instances, truth), llm.bill, least, best)


def _row(figures: Sequence[Served]) -> dict[str, float]:
    found = [served for served in figures if served.least >= SEEN]
    well = [served for served in figures if served.least >= SEEN_WELL]
    bills = [served.bill for served in figures]
    return {
        "giou": round(mean(served.iou for served in figures), 4),
        "giou_where_found": round(mean(served.iou for served in found), 4),
        "best_of_the_eye_where_found": round(mean(served.best for served in found), 4),
        "found": len(found),
        "giou_where_found_well": round(mean(served.iou for served in well), 4),
        "found_well": len(well),
        "llm_calls": round(mean(bill.llm_calls for bill in bills), 2),
        "input_tokens": round(mean(bill.input_tokens for bill in bills)),
        "pictures": round(mean(bill.pictures for bill in bills), 2),
        "encodes": round(mean(bill.encodes for bill in bills), 3),
    }


def queries() -> Iterator[tuple[Scene, Query]]:
    """Endless queries of every kind about scenes of their own."""
    for number in count():
        scene = generate_scene(SEED + number, OPTIONS)
        for query in queries_of(scene, np.random.default_rng([SEED, number]), limit_per_kind=1):
            yield scene, query


def segmenter_for(name: str) -> Callable[[Scene], Workspace]:
    """From a scene to a workspace whose model sees it: one for all, or "perfect", which knows that scene's truth."""
    if name == "perfect":
        return lambda scene: Workspace(perfect_segmenter(scene))

    from sam3_agent.model.replicas import load_segmenter

    workspace = Workspace(load_segmenter(name))
    return lambda scene: workspace


def truth_of(scene: Scene, query: Query) -> NDArray[np.bool_]:
    """(H, W) bool: every pixel of what the query means."""
    total = np.zeros((scene.height, scene.width), dtype=bool)
    for obj in scene.objects:
        if obj.id in query.target_ids:
            total |= obj.mask
    return total


def iou_of(instances: Sequence[Instance], truth: NDArray[np.bool_]) -> float:
    """IoU of the union of the masks; 1 where both are empty."""
    predicted = np.zeros_like(truth)
    for instance in instances:
        predicted |= instance.mask
    union = np.count_nonzero(predicted | truth)
    return float(np.count_nonzero(predicted & truth) / union) if union else 1.0
