"""The largest, smallest, leftmost, rightmost, topmost or lowest of a group."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sam3_agent.scenes.queries.group import Group, groups_of
from sam3_agent.scenes.queries.query import Query, Wording
from sam3_agent.scenes.rng import shuffled
from sam3_agent.scenes.scene import Scene, SceneObject

KIND = "superlative"
SIZE_MARGIN = 1.15
"""Least visible area of the largest, in areas of the next one."""
PLACE_MARGIN = 0.04
"""Least distance of centers, as a fraction of the picture's width or height."""

WORDINGS: dict[str, Wording] = {
    "largest": Wording(
        ("the largest {one}", "the biggest {one}", "the {one} with the largest area"),
        (
            "Find the {one} that takes up the most space in this picture.",
            "Which {one} is bigger than all the others?",
            "Please mark the {one} that covers more of the image than any other {one}.",
        ),
    ),
    "smallest": Wording(
        ("the smallest {one}", "the tiniest {one}", "the {one} with the smallest area"),
        (
            "Find the {one} that takes up the least space in this picture.",
            "Which {one} is smaller than all the others?",
            "Please mark the {one} that covers less of the image than any other {one}.",
        ),
    ),
    "leftmost": Wording(
        ("the leftmost {one}", "the {one} furthest to the left", "the {one} nearest to the left edge"),
        (
            "Find the {one} that is further to the left than every other {one}.",
            "Which {one} is the first from the left?",
        ),
    ),
    "rightmost": Wording(
        ("the rightmost {one}", "the {one} furthest to the right", "the {one} nearest to the right edge"),
        (
            "Find the {one} that is further to the right than every other {one}.",
            "Which {one} is the last on the right?",
        ),
    ),
    "topmost": Wording(
        ("the topmost {one}", "the highest {one}", "the {one} nearest to the top"),
        ("Find the {one} that is higher up in the picture than every other {one}.", "Which {one} is at the very top?"),
    ),
    "lowest": Wording(
        ("the lowest {one}", "the bottommost {one}", "the {one} nearest to the bottom"),
        (
            "Find the {one} that is lower down in the picture than every other {one}.",
            "Which {one} is at the very bottom?",
        ),
    ),
}


def superlatives(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """Queries whose winner leads by a clear margin, in random order."""
    for group in groups_of(scene, rng):
        for way in shuffled(tuple(WORDINGS), rng):
            winner = find_winner(group, way, scene)
            if winner is not None:
                yield WORDINGS[way].ask(KIND, (winner,), rng, **group.words)
                break


def find_winner(group: Group, way: str, scene: Scene) -> SceneObject | None:
    """The member of `group` that leads in `way`; None where it has under two members or no clear leader."""
    if len(group.members) < 2:
        return None
    if way in ("largest", "smallest"):
        small, *_, large = ranked = sorted(group.members, key=lambda obj: obj.area)
        if way == "largest":
            return large if large.area >= SIZE_MARGIN * ranked[-2].area else None
        return small if ranked[1].area >= SIZE_MARGIN * small.area else None
    return _first_from(group, way, scene)


def _first_from(group: Group, way: str, scene: Scene) -> SceneObject | None:
    """The member that is first by its center with a margin, and by the edge of its box that faces that way."""
    axis = 0 if way in ("leftmost", "rightmost") else 1
    length = (scene.width, scene.height)[axis]
    sign, edge = (-1.0, axis + 2) if way in ("rightmost", "lowest") else (1.0, axis)
    centers = [sign * (obj.cx, obj.cy)[axis] / length for obj in group.members]
    edges = [sign * obj.box[edge] for obj in group.members]
    first, second = sorted(centers)[:2]
    winner = centers.index(first)
    clear = second - first >= PLACE_MARGIN and edges[winner] == min(edges)
    return group.members[winner] if clear else None
