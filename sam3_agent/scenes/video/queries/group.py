"""Group of a video: all objects that one description fits from beginning to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sam3_agent.scenes.rng import picks, shuffled
from sam3_agent.scenes.video.queries.course import Course
from sam3_agent.scenes.vocabulary import COLORS, NOUNS, SUPERCATEGORY_PHRASE, UNKNOWN_WORDS, plural_of


@dataclass(frozen=True, slots=True)
class VideoGroup:
    """A description, such as "red fish", and every object of the video that it fits."""

    one: str
    members: tuple[Course, ...]

    @property
    def words(self) -> dict[str, str]:
        """The words for a wording's {one} and {many}."""
        *before, noun = self.one.split(" ")
        return {"one": self.one, "many": " ".join((*before, plural_of(noun)))}


def groups_of(courses: Sequence[Course], rng: np.random.Generator) -> list[VideoGroup]:
    """List every group that is beyond doubt, in random order, those of two or more objects first.

    A group is in doubt when so little of a member is seen that one might overlook it, or when a member's color
    changes and a color is part of the description.
    """
    found: dict[str, list[Course]] = {}
    doubtful: set[str] = set()
    for course in courses:
        for description, holds in _descriptions(course):
            found.setdefault(description, []).append(course)
            if course.is_doubtful or not holds:
                doubtful.add(description)
    groups = [VideoGroup(one, tuple(members)) for one, members in found.items() if one not in doubtful]
    return sorted(shuffled(groups, rng), key=lambda group: len(group.members) < 2)


def _descriptions(course: Course) -> Iterator[tuple[str, bool]]:
    """List (description, whether it fits in every frame)."""
    thing = course.thing
    kind = SUPERCATEGORY_PHRASE[thing.supercategory]
    yield from ((thing.noun, True), (kind, True), ("object", True))
    if thing.pattern != "plain":
        yield f"{thing.pattern} {thing.noun}", True
    colors = set(thing.colors)
    for color in sorted(colors):
        yield from ((f"{color} {thing.noun}", len(colors) == 1), (f"{color} object", len(colors) == 1))


def absent_groups(courses: Sequence[Course], rng: np.random.Generator) -> list[VideoGroup]:
    """Groups without a member, in random order: absent nouns, present nouns in absent colors, unknown words."""
    nouns = {course.thing.noun for course in courses}
    pairs = {(color, course.thing.noun) for course in courses for color in course.thing.colors}
    absent = [noun for noun in NOUNS if noun not in nouns]
    near = [f"{color} {noun}" for noun in sorted(nouns) for color in COLORS if (color, noun) not in pairs]
    names = shuffled(absent, rng)[:3] + shuffled(near, rng)[:3] + picks(UNKNOWN_WORDS, 1, rng)
    return [VideoGroup(name, ()) for name in shuffled(names, rng)]
