"""Benchmark of the planner without an LLM on unseen queries, kind by kind.

`python -m benchmarks.loop rules --runs 500 --model tiny`
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import count, islice
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.loop.price import iou_of, segmenter_for, truth_of
from sam3_agent.loop.agent import Agent
from sam3_agent.planner import RulesLLM
from sam3_agent.scenes import Query, Scene, generate_scene, queries_of

SEED = 880_000
RIGHT = 0.7
"""An answer of this IoU means the right objects: what is missing is the edge of their masks."""


def measure(runs: int, segmenter: str) -> dict[str, Any]:
    """Ask `runs` queries of all kinds, as they come; gIoU and right answers by kind."""
    seen_by = segmenter_for(segmenter)
    by_kind: dict[str, list[float]] = defaultdict(list)
    none: list[bool] = []
    beyond = 0
    for scene, query in islice(_queries(), runs):
        workspace = seen_by(scene)
        image = workspace.open(scene.image)
        answer = Agent(workspace, RulesLLM()).ask(image.id, query.text)
        by_kind[query.kind].append(iou_of(answer.instances, truth_of(scene, query)))
        beyond += answer.outcome == "failed"
        if not query.target_ids:
            none.append(answer.outcome == "no_match")
        workspace.forget(image.id)
    every = [value for values in by_kind.values() for value in values]
    kinds = {
        kind: {
            "queries": len(values),
            "giou": round(mean(values), 3),
            "right": sum(value >= RIGHT for value in values),
        }
        for kind, values in sorted(by_kind.items())
    }
    return {
        "runs": runs,
        "model": segmenter,
        "giou": round(mean(every), 4),
        "no_target_said_so": round(mean(none), 4) if none else None,
        "beyond_the_rules": beyond,
        "kinds": kinds,
    }


def _queries() -> Iterator[tuple[Scene, Query]]:
    for number in count():
        scene = generate_scene(SEED + number)
        for query in queries_of(scene, np.random.default_rng([SEED, number]), limit_per_kind=1):
            yield scene, query
