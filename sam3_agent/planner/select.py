"""Selection of the things that a plan means, by plain geometry."""

from collections.abc import Callable, Sequence
from math import hypot

from sam3_agent.planner.observations import Evidence, Thing, distinct
from sam3_agent.planner.query_ast import Pick, Plan, Relation, RelationKind, Selection

_PAIRWISE: dict[RelationKind, Callable[[Thing, Thing], bool]] = {
    "left of": lambda a, b: a.center[0] < b.center[0],
    "right of": lambda a, b: a.center[0] > b.center[0],
    "above": lambda a, b: a.center[1] < b.center[1],
    "below": lambda a, b: a.center[1] > b.center[1],
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
    """Keep those of `things` in the relation to each of the references; no thing is related to itself.

    Of a reference in the singular that was found several times, the surest counts for directions and sizes that has
    something in the relation to it; in the plural all of them count. For places (inside, on, next to) any one will do.
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
        test = _PAIRWISE[kind]
        if plural:
            return [thing for thing in things if all(test(thing, other) for other in group)]
        surest_first = sorted(group, key=lambda other: -other.score)
        kept = ([thing for thing in things if test(thing, other)] for other in surest_first)
        return next((found for found in kept if found), list[Thing]())
    if kind in ("nearest to", "farthest from"):
        sign = 1 if kind == "nearest to" else -1
        return sorted(things, key=lambda thing: sign * min(_apart(thing, other) for other in group))[: relation.count]
    if kind == "next to" and not selection.plural:
        return sorted(things, key=lambda t: min((_gap(t, other), _apart(t, other)) for other in group))[:1]
    return [thing for thing in things if any(_SOME[kind](thing, other) for other in group)]


def _apart(a: Thing, b: Thing) -> float:
    """Return the distance of the centers, pixels."""
    return hypot(a.center[0] - b.center[0], a.center[1] - b.center[1])


def _gap(a: Thing, b: Thing) -> float:
    """Return the distance of the boxes, pixels; 0 when they touch or overlap."""
    across = max(a.box[0] - b.box[2], b.box[0] - a.box[2], 0.0)
    down = max(a.box[1] - b.box[3], b.box[1] - a.box[3], 0.0)
    return hypot(across, down)


def _side(thing: Thing) -> float:
    return ((thing.box[2] - thing.box[0]) + (thing.box[3] - thing.box[1])) / 2


def _rests_on(a: Thing, b: Thing) -> bool:
    """Tell whether `a` stands on `b`: foot within its height (a tenth of slack), center within its width."""
    x0, y0, x1, y1 = b.box
    slack = 0.1 * (y1 - y0)
    return x0 <= a.center[0] <= x1 and y0 - slack <= a.box[3] <= y1 + slack and a.center[1] < y1 and a.box[1] < y1


def _between(thing: Thing, references: Sequence[Sequence[Thing]]) -> bool:
    """Tell whether the center lies between the ends, at most half their distance beside the line."""
    ends = [group[0] for group in references] if len(references) > 1 else list(references[0][:2])
    if len(ends) != 2:
        return False
    (ax, ay), (bx, by) = ends[0].center, ends[1].center
    dx, dy = bx - ax, by - ay
    length = hypot(dx, dy)
    if length == 0:
        return False
    x, y = thing.center[0] - ax, thing.center[1] - ay
    return 0 < (x * dx + y * dy) / length**2 < 1 and abs(x * dy - y * dx) / length <= length / 2


class NoMatch(Exception):
    """Failure of a plan: nothing satisfies it; the message is the reason."""


class FalseAmount(NoMatch):
    """Failure of a number that the query states: a false premise, wherever in the query it stands."""


class Chooser:
    """Chooser of things by a plan, on an image of (width, height) pixels; `notes` say what was done, in words."""

    def __init__(self, evidence: Evidence, width: int, height: int) -> None:
        self.evidence = evidence
        self.width = width
        self.height = height
        self.notes: list[str] = []

    def choose(self, plan: Plan) -> list[Thing]:
        """Return the things that the plan means.

        Raises:
            NoMatch: there are none, or the plan's condition does not hold.
        """
        if plan.condition is not None:
            wanted = plan.condition.selection
            count = len(self._count(wanted))
            if not plan.condition.amount.holds(count):
                raise NoMatch(f"the query wants {plan.condition.amount} of {wanted.name}, found {count}")
            self.notes.append(f"{count} {wanted.name} found, {plan.condition.amount} wanted")
        if len(plan.parts) == 1:
            return self.select(plan.parts[0])
        found = distinct(thing for part in plan.parts for thing in self._gently(part))
        self._check(found, "none of these is there")
        return found

    def _gently(self, selection: Selection) -> list[Thing]:
        """Select one of several parts; that it has none is noted and does not spoil the others."""
        try:
            return self.select(selection)
        except FalseAmount:
            raise
        except NoMatch as none:
            self.notes.append(str(none))
            return []

    def _count(self, selection: Selection) -> list[Thing]:
        """Select the things of a condition; finding none is a count, not a failure."""
        try:
            return self.select(selection)
        except FalseAmount:
            raise
        except NoMatch:
            return []

    def select(self, selection: Selection) -> list[Thing]:
        """Select things: found, less the excluded, related, on the sides, counted, picked."""
        things = self._found(selection)
        self.notes.append(f"{selection.name}: {_named(things)}{self._absent(selection)}{self._believed(selection)}")
        for other in selection.excluded:
            unwanted = self._count(other)
            things = [thing for thing in things if not any(thing.is_same(u) for u in unwanted)]
            self._check(things, f"every {selection.name} is also {other.name}")
            self.notes.append(f"without {other.name} ({_ids(unwanted)}): {_named(things)}")
        for relation in selection.relations:
            references = [self.select(reference) for reference in relation.references]
            names = " and ".join(reference.name for reference in relation.references)
            things = keep_related(things, selection, relation, references)
            self._check(things, f"no {selection.name} is {relation.kind} {names}")
            self.notes.append(f"{relation.kind} {names}: {_named(things)}")
        for side in selection.sides:
            things = [thing for thing in things if self._distance(thing, side) <= _HALF[side]]
            self._check(things, f"no {selection.name} is at the {side} of the image")
            self.notes.append(f"at the {side}: {_named(things)}")
        if selection.amount is not None and not selection.amount.holds(len(things)):
            said = f"the query speaks of {selection.amount} of {selection.name}, and {len(things)} fit"
            raise FalseAmount("; ".join((*self.notes, said)))
        return self._pick(things, selection.pick, selection) if selection.pick else things

    def _found(self, selection: Selection) -> list[Thing]:
        things = distinct(thing for phrase in selection.phrases for thing in self.evidence.things.get(phrase, ()))
        if not things:
            raise NoMatch("; ".join(self._missing(phrase) for phrase in selection.phrases))
        return things

    def _absent(self, selection: Selection) -> str:
        """Name those of several kinds that were not found."""
        absent = [phrase for phrase in selection.phrases if not self.evidence.things.get(phrase)]
        return "".join(f", no '{phrase}'" for phrase in absent)

    def _believed(self, selection: Selection) -> str:
        """Remark that things under the threshold were taken."""
        looked = (self.evidence.looked.get(phrase) for phrase in selection.phrases)
        presences = [f"{each.presence:.2f}" for each in looked if each is not None and each.believed]
        return f", under the threshold but with presence {' and '.join(presences)}" if presences else ""

    def _missing(self, phrase: str) -> str:
        looked = self.evidence.looked.get(phrase)
        if looked is None:
            return f"'{phrase}' was not looked for"
        misses = f", though these come near: {', '.join(looked.strong_misses)}" if looked.strong_misses else ""
        return f"no '{phrase}' found (presence {looked.presence:.2f}{misses})"

    def _pick(self, things: Sequence[Thing], pick: Pick, selection: Selection) -> list[Thing]:
        ordered = sorted(things, key=lambda thing: self._rank(thing, pick.key))
        start = len(ordered) + pick.first if pick.first < 0 else pick.first - 1
        chosen = ordered[start : start + pick.count] if start >= 0 else []
        wanted = f"place {pick.first} was" if pick.count == 1 else f"{pick.count} were"
        enough = chosen if len(chosen) == pick.count else []
        self._check(enough, f"{wanted} asked for, and there are only {len(ordered)} {selection.name}")
        place = "" if pick.first == 1 else f"place {pick.first} of " if pick.first > 0 else "the last of "
        self.notes.append(f"{place}{_ORDERS.get(pick.key, f'nearest to the {pick.key}')}: {_named(chosen)}")
        return chosen

    def _rank(self, thing: Thing, key: str) -> float:
        """Return the value that `key` sorts by, smallest first."""
        x0, y0, x1, y1 = thing.box
        sizes = {
            "surest": -thing.score,
            "largest": -float(thing.area),
            "smallest": float(thing.area),
            "tallest": y0 - y1,
            "shortest": y1 - y0,
            "widest": x0 - x1,
            "narrowest": x1 - x0,
        }
        return sizes[key] if key in sizes else self._distance(thing, key)

    def _distance(self, thing: Thing, side: str) -> float:
        """Measure from a thing's center to a side, corner or the middle of the image, taken as 1 wide and 1 high."""
        x, y = thing.center[0] / self.width, thing.center[1] / self.height
        across = x if "left" in side else 1 - x if "right" in side else None
        down = y if "top" in side else 1 - y if "bottom" in side else None
        if across is None and down is None:
            return hypot(x - 0.5, y - 0.5)
        if across is not None and down is not None:
            return max(across, down)
        return across if across is not None else down if down is not None else 0.0

    def _check(self, things: Sequence[Thing], otherwise: str) -> None:
        if not things:
            raise NoMatch("; ".join((*self.notes, otherwise)))


_HALF = {
    "left": 0.5, "right": 0.5, "top": 0.5, "bottom": 0.5, "center": 0.3, "top left": 0.5, "top right": 0.5,
    "bottom left": 0.5, "bottom right": 0.5,
}  # fmt: skip
"""Distance from a side that still counts as being there: a half, or the middle third and a bit around it."""
_ORDERS = {
    "left": "counted from the left", "right": "counted from the right", "top": "counted from the top",
    "bottom": "counted from the bottom", "largest": "largest first", "smallest": "smallest first",
    "tallest": "tallest first", "shortest": "shortest first", "widest": "widest first", "narrowest": "narrowest first",
    "surest": "any would do, surest first",
}  # fmt: skip


def _ids(things: Sequence[Thing]) -> str:
    return ", ".join(thing.id for thing in things) or "none found"


def _named(things: Sequence[Thing]) -> str:
    return f"{len(things)} ({_ids(things)})" if things else "none"
