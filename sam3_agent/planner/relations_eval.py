"""Relations between things, by the rules that measure_masks states: left of = its centre lies left of the other's."""

from collections.abc import Callable, Sequence
from math import hypot

from sam3_agent.planner.observations import Thing
from sam3_agent.planner.query_ast import Relation, RelationKind, Selection

_PAIRWISE: dict[RelationKind, Callable[[Thing, Thing], bool]] = {
    "left of": lambda a, b: a.centre[0] < b.centre[0],
    "right of": lambda a, b: a.centre[0] > b.centre[0],
    "above": lambda a, b: a.centre[1] < b.centre[1],
    "below": lambda a, b: a.centre[1] > b.centre[1],
    "larger than": lambda a, b: a.area > b.area,
    "smaller than": lambda a, b: a.area < b.area,
}
_SOME: dict[RelationKind, Callable[[Thing, Thing], bool]] = {
    "inside": lambda a, b: b.id in a.inside,
    "containing": lambda a, b: b.id in a.contains,
    "on": lambda a, b: _rests_on(a, b),
    "next to": lambda a, b: _gap(a, b) <= NEXT_TO * min(_side(a), _side(b)),
}
NEXT_TO = 1.0
"""Things are next to each other when the gap between their boxes is at most this share of the smaller one's side."""


def keep_related(
    things: Sequence[Thing], selection: Selection, relation: Relation, references: Sequence[Sequence[Thing]]
) -> list[Thing]:
    """Those of `things` that stand in the relation to each of the references; no thing is related to itself.

    Of a reference in the singular that was found several times, the best counts for directions and sizes; in the
    plural all of them count. For places (inside, on, next to) any one will do.
    """
    everything = [other for group in references for other in group]
    candidates = [thing for thing in things if not any(thing.is_same(other) for other in everything)]
    if relation.kind == "between":
        return [thing for thing in candidates if _between(thing, references)]
    for group, reference in zip(references, relation.references, strict=True):
        candidates = _keep(candidates, selection, relation, group, plural=reference.plural)
    return candidates


def _keep(
    things: list[Thing], selection: Selection, relation: Relation, group: Sequence[Thing], *, plural: bool
) -> list[Thing]:
    kind = relation.kind
    if kind in _PAIRWISE:
        counted = group if plural else [max(group, key=lambda other: other.score)]
        return [thing for thing in things if all(_PAIRWISE[kind](thing, other) for other in counted)]
    if kind in ("nearest to", "farthest from"):
        sign = 1 if kind == "nearest to" else -1
        return sorted(things, key=lambda thing: sign * min(_apart(thing, other) for other in group))[: relation.count]
    if kind == "next to" and not selection.plural:
        return sorted(things, key=lambda t: min((_gap(t, other), _apart(t, other)) for other in group))[:1]
    return [thing for thing in things if any(_SOME[kind](thing, other) for other in group)]


def _apart(a: Thing, b: Thing) -> float:
    """Distance of the centres."""
    return hypot(a.centre[0] - b.centre[0], a.centre[1] - b.centre[1])


def _gap(a: Thing, b: Thing) -> float:
    """Distance of the boxes; 0 when they touch or overlap."""
    across = max(a.box[0] - b.box[2], b.box[0] - a.box[2], 0.0)
    down = max(a.box[1] - b.box[3], b.box[1] - a.box[3], 0.0)
    return hypot(across, down)


def _side(thing: Thing) -> float:
    return ((thing.box[2] - thing.box[0]) + (thing.box[3] - thing.box[1])) / 2


def _rests_on(a: Thing, b: Thing) -> bool:
    """Its foot is within the other's height (a tenth of slack), its centre within its width and above its foot."""
    x0, y0, x1, y1 = b.box
    slack = 0.1 * (y1 - y0)
    return x0 <= a.centre[0] <= x1 and y0 - slack <= a.box[3] <= y1 + slack and a.centre[1] < y1 and a.box[1] < y1


def _between(thing: Thing, references: Sequence[Sequence[Thing]]) -> bool:
    """Its centre lies beside the line from one end to the other, at most half its length away, and between the ends."""
    ends = [group[0] for group in references] if len(references) > 1 else list(references[0][:2])
    if len(ends) != 2:
        return False
    (ax, ay), (bx, by) = ends[0].centre, ends[1].centre
    dx, dy = bx - ax, by - ay
    length = hypot(dx, dy)
    if length == 0:
        return False
    x, y = thing.centre[0] - ax, thing.centre[1] - ay
    return 0 < (x * dx + y * dy) / length**2 < 1 and abs(x * dy - y * dx) / length <= length / 2
