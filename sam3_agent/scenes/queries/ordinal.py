"""The second, third, ... of a group, counted from a side of the picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sam3_agent.scenes.queries.group import Group, groups_of
from sam3_agent.scenes.queries.query import Query, Wording
from sam3_agent.scenes.queries.superlative import PLACE_MARGIN
from sam3_agent.scenes.rng import shuffled
from sam3_agent.scenes.scene import Scene, SceneObject

KIND = "ordinal"
NTH = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}

WORDING = Wording(
    ("the {nth} {one} from the {side}", "{nth} {one} from the {side}", "from the {side}, the {nth} {one}"),
    (
        "Counting from the {side}, find the {nth} {one}.",
        "Look at the {many} from {side} to {end} and mark the {nth} one.",
        "Which {one} comes {nth} when you count from the {side} of the picture?",
    ),
)


def ordinals(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """Queries whose neighbors in the row are clearly before and after, in random order."""
    for group in groups_of(scene, rng):
        if len(group.members) < 2:
            continue
        side = shuffled(tuple(OPPOSITE), rng)[0]
        place = int(rng.integers(min(len(group.members), len(NTH))))
        chosen = find_nth(group, place, side, scene)
        if chosen is not None:
            yield ask_nth(KIND, group, place, side, (chosen,), rng)


def ask_nth(
    kind: str, group: Group, place: int, side: str, targets: tuple[SceneObject, ...], rng: np.random.Generator
) -> Query:
    """The query for the member at `place`, from 0, counted from `side`."""
    return WORDING.ask(kind, targets, rng, nth=NTH[place], side=side, end=OPPOSITE[side], **group.words)


def find_nth(group: Group, place: int, side: str, scene: Scene) -> SceneObject | None:
    """The member at `place`, from 0, counted from `side`; None if there is none or a neighbor is about level."""
    across = side in ("left", "right")
    length = scene.width if across else scene.height
    row = sorted(((obj.cx if across else obj.cy) / length, obj.id, obj) for obj in group.members)
    if side in ("right", "bottom"):
        row.reverse()
    if place >= len(row):
        return None
    here = row[place][0]
    neighbors = [row[near][0] for near in (place - 1, place + 1) if 0 <= near < len(row)]
    clear = all(abs(here - other) >= PLACE_MARGIN for other in neighbors)
    return row[place][2] if clear else None
