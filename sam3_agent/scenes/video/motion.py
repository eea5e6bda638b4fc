"""Motion of the objects of a clip: what each does, and where, how large and how turned it is at every frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sam3_agent.scenes.options import allowed_pairs
from sam3_agent.scenes.rng import pick
from sam3_agent.scenes.video.extras import Cast, reach_of
from sam3_agent.scenes.video.options import ClipOptions

Point = tuple[float, float]
Floats = NDArray[np.float64]

SLOWEST, FASTEST = 0.004, 0.05
"""Speed of a line or a walk, in longer sides of the image a frame; drawn log-uniformly. Kept from the pilot."""
SWAYING = 0.3
"""Share of the moving objects that sway about their path."""
DRIFTING = 0.6
"""Most way across of an object while it leaves or enters, in shorter sides of the image."""


@dataclass(frozen=True, slots=True)
class Room:
    """The image, `width` x `height` pixels, and `last`, the number of the last frame of the script."""

    width: int
    height: int
    last: int

    @property
    def longer(self) -> int:
        """The longer side in pixels."""
        return max(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Walker:
    """An object that starts at `start`, xy pixels, and reaches at most `radius` pixels from its center."""

    start: Point
    radius: float


@dataclass(frozen=True, slots=True)
class Path:
    """Waypoints: at frame `times[k]` the center is at `points[k]`, xy pixels; straight lines between."""

    times: tuple[float, ...]
    points: tuple[Point, ...]

    def at(self, frames: Floats) -> Floats:
        """Interpolate the center at `frames` (T,): (T, 2) xy pixels."""
        table = np.array(self.points)
        return np.stack([np.interp(frames, self.times, table[:, axis]) for axis in (0, 1)], axis=1)


Role = Callable[[Walker, Room, np.random.Generator], Path]


def stay(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Stand still."""
    return Path((0.0,), (walker.start,))


