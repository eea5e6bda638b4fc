"""All members of a group, by its description alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sam3_agent.scenes.queries.group import groups_of
from sam3_agent.scenes.queries.query import Query, Wording
from sam3_agent.scenes.scene import Scene

KIND = "plain"

WORDING = Wording(
    ("the {many}", "all {many}", "every {one}"),
    (
        "Find all the {many} in this picture.",
        "Please mark every {one} that you can see.",
        "Where are the {many}?",
    ),
)


def plains(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """One query a group, in random order."""
    for group in groups_of(scene, rng):
        yield WORDING.ask(KIND, group.members, rng, **group.words)
