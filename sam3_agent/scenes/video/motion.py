"""Motion of one object: waypoints by what it does, and the pose they give at every frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent.scenes.chance import pick

Point = tuple[float, float]
Floats = NDArray[np.float64]

SLOWEST, FASTEST = 0.004, 0.05
"""Speed of a line or a walk, in longer sides of the picture a frame; drawn log-uniformly. Kept from the pilot."""
SWAYING = 0.3
"""Share of the moving objects that sway about their path."""
DRIFTING = 0.6
"""How far across an object may come while it leaves or enters, in shorter sides of the picture."""


@dataclass(frozen=True, slots=True)
class Room:
    """The picture, `width` x `height` pixels, and `last`, the number of the last frame of the script."""

    width: int
    height: int
    last: int

    @property
    def longer(self) -> int:
        """The longer side in pixels."""
        return max(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Walker:
    """An object that starts at `start`, xy pixels, and reaches at most `radius` pixels from its centre."""

    start: Point
    radius: float


@dataclass(frozen=True, slots=True)
class Path:
    """Waypoints: at frame `times[k]` the centre is at `points[k]`, xy pixels; straight lines between."""

    times: tuple[float, ...]
    points: tuple[Point, ...]

    def at(self, frames: Floats) -> Floats:
        """(T, 2) xy pixels of the centre at `frames` (T,)."""
        table = np.array(self.points)
        return np.stack([np.interp(frames, self.times, table[:, axis]) for axis in (0, 1)], axis=1)


Role = Callable[[Walker, Room, np.random.Generator], Path]


def stay(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Stand still."""
    return Path((0.0,), (walker.start,))


def line(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Go straight on, as far as the picture reaches, at a constant speed."""
    way = draw_speed(room, rng) * room.last
    angle = rng.uniform(0.0, 2.0 * math.pi)
    end = inside((walker.start[0] + way * math.cos(angle), walker.start[1] + way * math.sin(angle)), walker, room)
    return Path((0.0, float(room.last)), (walker.start, end))


def wander(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Go from place to place within the picture."""
    speed = draw_speed(room, rng)
    times, points = [0.0], [walker.start]
    while times[-1] < room.last:
        place = draw_inside(walker, room, rng)
        way = math.dist(points[-1], place)
        times.append(times[-1] + max(1.0, way / speed))
        points.append(place)
    return Path(tuple(times), tuple(points))


def leave(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Leave the picture for good."""
    begin, end = room.last * rng.uniform(0.0, 0.35), room.last * rng.uniform(0.5, 0.92)
    return Path((begin, end), (walker.start, draw_outside(walker.start, walker, room, rng)))


def enter(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Come into the picture and stay."""
    begin, end = room.last * rng.uniform(0.05, 0.5), room.last * rng.uniform(0.65, 1.0)
    return Path((begin, end), (draw_outside(walker.start, walker, room, rng), walker.start))


def cross(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Come in, pass through, and leave on the other side."""
    first = draw_outside(walker.start, walker, room, rng)
    second = inside((room.width - first[0], room.height - first[1]), walker, room, margin=-1.6)
    begin, end = room.last * rng.uniform(0.0, 0.3), room.last * rng.uniform(0.7, 1.0)
    return Path((begin, (begin + end) / 2.0, end), (first, walker.start, second))


def come_back(walker: Walker, room: Room, rng: np.random.Generator) -> Path:
    """Leave the picture and return, mostly on the side where it left."""
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
"""What an object may do by itself; hiding and meeting need another object (see `script`)."""
USUAL_ROLES: tuple[tuple[str, float], ...] = (
    ("stay", 0.18), ("line", 0.26), ("wander", 0.14), ("leave", 0.14), ("enter", 0.12), ("cross", 0.05),
    ("return", 0.11),
)  # fmt: skip


def draw_role(weights: tuple[tuple[str, float], ...], rng: np.random.Generator) -> str:
    """One role, as likely as its weight."""
    return weights[_draw_index([weight for _, weight in weights], rng)][0]


def _draw_index(weights: Sequence[float], rng: np.random.Generator) -> int:
    """An index, as likely as its weight."""
    total = np.cumsum(np.array(weights, dtype=np.float64))
    return int(np.count_nonzero(total <= rng.random() * total[-1]))


def draw_sway(room: Room, rng: np.random.Generator) -> Callable[[Floats], Floats]:
    """A function of frames (T,) to xy offsets in pixels (T, 2): mostly nothing, else sines of one frequency."""
    reach = rng.uniform(0.01, 0.05) * room.longer if rng.random() < SWAYING else 0.0
    phase, turn = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.1, 0.6)

    def sway(frames: Floats) -> Floats:
        angle = phase + turn * frames
        return reach * np.stack((np.sin(angle) - math.sin(phase), np.cos(angle) - math.cos(phase)), axis=1)

    return sway


def draw_speed(room: Room, rng: np.random.Generator) -> float:
    """Pixels a frame."""
    return room.longer * math.exp(rng.uniform(math.log(SLOWEST), math.log(FASTEST)))


def draw_inside(walker: Walker, room: Room, rng: np.random.Generator) -> Point:
    """A random place where nearly all of the object is in the picture."""
    return inside((rng.uniform(0.0, room.width), rng.uniform(0.0, room.height)), walker, room)


def inside(place: Point, walker: Walker, room: Room, margin: float = 0.75) -> Point:
    """`place`, moved so that it is `margin` radii from every border (a negative margin: outside at most so far)."""
    low = (min(walker.radius * margin, room.width / 2.0), min(walker.radius * margin, room.height / 2.0))
    x, y = (min(max(place[axis], low[axis]), (room.width, room.height)[axis] - low[axis]) for axis in (0, 1))
    return x, y


def draw_outside(place: Point, walker: Walker, room: Room, rng: np.random.Generator) -> Point:
    """A place beyond one of the borders, where nothing of the object is seen; the nearer borders are more likely."""
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
