"""Objects by where they are in relation to one other object."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from sam3_agent.scenes.queries.group import Group, groups_of, references_of
from sam3_agent.scenes.queries.query import Query, Wording
from sam3_agent.scenes.queries.superlative import PLACE_MARGIN
from sam3_agent.scenes.rng import shuffled
from sam3_agent.scenes.scene import Scene, SceneObject

KIND = "relation"
MOST_PAIRS = 60
NEAR_RATIO = 1.25
"""Least distance of the next one, in distances of the nearest."""

PLACES = ("left", "right", "above", "below")
WORDINGS: dict[str, Wording] = {
    "left": Wording(
        ("the {these} left of the {reference}", "the {these} to the left of the {reference}"),
        (
            "Find every {one} that is further left than the {reference}.",
            "What {many} are on the left of the {reference}?",
        ),
    ),
    "right": Wording(
        ("the {these} right of the {reference}", "the {these} to the right of the {reference}"),
        (
            "Find every {one} that is further right than the {reference}.",
            "What {many} are on the right of the {reference}?",
        ),
    ),
    "above": Wording(
        ("the {these} above the {reference}", "the {these} higher than the {reference}"),
        ("Find every {one} that is higher up than the {reference}.", "What {many} are above the {reference}?"),
    ),
    "below": Wording(
        ("the {these} below the {reference}", "the {these} lower than the {reference}"),
        ("Find every {one} that is lower down than the {reference}.", "What {many} are below the {reference}?"),
    ),
    "inside": Wording(
        ("the {these} inside the {reference}", "the {these} within the {reference}"),
        ("Find the {these} that the {reference} goes around.", "Which {these} can be seen through the {reference}?"),
    ),
    "nearest": Wording(
        ("the {one} closest to the {reference}", "the {one} nearest to the {reference}"),
        (
            "Find the {one} that has the shortest way to the {reference}.",
            "Which {one} is closer to the {reference} than all the others?",
        ),
    ),
}


def relations(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """Queries whose reference is unique and whose every candidate is clearly in or out, in random order."""
    groups = groups_of(scene, rng)
    references = references_of(scene, rng)
    inside = [pair for pair in product(groups, references) if pair[1][1].noun == "ring" and _all_inside(*pair)]
    for group, (name, reference) in inside[:1]:
        targets = find_inside(group, reference)
        if targets:
            yield WORDINGS["inside"].ask(KIND, targets, rng, **words_for(group, targets, name))
    for group, (name, reference) in shuffled(tuple(product(groups, references)), rng)[:MOST_PAIRS]:
        if reference in group.members:
            continue
        way = shuffled((*PLACES, "nearest"), rng)[0]
        targets = (
            find_nearest(group, reference, scene) if way == "nearest" else find_placed(group, reference, way, scene)
        )
        if targets:
            yield WORDINGS[way].ask(KIND, targets, rng, **words_for(group, targets, name))


def _all_inside(group: Group, reference: tuple[str, SceneObject]) -> bool:
    """Whether `group` has an object clearly inside the ring `reference`."""
    return bool(find_inside(group, reference[1]))


def words_for(group: Group, targets: Sequence[SceneObject], reference: str) -> dict[str, str]:
    """The words of a relation: {these} is in the plural where several objects are meant."""
    return {"these": group.many if len(targets) > 1 else group.one, "reference": reference, **group.words}


def find_placed(group: Group, reference: SceneObject, way: str, scene: Scene) -> tuple[SceneObject, ...] | None:
    """The members left or right of, above or below `reference` by their centers; None if one is about level."""
    across = way in ("left", "right")
    sign = -1.0 if way in ("left", "above") else 1.0
    offsets = [
        sign * ((obj.cx - reference.cx) / scene.width if across else (obj.cy - reference.cy) / scene.height)
        for obj in group.members
    ]
    if any(abs(offset) < PLACE_MARGIN for offset in offsets):
        return None
    return tuple(obj for obj, offset in zip(group.members, offsets, strict=True) if offset > 0.0)


def find_inside(group: Group, ring: SceneObject) -> tuple[SceneObject, ...] | None:
    """The members whose box lies inside the box of `ring`; None if one that touches it is not clearly in or out."""
    targets: list[SceneObject] = []
    for obj in group.members:
        if obj is ring or not _boxes_touch(obj, ring):
            continue
        inner, outer = obj.box, ring.box
        contained = outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]
        offset = math.hypot(obj.cx - ring.cx, obj.cy - ring.cy)
        if not contained or offset > 0.15 * min(outer[2] - outer[0], outer[3] - outer[1]):
            return None
        targets.append(obj)
    return tuple(targets)


def _boxes_touch(a: SceneObject, b: SceneObject) -> bool:
    """Whether the boxes of `a` and `b` overlap."""
    return a.box[0] < b.box[2] and b.box[0] < a.box[2] and a.box[1] < b.box[3] and b.box[1] < a.box[3]


def find_nearest(group: Group, reference: SceneObject, scene: Scene) -> tuple[SceneObject, ...] | None:
    """The one member whose center is nearest to that of `reference`; None without two members or a clear lead."""
    if len(group.members) < 2:
        return None
    ranked = sorted((math.hypot(obj.cx - reference.cx, obj.cy - reference.cy), obj.id, obj) for obj in group.members)
    first, second = ranked[0][0], ranked[1][0]
    clear = second >= NEAR_RATIO * first and second - first >= PLACE_MARGIN * max(scene.width, scene.height)
    return (ranked[0][2],) if clear else None