def line(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Go straight on, as far as the image reaches, at a constant speed."""
    way = draw_speed(room, rng) * room.last
    angle = rng.uniform(0.0, 2.0 * math.pi)
    end = inside((walker.start[0] + way * math.cos(angle), walker.start[1] + way * math.sin(angle)), walker, room)
    return Path((0.0, float(room.last)), (walker.start, end))


def wander(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Go from place to place within the image."""
    speed = draw_speed(room, rng)
    times, points = [0.0], [walker.start]
    while times[-1] < room.last:
        place = draw_inside(walker, room, rng)
        way = math.dist(points[-1], place)
        times.append(times[-1] + max(1.0, way / speed))
        points.append(place)
    return Path(tuple(times), tuple(points))


def leave(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Leave the image for good."""
    begin, end = room.last * rng.uniform(0.0, 0.35), room.last * rng.uniform(0.5, 0.92)
    return Path((begin, end), (walker.start, draw_outside(walker.start, walker, room, rng)))


def enter(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Come into the image and stay."""
    begin, end = room.last * rng.uniform(0.05, 0.5), room.last * rng.uniform(0.65, 1.0)
    return Path((begin, end), (draw_outside(walker.start, walker, room, rng), walker.start))


def cross(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Come in, pass through, and leave on the other side."""
    first = draw_outside(walker.start, walker, room, rng)
    second = inside((room.width - first[0], room.height - first[1]), walker, room, margin=-1.6)
    begin, end = room.last * rng.uniform(0.0, 0.3), room.last * rng.uniform(0.7, 1.0)
    return Path((begin, (begin + end) / 2.0, end), (first, walker.start, second))


def come_back(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Leave the image and return, mostly on the side where it left."""
    times = room.last * np.array([rng.uniform(0.0, 0.15), rng.uniform(0.25, 0.42), rng.uniform(0.5, 0.68)])
    out = draw_outside(walker.start, walker, room, rng)
    again = out if rng.random() < 0.7 else draw_outside(walker.start, walker, room, rng)
    end = room.last * rng.uniform(0.75, 1.0)
    points = (walker.start, out, again, draw_inside(walker, room, rng))
    return Path((*times.tolist(), end), points)


ROLES: dict[str, Role] = {
    "stay": stay,
    "line": line,
    "wander": wander,
    "leave": leave,
    "enter": enter,
    "cross": cross,
    "return": come_back,
}
"""Motions of an object by itself; hiding and meeting need another object (see `script`)."""
USUAL_ROLES: tuple[tuple[str, float], ...] = (
    ("stay", 0.18), ("line", 0.26), ("wander", 0.14), ("leave", 0.14), ("enter", 0.12), ("cross", 0.05),
    ("return", 0.11),
)  # fmt: skip


def draw_role(weights: tuple[tuple[str, float], ...], rng: np.random.Generator) -> str:
    """Draw one role, as likely as its weight."""
    return weights[_draw_index([weight for _, weight in weights], rng)][0]


def _draw_index(weights: Sequence[float], rng: np.random.Generator) -> int:
    """Draw an index, as likely as its weight."""
    total = np.cumsum(np.array(weights, dtype=np.float64))
    return int(np.count_nonzero(total <= rng.random() * total[-1]))


def draw_sway(room: Room, rng: np.random.Generator) -> Callable[[Floats], Floats]:
    """Draw a function of frames (T,) to xy offsets in pixels (T, 2): mostly nothing, else sines of one frequency."""
    reach = rng.uniform(0.01, 0.05) * room.longer if rng.random() < SWAYING else 0.0
    phase, turn = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.1, 0.6)

    def sway(frames: Floats) -> Floats:
        angle = phase + turn * frames
        return reach * np.stack((np.sin(angle) - math.sin(phase), np.cos(angle) - math.cos(phase)), axis=1)

    return sway


def draw_speed(room: Room, rng: np.random.Generator) -> float:
    """Draw a speed in pixels a frame."""
    return room.longer * math.exp(rng.uniform(math.log(SLOWEST), math.log(FASTEST)))


def draw_inside(walker: Walker, room: Room, rng: np.random.Generator) -> Point:
    """Draw a random place where nearly all of the object is in the image."""
    return inside((rng.uniform(0.0, room.width), rng.uniform(0.0, room.height)), walker, room)


def inside(place: Point, walker: Walker, room: Room, margin: float = 0.75) -> Point:
    """`place`, moved so that it is `margin` radii from every border (a negative margin: outside at most so far)."""
    low = (min(walker.radius * margin, room.width / 2.0), min(walker.radius * margin, room.height / 2.0))
    x, y = (min(max(place[axis], low[axis]), (room.width, room.height)[axis] - low[axis]) for axis in (0, 1))
    return x, y


def draw_outside(place: Point, walker: Walker, room: Room, rng: np.random.Generator) -> Point:
    """Draw a place beyond a border, where nothing of the object is seen; the nearer borders are more likely."""
    sides = (room.width, room.height)
    gaps = (place[0], sides[0] - place[0], place[1], sides[1] - place[1])
    side = _draw_index([1.0 / (0.1 + max(gap, 0.0) / max(sides)) for gap in gaps], rng)
    axis, far = side // 2, side % 2
    across = place[1 - axis] + rng.uniform(-0.5, 0.5) * DRIFTING * min(sides)
    out = [0.0, 0.0]
    out[axis] = sides[axis] + 1.6 * walker.radius if far else -1.6 * walker.radius
    out[1 - axis] = min(max(across, 0.0), float(sides[1 - axis]))
    return out[0], out[1]


def draw_gap(frames: int, rng: np.random.Generator) -> tuple[int, int] | None:
    """First frame and frame after the last of an absence; None where the clip is too short for one."""
    if frames < 4:
        return None
    first = int(rng.integers(1, frames - 1))
    return first, int(rng.integers(first + 1, frames + 1 - (frames > 5)))


def draw_meeting(first: Walker, second: Walker, room: Room, rng: np.random.Generator) -> tuple[Path, Path]:
    """Two objects that go to each other until they touch, and then stand or part again."""
    share = rng.uniform(0.3, 0.7)
    spot = tuple(first.start[axis] * (1 - share) + second.start[axis] * share for axis in (0, 1))
    angle = math.atan2(second.start[1] - first.start[1], second.start[0] - first.start[0])
    begin, touch = room.last * rng.uniform(0.0, 0.2), room.last * rng.uniform(0.45, 0.7)
    parting, end = min(room.last, touch + room.last * rng.uniform(0.05, 0.2)), float(room.last)
    away = rng.random() < 0.5
    paths: list[Path] = []
    for walker, sign in ((first, -1.0), (second, 1.0)):
        reach = sign * walker.radius * 0.55
        near = (spot[0] + reach * math.cos(angle), spot[1] + reach * math.sin(angle))
        points = (walker.start, near, near, walker.start if away else near)
        paths.append(Path((begin, touch, max(parting, touch), max(end, parting)), points))
    return paths[0], paths[1]


def draw_hiding(walker: Walker, spot: Point, room: Room, rng: np.random.Generator) -> Path:
    """Go behind what is at `spot`, stay there for a while, and come out again (or, now and then, stay)."""
    far = inside((2.0 * spot[0] - walker.start[0], 2.0 * spot[1] - walker.start[1]), walker, room)
    begin, hidden = room.last * rng.uniform(0.0, 0.2), room.last * rng.uniform(0.35, 0.5)
    dwell = room.last * pick((0.0, 0.1, 0.2, 0.3), rng)
    end = min(float(room.last), hidden + dwell + (hidden - begin) * rng.uniform(0.8, 1.2))
    exits = far if rng.random() < 0.7 else walker.start
    if rng.random() < 0.12:
        exits, end = spot, float(room.last)
    return Path((begin, hidden, hidden + dwell, max(end, hidden + dwell)), (walker.start, spot, spot, exits))


SHORTEST_SCRIPT = 16
"""Frames of the shortest script; a shorter clip shows a part of one, so that speeds stay natural."""
STRONGEST_GROWTH = (0.55, 1.8)
"""The least and the largest final size, in sizes at the start."""
FASTEST_SPIN = 10.0
"""Degrees a frame, at most."""
FADE = 4
"""Frames that the slower changes of color take."""
STAYS_AFTER_CUT = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One object's part in the script; every array has one entry a frame.

    `center` (T, 2) xy pixels in the image; `scale` (T,) and `turn` (T,) degrees against the clock, both relative to
    the sprite; `there` (T,) whether it is in the scene at all, seen or not; `blend` (T,) how far its color has
    changed to `second_color`, 0 to 1.
    """

    role: str
    center: Floats
    scale: Floats
    turn: Floats
    there: NDArray[np.bool_]
    second_color: str | None
    blend: Floats


def draw_parts(
    cast: Cast, frames: int, shots: Sequence[int], options: ClipOptions, rng: np.random.Generator
) -> list[Part]:
    """Draw the part of every object of `cast`; `shots` are the first frames of the shots, 0 the first of them."""
    length = max(frames, SHORTEST_SCRIPT)
    room = Room(cast.layout.width, cast.layout.height, length - 1)
    begin = int(rng.integers(0, length - frames + 1))
    clock = np.arange(begin, begin + frames, dtype=np.float64)
    parts = [_draw_part(number, cast, clock, room, options, rng) for number in range(len(cast.characters))]
    _draw_together(parts, cast, clock, room, rng)
    bounds = (*shots[1:], frames)
    for first, end in pairwise(bounds):
        for number, part in enumerate(parts):
            _restage(part, number, cast, slice(first, end), room, rng)
    return parts


def _walker(number: int, cast: Cast, scale: Floats) -> Walker:
    place = cast.layout.placed[number]
    return Walker((place.x, place.y), reach_of(place) * float(scale.max()))


def _draw_part(
    number: int, cast: Cast, clock: Floats, room: Room, options: ClipOptions, rng: np.random.Generator
) -> Part:
    """Draw the part of an object by itself."""
    frames = len(clock)
    role = draw_role(options.roles or USUAL_ROLES, rng)
    if number in {occluder for _, occluder in cast.hides}:
        role = "stay"
    scale = np.ones(frames)
    if rng.random() < options.growths and role in ("stay", "line", "wander"):
        low, high = STRONGEST_GROWTH
        final = float(rng.uniform(1.25, high) if rng.random() < 0.5 else rng.uniform(low, 0.8))
        scale = np.linspace(1.0, final, room.last + 1)[clock.astype(np.intp)]
    spin = rng.uniform(-FASTEST_SPIN, FASTEST_SPIN) if rng.random() < options.spins else 0.0
    walker = _walker(number, cast, scale)
    center = ROLES[role](walker, room, rng).at(clock)
    if role in ("line", "wander"):
        center = center + draw_sway(room, rng)(clock)
    there = np.ones(frames, dtype=np.bool_)
    gap = draw_gap(frames, rng) if rng.random() < options.gaps else None
    if gap is not None:
        there[slice(*gap)] = False
    second, blend = _draw_recolor(number, cast, frames, options, rng)
    return Part(role, center, scale, spin * clock, there, second, blend)


def _draw_recolor(
    number: int, cast: Cast, frames: int, options: ClipOptions, rng: np.random.Generator
) -> tuple[str | None, Floats]:
    """Another color and when it comes, at once or slowly; mostly none. Twins and their model keep their colors."""
    blend = np.zeros(frames)
    twins = {*cast.twin_of, *(index for index, model in enumerate(cast.twin_of) if model is not None)}
    if rng.random() >= options.recolors or number in twins or frames < 3:
        return None, blend
    noun, old = cast.characters[number].noun, cast.characters[number].color
    colors = [color for n, color in allowed_pairs(options.excluded_pairs) if n == noun and color != old]
    if not colors:
        return None, blend
    when = rng.uniform(0.25, 0.75) * (frames - 1)
    width = FADE if rng.random() < 0.5 else 1e-3
    blend += (np.arange(frames) - when) / width + 0.5
    return pick(colors, rng), blend.clip(0.0, 1.0)


def _draw_together(parts: list[Part], cast: Cast, clock: Floats, room: Room, rng: np.random.Generator) -> None:
    """Rewrite the parts of those that hide behind another object, and sometimes of two that meet."""
    for hidden, occluder in cast.hides:
        place = cast.layout.placed[occluder]
        walker = _walker(hidden, cast, parts[hidden].scale)
        path = draw_hiding(walker, (place.x, place.y), room, rng)
        parts[hidden] = replace(parts[hidden], role="hide", center=path.at(clock))
    taken = {index for pair in cast.hides for index in pair}
    free = [index for index, part in enumerate(parts) if index not in taken and part.role != "stay"]
    if len(free) >= 2 and rng.random() < 0.3:
        one, other = (free[int(number)] for number in rng.permutation(len(free))[:2])
        first, second = (_walker(index, cast, parts[index].scale) for index in (one, other))
        for index, path in zip((one, other), draw_meeting(first, second, room, rng), strict=True):
            parts[index] = replace(parts[index], role="meet", center=path.at(clock))


def _restage(part: Part, number: int, cast: Cast, frames: slice, room: Room, rng: np.random.Generator) -> None:
    """Give an object another place in a later shot, or none; twins stay away, as nobody could tell which is which."""
    twin = cast.twin_of[number] is not None or number in cast.twin_of
    if twin or rng.random() > STAYS_AFTER_CUT:
        part.there[frames] = False
        return
    part.scale[frames] *= rng.uniform(0.8, 1.15)
    walker = _walker(number, cast, part.scale)
    start = Walker(draw_inside(walker, room, rng), walker.radius)
    role = pick((stay, line, line, wander), rng)
    count = frames.stop - frames.start
    part.center[frames] = role(start, room, rng).at(np.arange(count, dtype=np.float64))
