"""Queries about where objects are at the beginning and at the end, and about all of a kind."""

from __future__ import annotations

from sam3_agent.scenes.queries.query import Wording
from sam3_agent.scenes.video.queries.course import CLEAR_SHARE
from sam3_agent.scenes.video.queries.form import Form, Found, Rule, clear_leader
from sam3_agent.scenes.video.queries.group import VideoGroup

PLACE_MARGIN = 0.06
"""Least distance of centers, in widths or heights of the picture."""

EXTREMES: dict[str, tuple[int, float]] = {
    "leftmost": (0, -1.0),
    "rightmost": (0, 1.0),
    "topmost": (1, -1.0),
    "lowest": (1, 1.0),
}
"""Word -> axis (0 is x) and sign."""


def everyone(group: VideoGroup) -> Found:
    """Find all members."""
    return group.members


def _extreme(word: str, frame: int) -> Rule:
    """Make the rule that finds who is furthest to that side in `frame` (0 or -1)."""
    axis, sign = EXTREMES[word]

    def extreme(group: VideoGroup) -> Found:
        if any(course.seen[frame] and course.share[frame] < CLEAR_SHARE for course in group.members):
            return None
        there = [course for course in group.members if course.seen[frame]]
        if len(there) < 2:
            return None
        scores = [(sign * course.center[frame][axis] / (course.width, course.height)[axis], course) for course in there]
        found = clear_leader([(float(score), course) for score, course in scores], PLACE_MARGIN)
        if not found:
            return found
        edge = axis + 2 if sign > 0 else axis
        edges = [sign * float(course.boxes[frame][edge]) for course in there]
        return found if sign * float(found[0].boxes[frame][edge]) == max(edges) else None

    return extreme


FORMS: tuple[Form, ...] = (
    *(
        Form(
            kind,
            _extreme(word, frame),
            Wording((f"the {{one}} that is {word} {when}",), (f"Which {{one}} is {word} {when}?",)),
        )
        for kind, frame, when in (
            ("at_start", 0, "at the beginning of the video"),
            ("at_end", -1, "at the end of the video"),
        )
        for word in EXTREMES
    ),
    Form(
        "plain",
        everyone,
        Wording(("the {one}",), ("Find the {one} in every frame of this video.",)),
        Wording(("all {many}", "every {one}"), ("Find all {many} in this video, wherever they are seen.",)),
        least=1,
    ),
)
