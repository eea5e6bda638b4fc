"""A group without those of its members that have some color, pattern or noun."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sam3_agent.scenes.queries.group import Group, kinds_of
from sam3_agent.scenes.queries.query import Query, Wording
from sam3_agent.scenes.rng import shuffled
from sam3_agent.scenes.scene import Scene
from sam3_agent.scenes.vocabulary import COLORS, NOUNS, plural_of

KIND = "exclusion"
MARKS = {"striped": "stripes", "dotted": "dots", "checkered": "checks"}
"""Pattern -> what it consists of."""

BY_ADJECTIVE = Wording(
    ("every {one} that is not {word}", "all {many} except the {word} ones", "all {many} but the {word} ones"),
    (
        "Find every {one} in this picture that is anything but {word}.",
        "Mark all the {many} you can see, leaving out the {word} ones.",
        "Which {many} are not {word}?",
    ),
)
BY_MARKS = Wording(
    ("the {many} without {word}", "every {one} that has no {word}"),
    ("Find the {many} that have no {word} on them.", "Which {many} are without {word}?"),
)
BY_NOUN = Wording(
    ("all {many} except the {word}", "every {one} that is not one of the {word}"),
    ("Find all the {many} in this picture, but none of the {word}.", "Leaving out the {word}, which {many} are there?"),
)


def exclusions(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """Queries in which something is left out and something remains, in random order."""
    for group in kinds_of(scene, rng):
        for word in shuffled(_words_in(group), rng):
            targets = [obj for obj in group.members if word not in (obj.color, obj.pattern, obj.noun)]
            if targets:
                yield ask_without(KIND, group, word, rng)
                break


def ask_without(kind: str, group: Group, word: str, rng: np.random.Generator) -> Query:
    """The query for `group` without its members of color, pattern or noun `word`."""
    targets = [obj for obj in group.members if word not in (obj.color, obj.pattern, obj.noun)]
    if word in NOUNS:
        return BY_NOUN.ask(kind, targets, rng, word=plural_of(word), **group.words)
    if word in MARKS and rng.random() < 0.5:
        return BY_MARKS.ask(kind, targets, rng, word=MARKS[word], **group.words)
    return BY_ADJECTIVE.ask(kind, targets, rng, word=word, **group.words)


def _words_in(group: Group) -> list[str]:
    """The colors, patterns and nouns of the members (but the group's own noun, and plain), in a fixed order."""
    words = {obj.color for obj in group.members} | {obj.pattern for obj in group.members} - {"plain"}
    words |= {obj.noun for obj in group.members} - {group.one}
    return [word for word in (*COLORS, *MARKS, *NOUNS) if word in words]
