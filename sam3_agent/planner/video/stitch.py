"""Tracks of one object that was lost and found again under another id, joined for measuring."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sam3_agent.masks import Box
from sam3_agent.tracks import TrackFrame
from sam3_agent.workspace.tracking import Motion
from sam3_agent.workspace.tracking.measure import border_side, center

MOST_MISSING = 12
"""Frames for which an object may be lost; behind others they are seldom longer away."""
NEAR = 0.75
"""Of its longer side: how far from where it was going, or from where it was, it is found again."""
ALIKE = 3.0
"""Times that its area may differ: half of it may still be hidden."""
_PACE = 3
"""Frames over which its pace is taken."""


@dataclass(frozen=True, slots=True)
class Stitched:
    """One object: its tracks joined to one motion, under the id of the first, and the ids of all."""

    motion: Motion
    ids: tuple[str, ...]


def stitched(motions: Sequence[Motion]) -> list[Stitched]:
    """Join tracks of which one begins where and soon after another ends; the best fitting pair first.

    What goes out over the border and comes in there again may be somebody else, and is not joined.
    """
    objects = [Stitched(motion, (motion.track.id,)) for motion in motions if motion.seen]
    while True:
        pairs = [
            (misfit, one, other)
            for one, a in enumerate(objects)
            for other, b in enumerate(objects)
            if one != other and (misfit := _misfit(a.motion, b.motion)) <= 1.0
        ]
        if not pairs:
            return objects
        _, one, other = min(pairs)
        objects[one] = _joined(objects[one], objects[other])
        del objects[other]


def _misfit(one: Motion, other: Motion) -> float:
    """Distance from where `one` would be to where `other` begins, as a part of what is allowed; above 1 for no."""
    missing = other.first - one.last - 1
    if not 0 <= missing <= MOST_MISSING:
        return math.inf
    last, begin = one.seen[-1], other.seen[0]
    at_border = [border_side(frame.box, one.clock) != "inside" for frame in (last, begin)]
    if missing and all(at_border):
        return math.inf
    areas = sorted((one.areas[-1], other.areas[0]))
    if areas[1] > ALIKE * max(areas[0], 1):
        return math.inf
    x, y = center(last.box)
    dx, dy = _pace(one.seen)
    steps = missing + 1
    found = center(begin.box)
    way = min(math.dist((x + dx * steps, y + dy * steps), found), math.dist((x, y), found))
    return way / (NEAR * max(_side(last.box), _side(begin.box)))


def _pace(seen: Sequence[TrackFrame]) -> tuple[float, float]:
    """Pixels a frame in x and y over the last frames."""
    last, before = seen[-1], seen[-min(len(seen), 1 + _PACE)]
    frames = max(last.index - before.index, 1)
    (x0, y0), (x1, y1) = center(before.box), center(last.box)
    return (x1 - x0) / frames, (y1 - y0) / frames


def _side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _joined(one: Stitched, other: Stitched) -> Stitched:
    a, b = one.motion.track, other.motion.track
    track = replace(a, last=b.last, state=b.state, frames=(*one.motion.seen, *other.motion.seen))
    return Stitched(Motion(track, one.motion.clock), (*one.ids, *other.ids))
