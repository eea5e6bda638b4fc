"""Tracks as objects, for measuring: without stray pixels, and joined where one was lost and found again."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sam3_agent import masks
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
SAME, DOUBLE = 0.6, 1 / 3
"""IoU at which masks are of one object, and the share of a track's frames in which they are."""
CRUMBS = 0.2
"""Of the main part: what is larger may be the rest of an object behind a pole."""
_PACE = 3
"""Frames over which its pace is taken."""


@dataclass(frozen=True, slots=True)
class Stitched:
    """One object: its tracks joined to one motion, under the id of the first, and the ids of all."""

    motion: Motion
    ids: tuple[str, ...]


def stitched(motions: Sequence[Motion]) -> list[Stitched]:
    """Join tracks of which one begins where and soon after another ends; the best fitting pair first.

    What goes out over the border and comes in there again may be somebody else, and is not joined. A track that lies
    on a longer one is the same object a second time, and is left out.
    """
    seen = [without_crumbs(motion) for motion in motions if motion.seen]
    objects = [Stitched(motion, (motion.track.id,)) for motion in seen if not any(_doubles(motion, m) for m in seen)]
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


def without_crumbs(motion: Motion) -> Motion:
    """The same motion by the main part of each mask: a stray pixel far away moves a box, and so a center."""
    frames = [_without_crumbs(frame) for frame in motion.seen]
    if all(one is other for one, other in zip(frames, motion.seen, strict=True)):
        return motion
    return Motion(replace(motion.track, frames=tuple(frames)), motion.clock)


def _without_crumbs(frame: TrackFrame) -> TrackFrame:
    areas = masks.parts_of(frame.rle).areas
    if len(areas) < 2 or sum(areas[1:]) > CRUMBS * areas[0]:
        return frame
    main = masks.main_part(frame.rle)
    return replace(frame, rle=main, box=masks.box(main))


def _doubles(one: Motion, other: Motion) -> bool:
    """Whether `one` is the shorter of two that lie on each other for a good part of its time."""
    if len(one.seen) >= len(other.seen):
        return False
    pairs = [(a.rle, b.rle) for a in one.seen if (b := other.track.at(a.index)) is not None and b.visible]
    on = sum(float(masks.iou([a], [b])[0, 0]) >= SAME for a, b in pairs)
    return on > 0 and on >= DOUBLE * len(one.seen)


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
