"""Queries about change: growing, shrinking, another color."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sam3_agent.scenes.queries.query import Wording
from sam3_agent.scenes.rng import shuffled
from sam3_agent.scenes.video.queries.course import CLEAR_SHARE, Course
from sam3_agent.scenes.video.queries.form import Form, Found, Rule
from sam3_agent.scenes.video.queries.group import VideoGroup
from sam3_agent.scenes.vocabulary import COLORS

GROWN, SAME = 1.4, 1.12
"""Ratios of areas between whole views: one that changes does so GROWN times at least, all others SAME times at most."""
LONG_ENOUGH = 0.3
"""The two views lie at least that share of the video apart."""
SHOWN_FRAMES = 2
"""Frames in which the old and the new color are clearly seen, at least."""


def _scaled(sign: float) -> Rule:
    """Make the rule that finds who grows (sign 1) or shrinks (-1)."""

    def scaled(group: VideoGroup) -> Found:
        found: list[Course] = []
        for course in group.members:
            views = course.whole_frames
            if views.size < 2 or views[-1] - views[0] < LONG_ENOUGH * len(course.seen):
                return None
            change = sign * float(np.log(course.areas[views[-1]] / course.areas[views[0]]))
            overall = sign * float(np.log(course.areas[course.last] / course.areas[course.first]))
            if change >= np.log(GROWN) and overall >= np.log(GROWN) / 2.0:
                found.append(course)
            elif change > np.log(SAME) or overall > np.log(GROWN) / 2.0:
                return None
        return tuple(found)

    return scaled


def _turning(color: str | None) -> Rule:
    """Make the rule that finds who turns to `color`, or, without one, to any other."""

    def turning(group: VideoGroup) -> Found:
        found: list[Course] = []
        for course in group.members:
            colors = course.thing.colors
            if len(set(colors)) == 1:
                continue
            clear = course.share >= CLEAR_SHARE
            is_new = np.array([shade != colors[0] for shade in colors])
            if min(np.count_nonzero(clear & is_new), np.count_nonzero(clear & ~is_new)) < SHOWN_FRAMES:
                return None
            if color in (None, colors[-1]):
                found.append(course)
        return tuple(found)

    return turning


def _turning_form(color: str) -> Form:
    return Form(
        "turns",
        _turning(color),
        Wording(
            ("the {one} that turns {color}", "the {one} that becomes {color}"),
            ("Which {one} is of another color at first and then turns {color}?",),
        ),
        Wording(("all {many} that turn {color}",), ("Which {many} turn {color} in the course of the video?",)),
        least=1,
        words=(("color", color),),
    )


FORMS: tuple[Form, ...] = (
    Form(
        "grows",
        _scaled(1.0),
        Wording(("the {one} that grows", "the {one} that gets larger"), ("Which {one} gets larger and larger?",)),
        Wording(("all {many} that grow",), ("Which {many} get larger and larger?",)),
    ),
    Form(
        "shrinks",
        _scaled(-1.0),
        Wording(("the {one} that shrinks", "the {one} that gets smaller"), ("Which {one} gets smaller and smaller?",)),
        Wording(("all {many} that shrink",), ("Which {many} get smaller and smaller?",)),
    ),
    Form(
        "recolors",
        _turning(None),
        Wording(("the {one} that changes its color",), ("Which {one} does not keep its color?",)),
        Wording(("all {many} that change their color",), ("Which {many} do not keep their color?",)),
        least=1,
    ),
)


def turning_forms(courses: Sequence[Course], rng: np.random.Generator) -> tuple[Form, ...]:
    """Make one form a color that anything turns to, and one of a color that nothing in the video ever has."""
    shown = {color for course in courses for color in course.thing.colors}
    turned = sorted({course.thing.colors[-1] for course in courses if len(set(course.thing.colors)) > 1})
    never = shuffled([color for color in COLORS if color not in shown], rng)[:1]
    return tuple(_turning_form(color) for color in (*shuffled(turned, rng), *never))
