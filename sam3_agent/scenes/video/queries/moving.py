"""Queries about motion on the screen: direction, speed, standing still, meeting."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sam3_agent.scenes.queries.query import Wording
from sam3_agent.scenes.video.queries.course import CLEAR_SHARE, Course
from sam3_agent.scenes.video.queries.form import Form, Found, Rule
from sam3_agent.scenes.video.queries.group import VideoGroup

FAR, NEAR = 0.15, 0.05
"""Ways to a side, in widths or heights of the picture: what moves there gets FAR at least, all others NEAR at most."""
STEEP = 1.5
"""A direction is clear if the way in it, in pixels, is so many times the way across."""
FASTER = 1.5
FAST = 0.008
"""The fastest makes at least so many longer sides a frame, and FASTER times as many as the next."""
STILL, MOVED = 0.02, 0.08
"""Ways: what stands still never gets further than STILL longer sides away; all others get as far as MOVED."""
TOUCHING, APART, ALONE = 0.0, 0.1, 0.05
"""Gaps of boxes in longer sides: two that meet touch after having been APART; all other pairs stay ALONE."""
WHOLE_ENOUGH = 0.9

SIDES: dict[str, tuple[int, float]] = {"left": (0, -1.0), "right": (0, 1.0), "up": (1, -1.0), "down": (1, 1.0)}
"""Direction -> axis (0 is x) and sign."""


def _toward(side: str) -> Rule:
    """Make the rule that finds who moves to that side, by the first and the last frame in which each is seen."""
    axis, sign = SIDES[side]

    def toward(group: VideoGroup) -> Found:
        found: list[Course] = []
        for course in group.members:
            ways = course.displacement()
            along = sign * ways[axis]
            pixels = (ways[0] * course.width, ways[1] * course.height)
            if along >= FAR and abs(pixels[axis]) >= STEEP * abs(pixels[1 - axis]):
                found.append(course)
            elif along > NEAR:
                return None
        return tuple(found)

    return toward


def fastest(group: VideoGroup) -> Found:
    """Find the one of the highest mean speed, by whole views of it and by all views of it alike."""
    leaders: set[int] = set()
    for share in (WHOLE_ENOUGH, 0.0):
        speeds = [course.speed(share) for course in group.members]
        known = [speed for speed in speeds if speed is not None]
        if len(known) < len(speeds):
            return None
        first, second = sorted(known, reverse=True)[:2]
        if first < max(FAST, FASTER * second):
            return None
        leaders.add(known.index(first))
    return (group.members[leaders.pop()],) if len(leaders) == 1 else None


def still(group: VideoGroup) -> Found:
    """Find those that do not move; in doubt if any moves a little, or is not seen whole all the time."""
    found: list[Course] = []
    for course in group.members:
        reach = course.reach()
        if reach <= STILL and course.frames.size == len(course.seen) and (course.share >= WHOLE_ENOUGH).all():
            found.append(course)
        elif reach < MOVED:
            return None
    return tuple(found)


def meeting(group: VideoGroup) -> Found:
    """Find the two whose boxes come to touch after having been apart; no other two may ever come near each other."""
    met: list[tuple[Course, Course]] = []
    for one, other in combinations(group.members, 2):
        both = (one.share >= CLEAR_SHARE) & (other.share >= CLEAR_SHARE)
        if not both.any():
            continue
        gaps = _gaps(one, other)
        touching = np.flatnonzero(both & (gaps <= TOUCHING))
        if touching.size:
            if not (both[: touching[0]] & (gaps[: touching[0]] >= APART)).any():
                return None
            met.append((one, other))
        elif float(gaps[one.seen & other.seen].min()) < ALONE:
            return None
    return met[0] if len(met) == 1 else () if not met else None


def _gaps(one: Course, other: Course) -> NDArray[np.float64]:
    """Measure (T,) distance of the two visible boxes in longer sides, 0 or less where they overlap."""
    low = np.maximum(one.boxes[:, :2], other.boxes[:, :2])
    high = np.minimum(one.boxes[:, 2:], other.boxes[:, 2:])
    x, y = (low - high).T  # (T,) each, negative where the boxes overlap on that axis
    apart = np.hypot(x.clip(0.0), y.clip(0.0))
    overlap = np.minimum(np.maximum(x, y), 0.0)
    return (apart + overlap) / max(one.width, one.height)  # one of the two is 0


def _side_form(side: str) -> Form:
    to = {"left": "to the left", "right": "to the right", "up": "up", "down": "down"}[side]
    return Form(
        f"moves_{side}",
        _toward(side),
        Wording(
            ("the {one} that moves {to}", "the {one} moving {to}"),
            ("Which {one} moves {to} in the course of the video?", "Find the {one} that is going {to}."),
        ),
        Wording(
            ("all {many} that move {to}", "every {one} moving {to}"),
            ("Which {many} move {to} in the course of the video?",),
        ),
        words=(("to", to),),
    )


FORMS: tuple[Form, ...] = (
    *(_side_form(side) for side in SIDES),
    Form(
        "fastest",
        fastest,
        Wording(
            ("the fastest {one}", "the {one} that moves fastest"),
            ("Which {one} moves faster than all the others?",),
        ),
    ),
    Form(
        "still",
        still,
        Wording(
            ("the {one} that does not move", "the {one} that stands still"),
            ("Which {one} stays in its place while the others move?",),
        ),
        Wording(
            ("all {many} that do not move", "every {one} that stands still"),
            ("Which {many} stay in their place all the time?",),
        ),
    ),
    Form(
        "meets",
        meeting,
        Wording(("the two {many} that meet",), ("Which two {many} meet in the course of the video?",)),
        Wording(
            ("the two {many} that meet", "the two {many} that come together"),
            ("Which two {many} meet in the course of the video?",),
        ),
    ),
)
