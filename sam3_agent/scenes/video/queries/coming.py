"""Queries about coming and going: entering, leaving, returning, hiding, and the order of it."""

from __future__ import annotations

from sam3_agent.scenes.queries.query import Wording
from sam3_agent.scenes.video.queries.course import CLEAR_SHARE, Course
from sam3_agent.scenes.video.queries.form import Form, Found, Rule, clear_leader
from sam3_agent.scenes.video.queries.group import VideoGroup

ORDER_FRAMES, ORDER_SHARE = 2, 0.06
"""Lead in time: first or last is, by that many frames, and by that share of the video."""
LONGER_SHARE = 0.15
"""Lead of what is seen the longest, as a share of the video."""
HIDDEN_FRAMES = 2


def _margin(group: VideoGroup) -> float:
    """Count the frames by which an order must be clear."""
    return max(ORDER_FRAMES, ORDER_SHARE * len(group.members[0].seen))


def leaving(group: VideoGroup) -> Found:
    """Find those that leave across the border for good; in doubt if any vanishes otherwise or goes out and returns."""
    if any(course.end == "vanishes" or _is_out_between(course) for course in group.members):
        return None
    return tuple(course for course in group.members if course.end == "leaves")


def entering(group: VideoGroup) -> Found:
    """Find those that come in across the border; in doubt if any appears otherwise or goes out and returns."""
    if any(course.begin == "appears" or _is_out_between(course) for course in group.members):
        return None
    return tuple(course for course in group.members if course.begin == "enters")


def returning(group: VideoGroup) -> Found:
    """Find those that leave across the border and are seen again; in doubt if any was away otherwise."""
    if any(how != "out" for course in group.members for how, _ in course.aways):
        return None
    return tuple(course for course in group.members if course.aways)


def hiding(group: VideoGroup) -> Found:
    """Find those of which nothing is seen for HIDDEN_FRAMES or more, away from the border, and that are seen again.

    In doubt if another is hidden more than half at any time, or is away in any other way.
    """
    found: list[Course] = []
    for course in group.members:
        hows = {how for how, _ in course.aways}
        if hows == {"hidden"} and max(frames for _, frames in course.aways) >= HIDDEN_FRAMES:
            found.append(course)
        elif hows or course.begin == "appears" or course.end == "vanishes" or _is_ever_covered(course):
            return None
    return tuple(found)


def longest(group: VideoGroup) -> Found:
    """Find the one that is seen in the most frames."""
    scores = [(float(course.frames.size), course) for course in group.members]
    return clear_leader(scores, LONGER_SHARE * len(group.members[0].seen))


def _is_ever_covered(course: Course) -> bool:
    """Tell whether more than half of it is hidden at any time, away from the border."""
    return bool(((course.share < CLEAR_SHARE) & course.seen & ~course.at_border).any())


def _is_out_between(course: Course) -> bool:
    return any(how != "hidden" for how, _ in course.aways)


def _ranked(rule: Rule, of_interest: str, sign: float) -> Rule:
    """Make the rule that picks, of those that `rule` finds, the first or the last; two or more must be found."""

    def ranked(group: VideoGroup) -> Found:
        found = rule(group)
        if found is None or not found:
            return found
        scores = [(sign * (course.last if of_interest == "last" else course.first), course) for course in found]
        return clear_leader(scores, _margin(group)) if len(found) > 1 else None

    return ranked


FORMS: tuple[Form, ...] = (
    Form(
        "leaves",
        leaving,
        Wording(
            ("the {one} that leaves the picture", "the {one} that goes out of view"),
            ("Which {one} leaves the picture before the video ends?", "Find the {one} that goes out of the frame."),
        ),
        Wording(
            ("all {many} that leave the picture", "every {one} that goes out of view"),
            ("Which {many} leave the picture before the video ends?", "Mark all {many} that go out of the frame."),
        ),
    ),
    Form(
        "leaves_first",
        _ranked(leaving, "last", -1.0),
        Wording(
            ("the {one} that leaves first", "the first {one} to leave the picture"),
            (
                "Which {one} leaves the picture before any other {one} does?",
                "Of the {many}, find the one that is gone first.",
            ),
        ),
    ),
    Form(
        "leaves_last",
        _ranked(leaving, "last", 1.0),
        Wording(
            ("the last {one} to leave the picture", "the {one} that is the last to leave"),
            ("Of the {many} that leave, which one leaves last?",),
        ),
    ),
    Form(
        "enters",
        entering,
        Wording(
            ("the {one} that comes into the picture", "the {one} that enters"),
            ("Which {one} is not there at first and then comes in?", "Find the {one} that enters the frame."),
        ),
        Wording(
            ("all {many} that come into the picture", "every {one} that enters"),
            ("Which {many} are not there at first and then come in?",),
        ),
    ),
    Form(
        "enters_first",
        _ranked(entering, "first", -1.0),
        Wording(
            ("the first {one} to come into the picture", "the {one} that enters first"),
            ("Of the {many} that come in, which one comes first?",),
        ),
    ),
    Form(
        "enters_last",
        _ranked(entering, "first", 1.0),
        Wording(
            ("the last {one} to come into the picture", "the {one} that enters last"),
            ("Of the {many} that come in, which one comes last?",),
        ),
    ),
    Form(
        "returns",
        returning,
        Wording(
            ("the {one} that leaves and comes back", "the {one} that returns to the picture"),
            ("Which {one} goes out of the picture and is seen again later?",),
        ),
        Wording(
            ("all {many} that leave and come back",),
            ("Which {many} go out of the picture and are seen again later?",),
        ),
        least=1,
    ),
    Form(
        "hides",
        hiding,
        Wording(
            ("the {one} that disappears behind something and comes out again", "the {one} that is hidden for a while"),
            ("Which {one} is completely hidden by another object for a while?",),
        ),
        Wording(
            ("all {many} that are hidden for a while",),
            ("Which {many} are completely hidden by other objects for a while?",),
        ),
        least=1,
    ),
    Form(
        "longest",
        longest,
        Wording(
            ("the {one} that is seen the longest", "the {one} that stays in the picture the longest"),
            ("Which {one} can be seen for longer than every other {one}?",),
        ),
    ),
)
