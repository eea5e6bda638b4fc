"""Queries that can only be answered by counting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from sam3_agent.scenes.queries.group import Group, groups_of
from sam3_agent.scenes.queries.query import Query, Wording
from sam3_agent.scenes.rng import shuffled
from sam3_agent.scenes.scene import Scene, SceneObject

KIND = "counting"
NUMBERS = ("none", "one", "two", "three", "four", "five", "six")
TIMES = ("never", "once", "twice", "three times", "four times", "five times", "six times")

AT_LEAST = Wording(
    ("the {many} if there are at least {number}", "all {many}, but only if there are {number} or more"),
    (
        "If there are at least {number} {many} in this picture, find all of them.",
        "Mark all the {many}, provided that you can count {number} or more.",
    ),
)
ONLY = Wording(
    ("the only {one}", "the single {one}"),
    ("Find the {one} of which there is just one.", "There is exactly one {one} here: where is it?"),
)
COLOR_TIMES = Wording(
    ("the objects whose colour occurs exactly {times}", "everything in the colour that occurs exactly {times}"),
    ("Find all objects in the one colour that occurs exactly {times}.", "Which objects have the colour seen {times}?"),
)
NOUN_TIMES = Wording(
    ("the objects whose kind occurs exactly {times}", "the kind of object that occurs exactly {times}"),
    ("Find all objects of the one kind that occurs exactly {times}.", "Which kind of object is shown exactly {times}?"),
)
MOST_COMMON = Wording(
    ("the most common kind of object", "the objects of the most frequent kind"),
    ("Find all objects of the kind that occurs most often.", "Which kind of thing are there more of than any other?"),
)


def countings(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """Queries of the five forms, the forms in random order."""
    forms = (_at_least, _only, _color_times, _noun_times, _most_common)
    for form in shuffled(forms, rng):
        yield from form(scene, rng)


def _at_least(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """A group that has two members or more, on the condition that it has some smaller number or just as many."""
    for group in groups_of(scene, rng):
        if 2 <= len(group.members) < len(NUMBERS):
            yield ask_at_least(KIND, group, int(rng.integers(2, len(group.members) + 1)), rng)
            return


def ask_at_least(kind: str, group: Group, number: int, rng: np.random.Generator) -> Query:
    """The query for all of `group` if it has at least `number` members, 2 to 6."""
    targets = group.members if len(group.members) >= number else ()
    return AT_LEAST.ask(kind, targets, rng, number=NUMBERS[number], **group.words)


def _only(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """A group that has one member."""
    for group in groups_of(scene, rng):
        if len(group.members) == 1 and len(scene.objects) > 1:
            yield ONLY.ask(KIND, group.members, rng, **group.words)
            return


def _color_times(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """The one color that occurs some number of times."""
    yield from _times(COLOR_TIMES, scene.objects, [obj.color for obj in scene.objects], rng)


def _noun_times(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """The one noun that occurs some number of times."""
    yield from _times(NOUN_TIMES, scene.objects, [obj.noun for obj in scene.objects], rng)


def _times(
    wording: Wording, objects: Sequence[SceneObject], values: Sequence[str], rng: np.random.Generator
) -> Iterator[Query]:
    """The objects of a value that alone occurs some number of times, of `values`, one an object."""
    counts = Counter(values)
    amounts = Counter(counts.values())
    for value in shuffled(sorted(counts), rng):
        if len(counts) > 1 and amounts[counts[value]] == 1 and counts[value] < len(TIMES):
            targets = [obj for obj, has in zip(objects, values, strict=True) if has == value]
            yield wording.ask(KIND, targets, rng, times=TIMES[counts[value]])
            return


def _most_common(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """The noun that occurs more often than every other."""
    ranked = Counter(obj.noun for obj in scene.objects).most_common(2)
    if len(ranked) == 2 and ranked[0][1] > ranked[1][1]:
        yield MOST_COMMON.ask(KIND, [obj for obj in scene.objects if obj.noun == ranked[0][0]], rng)
