"""The one object that is unlike all others, which are alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from sam3_agent.scenes.queries.query import Query, Wording
from sam3_agent.scenes.scene import Scene, SceneObject

KIND = "odd_one_out"
LEAST_OBJECTS = 3

WORDING = Wording(
    ("the one that is unlike the others", "the odd one out", "the object that differs from all the others"),
    (
        "Find the one object that does not belong with the others.",
        "All of these are alike but one: which one is it?",
        "Which object is different from all the rest?",
    ),
)


def odd_ones_out(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """The query, if exactly one object stands out by its noun or color and none other by anything."""
    odd = find_odd(scene)
    if odd is not None:
        yield WORDING.ask(KIND, (odd,), rng)


def find_odd(scene: Scene) -> SceneObject | None:
    """The object that alone differs, by noun or color, from all others; None if there is none or any doubt."""
    if len(scene.objects) < LEAST_OBJECTS:
        return None
    by_noun = _alone(scene, [obj.noun for obj in scene.objects])
    by_color = _alone(scene, [obj.color for obj in scene.objects])
    by_pattern = _alone(scene, [obj.pattern for obj in scene.objects])
    standing_out = {obj.id for obj in (by_noun, by_color, by_pattern) if obj is not None}
    return (by_noun or by_color) if len(standing_out) == 1 else None


def _alone(scene: Scene, values: list[str]) -> SceneObject | None:
    """The one object whose value differs while all others share theirs."""
    counts = Counter(values)
    if sorted(counts.values()) != [1, len(values) - 1]:
        return None
    rare = counts.most_common()[-1][0]
    return scene.objects[values.index(rare)]


def all_alike(scene: Scene) -> bool:
    """Whether there are several objects and nothing tells them apart but place and size."""
    looks = {(obj.noun, obj.color, obj.pattern) for obj in scene.objects}
    return len(scene.objects) >= LEAST_OBJECTS and len(looks) == 1
