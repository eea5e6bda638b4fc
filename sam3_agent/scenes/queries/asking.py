"""All kinds of query about one scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sam3_agent.scenes.queries.counting import countings
from sam3_agent.scenes.queries.exclusion import exclusions
from sam3_agent.scenes.queries.function import functions
from sam3_agent.scenes.queries.no_target import no_targets
from sam3_agent.scenes.queries.odd_one_out import odd_ones_out
from sam3_agent.scenes.queries.ordinal import ordinals
from sam3_agent.scenes.queries.plain import plains
from sam3_agent.scenes.queries.query import Query
from sam3_agent.scenes.queries.relation import relations
from sam3_agent.scenes.queries.superlative import superlatives
from sam3_agent.scenes.scene import Scene

ASKERS: tuple[Callable[[Scene, np.random.Generator], Iterator[Query]], ...] = (
    superlatives,
    ordinals,
    relations,
    exclusions,
    countings,
    functions,
    odd_ones_out,
    plains,
    no_targets,
)


def queries_of(scene: Scene, rng: np.random.Generator, limit_per_kind: int = 2) -> list[Query]:
    """Unambiguous queries about `scene`, at most `limit_per_kind` of each kind, no text twice."""
    if not scene.objects:
        return []
    queries: dict[str, Query] = {}
    for asker in ASKERS:
        amount = 0
        for query in asker(scene, rng):
            if amount == limit_per_kind:
                break
            if query.text not in queries:
                queries[query.text] = query
                amount += 1
    return list(queries.values())
