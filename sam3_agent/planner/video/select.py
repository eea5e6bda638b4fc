"""Selection of the tracks that a plan means, by measurements alone."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sam3_agent.masks import Box
from sam3_agent.planner.select import NoMatch
from sam3_agent.planner.video.plan import Happening, Kind, Rank, VideoPlan
from sam3_agent.planner.video.stitch import Stitched, stitched
from sam3_agent.tools.track_colors import TURNED, TrackColors
from sam3_agent.tracks import TrackFrame
from sam3_agent.workspace.tracking import Motion
from sam3_agent.workspace.tracking.measure import box_gap, center

EDGE = 0.05
"""Share of the width or height: a box this near to a side is leaving or coming; a mask starts a frame or two late."""
FAR = 0.1
"""Share of the width or height that "moves to the left" takes, at least: boxes of standing objects wander by .02."""
STEEP = 1.2
"""The way in a direction is that many times the way across: to the upper left is neither up nor left."""
STILL = 0.04
"""Of the longer side: who never gets further away from where it began does not move."""
GROWN = 1.25
"""Times the area: between 1.12, which masks vary by, and 1.4, which one sees."""
APART, TOUCH = 0.07, 0.02
"""Gaps of boxes in longer sides: two meet that were APART and come to TOUCH."""
HIDDEN_FRAMES = 2
"""A mask may be missed in one frame."""
CHANGED = 0.35
"""Share of the pixels that have another color where an object changes its color."""
MISSED = 2
"""Frames at the beginning or the end in which an object may be missed that is not at the border."""
FEW = 2
"""A track of fewer frames is a flicker of the detector, where others are longer."""


@dataclass(slots=True)
class VideoChooser:
    """Chooser of tracks by a plan; `notes` say what was done, in words."""

    motions: Sequence[Motion]
    colors: Mapping[str, TrackColors] = field(default_factory=dict[str, TrackColors])
    notes: list[str] = field(default_factory=list[str])
    _ends: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """Object -> the first and the last of its tracks."""

    def choose(self, plan: VideoPlan) -> list[str]:
        """Return the ids of the tracks that the plan means, in the order given; several of an object that was lost.

        Raises:
            NoMatch: nothing is found, or it happens to nothing; the message is the reason.
        """
        objects = stitched(self.motions)
        self.notes += [f"{' and '.join(each.ids)} are one" for each in objects if len(each.ids) > 1]
        parts = {each.motion.track.id: each.ids for each in objects}
        self._ends = {first: (ids[0], ids[-1]) for first, ids in parts.items()}
        chosen = {part for motion in self._chosen(objects, plan) for part in parts[motion.track.id]}
        return [motion.track.id for motion in self.motions if motion.track.id in chosen]

    def _chosen(self, objects: Sequence[Stitched], plan: VideoPlan) -> list[Motion]:
        found = _worthy(objects)
        if not found:
            raise NoMatch(f"no {plan.phrase} was found in the video")
        self.notes.append(f"{_count(found)} for '{plan.phrase}'")
        strengths: dict[str, float] = {}
        for happening in plan.happenings:
            found, strengths = self._narrowed(found, happening)
        if plan.rank is not None:
            found = self._ranked(found, plan)
        elif plan.amount is not None and len(found) > plan.amount:
            found = _strongest(found, strengths, plan.amount)
        elif not plan.plural and len(found) > 1:
            self.notes.append(f"one is meant: the surest of {', '.join(motion.track.id for motion in found)}")
            found = _strongest(found, strengths, 1)
        return found

    def _narrowed(self, motions: list[Motion], happening: Happening) -> tuple[list[Motion], dict[str, float]]:
        if happening.kind == "meets":
            strengths = _meetings(motions)
        else:
            strengths = {motion.track.id: self._strength(motion, happening) for motion in motions}
        if happening.negated:
            strengths = {motion.track.id: -strengths.get(motion.track.id, 0.0) + 1e-9 for motion in motions}
        found = [motion for motion in motions if strengths.get(motion.track.id, 0.0) > 0]
        if not found:
            raise NoMatch(f"none of {_count(motions)} {happening}")
        self.notes.append(f"{happening}: {', '.join(motion.track.id for motion in found)}")
        return found, strengths

    def _strength(self, motion: Motion, happening: Happening) -> float:
        if happening.kind in ("turns", "recolors"):
            colors = self._colors(motion)
            if colors is None:
                return 0.0
            return colors.gained(happening.color) - TURNED if happening.color else colors.change - CHANGED
        return _STRENGTHS[happening.kind](motion, happening.side)

    def _colors(self, motion: Motion) -> TrackColors | None:
        """Colors of an object from the beginning of its first track to the end of its last one."""
        first, last = (self.colors.get(part) for part in self._ends[motion.track.id])
        return TrackColors(first.first, last.last) if first is not None and last is not None else None

    def _ranked(self, motions: list[Motion], plan: VideoPlan) -> list[Motion]:
        rank = plan.rank
        assert rank is not None
        values = [(value, motion) for motion in motions if (value := _value(motion, rank)) is not None]
        if len(values) < rank.place:
            raise NoMatch(f"of {_count(motions)} only {len(values)} can be ranked by {rank.order}")
        ordered = [motion for _, motion in sorted(values, key=lambda pair: pair[0], reverse=rank.greatest)]
        chosen = ordered[rank.place - 1 : rank.place - 1 + (plan.amount or 1)]
        self.notes.append(f"{rank}: {', '.join(motion.track.id for motion in chosen)}")
        return chosen


def _worthy(objects: Sequence[Stitched]) -> list[Motion]:
    """The objects that are no flicker, all where there is nothing else."""
    motions = [each.motion for each in objects]
    return [motion for motion in motions if len(motion.seen) >= FEW] or motions


def _count(motions: Sequence[Motion]) -> str:
    return "1 track" if len(motions) == 1 else f"{len(motions)} tracks"


def _strongest(motions: Sequence[Motion], strengths: Mapping[str, float], count: int) -> list[Motion]:
    """Take those to which it happens most surely; without anything that happens, those that are seen best."""

    def key(motion: Motion) -> tuple[float, float]:
        return strengths.get(motion.track.id, 0.0), motion.track.score * len(motion.seen)

    return sorted(motions, key=key, reverse=True)[:count]


def _value(motion: Motion, rank: Rank) -> float | None:
    """Number that orders; None where the track is not seen in the frame that is spoken of."""
    if rank.order == "leaving":
        return motion.last
    if rank.order == "entering":
        return motion.first
    if rank.order == "seen":
        return len(motion.seen)
    if rank.order == "speed":
        return _speed(motion)
    clock = motion.clock
    if rank.order == "size" and not rank.when:
        return motion.mean_area
    frame = motion.seen[-1] if rank.when == "end" else motion.seen[0]
    late = clock.last - frame.index if rank.when == "end" else frame.index - clock.start
    if rank.when and late > (0 if _edge(motion, frame) <= EDGE and _reach(motion) > STILL else MISSED):
        return None
    return _area(frame) if rank.order == "size" else _place(frame.box, rank.order)


def _place(box: Box, order: str) -> float:
    return center(box)[0 if order in ("left", "right") else 1]


def _area(frame: TrackFrame) -> float:
    return (frame.box[2] - frame.box[0]) * (frame.box[3] - frame.box[1])


def _speed(motion: Motion) -> float:
    """Mean pixels a frame over steps between neighboring frames but the longest, whole views before cut-off ones."""
    whole = {frame.index for frame in _whole(motion)}
    for among in (whole, {frame.index for frame in motion.seen}):
        steps = [
            math.dist(center(a.box), center(b.box))
            for a, b in itertools.pairwise(motion.seen)
            if b.index == a.index + 1 and {a.index, b.index} <= among
        ]
        if len(steps) >= 3:
            kept = sorted(steps)[: len(steps) - len(steps) // 10]  # a bad mask makes two long steps
            return sum(kept) / len(kept)
    return motion.path / max(motion.last - motion.first, 1)


def edge_distance(box: Box, width: int, height: int, side: str = "") -> float:
    """Distance of a box to one side of the frame, or to the nearest, as a share of width or height."""
    distances = {
        "left": box[0] / width, "right": (width - box[2]) / width,
        "top": box[1] / height, "bottom": (height - box[3]) / height,
    }  # fmt: skip
    return distances[side] if side else min(distances.values())


def _whole(motion: Motion) -> list[TrackFrame]:
    """The frames in which it is not cut off by the border."""
    return [frame for frame in motion.seen if _edge(motion, frame) > 2 / max(motion.clock.width, motion.clock.height)]


def _edge(motion: Motion, frame: TrackFrame, side: str = "") -> float:
    return edge_distance(frame.box, motion.clock.width, motion.clock.height, side)


def _leaves(motion: Motion, side: str) -> float:
    """Measure how surely it leaves; an object that stands at the border and is lost has not left."""
    gone = motion.last < motion.clock.last and _reach(motion) > STILL
    return EDGE - _edge(motion, motion.seen[-1], side) if gone else 0.0


def _enters(motion: Motion, side: str) -> float:
    come = motion.first > motion.clock.start and _reach(motion) > STILL
    return EDGE - _edge(motion, motion.seen[0], side) if come else 0.0


def _reach(motion: Motion) -> float:
    """Longer sides within which it stays of where it began, but for one frame in ten, which a bad mask may be."""
    ways = sorted(math.dist(motion.began_at, each) for each in motion.centers)
    return ways[-1 - len(ways) // 10] / max(motion.clock.width, motion.clock.height)


def _absences(motion: Motion) -> list[tuple[float, int]]:
    """(distance to the border before and after, whichever is greater; frames) of each absence."""
    pairs = [(a, b) for a, b in itertools.pairwise(motion.seen) if b.index > a.index + 1]
    return [(max(_edge(motion, a), _edge(motion, b)), b.index - a.index - 1) for a, b in pairs]


def _returns(motion: Motion, _: str) -> float:
    return max((EDGE - edge for edge, frames in _absences(motion) if frames >= HIDDEN_FRAMES), default=0.0)


def _hides(motion: Motion, _: str) -> float:
    return max((frames for edge, frames in _absences(motion) if frames >= HIDDEN_FRAMES and edge > EDGE), default=0.0)


def _moves(motion: Motion, side: str) -> float:
    axis, sign = {"left": (0, -1), "right": (0, 1), "up": (1, -1), "down": (1, 1)}[side]
    begin, end = motion.centers[0], motion.centers[-1]
    ways = (end[0] - begin[0], end[1] - begin[1])
    along = sign * ways[axis] / (motion.clock.width, motion.clock.height)[axis]
    return along - FAR if abs(ways[axis]) >= STEEP * abs(ways[1 - axis]) else 0.0


def _still(motion: Motion, _: str) -> float:
    """Measure how still it is; a track seen for less than half of the video does not tell."""
    return STILL - _reach(motion) if 2 * len(motion.seen) >= motion.clock.frames else 0.0


def _growth(motion: Motion) -> float:
    """Logarithm of the area at the end over that at the beginning, by whole views; 0 where there are too few."""
    whole = {frame.index for frame in _whole(motion)}
    areas = [area for frame, area in zip(motion.seen, motion.areas, strict=True) if frame.index in whole]
    if len(areas) < 2:
        return 0.0
    share = max(1, len(areas) // 5)
    one, other = (sorted(part)[len(part) // 2] for part in (areas[:share], areas[-share:]))
    return math.log(max(other, 1) / max(one, 1))


def _meetings(motions: Sequence[Motion]) -> dict[str, float]:
    """Strengths of the two that come nearest each other, if they touch after having been apart; nothing else."""
    best: tuple[float, Motion, Motion] | None = None
    for one, other in itertools.combinations(motions, 2):
        strength = _meeting(one, other)
        if strength > 0 and (best is None or strength > best[0]):
            best = (strength, one, other)
    return {} if best is None else {motion.track.id: best[0] for motion in best[1:]}


def _meeting(one: Motion, other: Motion) -> float:
    longer = max(one.clock.width, one.clock.height)
    widest = 0.0
    strength = 0.0
    for frame in one.seen:
        there = other.track.at(frame.index)
        if there is None or not there.visible:
            continue
        gap = box_gap(frame.box, there.box) / longer
        if gap <= TOUCH and widest >= APART:
            strength = max(strength, TOUCH - gap + 1e-6)
        widest = max(widest, gap)
    return strength


_STRENGTHS: dict[Kind, Callable[[Motion, str], float]] = {
    "leaves": _leaves,
    "enters": _enters,
    "returns": _returns,
    "hides": _hides,
    "moves": _moves,
    "still": _still,
    "grows": lambda motion, _: _growth(motion) - math.log(GROWN),
    "shrinks": lambda motion, _: -_growth(motion) - math.log(GROWN),
}
