"""Form of a query about a video: a rule that finds the objects meant, and the ways to say it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sam3_agent.scenes.queries.query import Query, Wording
from sam3_agent.scenes.rng import pick
from sam3_agent.scenes.video.queries.course import Course
from sam3_agent.scenes.video.queries.group import VideoGroup

Found = tuple[Course, ...] | None
"""The objects meant, none of them where clearly nothing fits; None where one could argue about the answer."""
Rule = Callable[[VideoGroup], Found]


@dataclass(frozen=True, slots=True)
class Form:
    """One thing that can be asked of a group.

    `several` words it for two or more objects; a form without it has an answer of one object or none. `least` is the
    number of objects that a group must have for the question to make sense.
    """

    kind: str
    rule: Rule
    single: Wording
    several: Wording | None = None
    least: int = 2
    words: tuple[tuple[str, str], ...] = ()

    def ask(self, group: VideoGroup, found: Sequence[Course], kind: str, rng: np.random.Generator) -> Query | None:
        """Word a query at random, about as often short as long; None where the form has no words for so many."""
        wording = self.single if len(found) < 2 else self.several
        if wording is None:
            return None
        is_sentence = rng.random() < 0.5
        text = pick(wording.long if is_sentence else wording.short, rng).format(**group.words, **dict(self.words))
        return Query(text, kind, tuple(sorted(course.id for course in found)), is_sentence)


def clear_leader(scores: Sequence[tuple[float, Course]], margin: float) -> Found:
    """Find the course of the highest score if it leads by `margin`, else None; nobody where there are no scores."""
    if not scores:
        return ()
    ranked = sorted(scores, key=lambda pair: pair[0], reverse=True)
    if len(ranked) > 1 and ranked[0][0] - ranked[1][0] < margin:
        return None
    return (ranked[0][1],)
