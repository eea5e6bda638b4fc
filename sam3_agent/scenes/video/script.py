"""Script of a clip: where every object is at every frame, how large, turned by how much, and in which color."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sam3_agent.scenes.chance import pick
from sam3_agent.scenes.options import allowed_pairs
from sam3_agent.scenes.video import motion
from sam3_agent.scenes.video.extras import Cast, reach_of
from sam3_agent.scenes.video.motion import Floats, Path, Room, Walker
from sam3_agent.scenes.video.options import ClipOptions

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

    `centre` (T, 2) xy pixels in the picture; `scale` (T,) and `turn` (T,) degrees against the clock, both relative to
    the sprite; `there` (T,) whether it is in the scene at all, seen or not; `blend` (T,) how far its color has
    changed to `second_color`, 0 to 1.
    """

    role: str
    centre: Floats
    scale: Floats
    turn: Floats
    there: NDArray[np.bool_]
    second_color: str | None
    blend: Floats


def draw_parts(
    cast: Cast, frames: int, shots: Sequence[int], options: ClipOptions, rng: np.random.Generator
) -> list[Part]:
    """The part of every object of `cast`; `shots` are the first frames of the shots, 0 the first of them."""
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
    """What the object does by itself."""
    frames = len(clock)
    role = motion.draw_role(options.roles or motion.USUAL_ROLES, rng)
    if number in {occluder for _, occluder in cast.hides}:
        role = "stay"
    scale = np.ones(frames)
    if rng.random() < options.growths and role in ("stay", "line", "wander"):
        low, high = STRONGEST_GROWTH
        final = float(rng.uniform(1.25, high) if rng.random() < 0.5 else rng.uniform(low, 0.8))
        scale = np.linspace(1.0, final, room.last + 1)[clock.astype(np.intp)]
    spin = rng.uniform(-FASTEST_SPIN, FASTEST_SPIN) if rng.random() < options.spins else 0.0
    walker = _walker(number, cast, scale)
    centre = motion.ROLES[role](walker, room, rng).at(clock)
    if role in ("line", "wander"):
        centre = centre + motion.draw_sway(room, rng)(clock)
    there = np.ones(frames, dtype=np.bool_)
    gap = motion.draw_gap(frames, rng) if rng.random() < options.gaps else None
    if gap is not None:
        there[slice(*gap)] = False
    second, blend = _draw_recolor(number, cast, frames, options, rng)
    return Part(role, centre, scale, spin * clock, there, second, blend)


def _draw_recolor(
    number: int, cast: Cast, frames: int, options: ClipOptions, rng: np.random.Generator
) -> tuple[str | None, Floats]:
    """Another color and when it comes, at once or slowly; mostly none. Twins and their model keep their colors."""
    blend = np.zeros(frames)
    twins = {*cast.twin_of, *(index for index, model in enumerate(cast.twin_of) if model is not None)}
    if rng.random() >= options.recolors or number in twins or frames < 3:
        return None, blend
    noun, old = cast.characters[number].noun, cast.characters[number].colour
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
        path = motion.draw_hiding(walker, (place.x, place.y), room, rng)
        parts[hidden] = _moved(parts[hidden], "hide", path, clock)
    taken = {index for pair in cast.hides for index in pair}
    free = [index for index, part in enumerate(parts) if index not in taken and part.role != "stay"]
    if len(free) >= 2 and rng.random() < 0.3:
        one, other = (free[int(number)] for number in rng.permutation(len(free))[:2])
        first, second = (_walker(index, cast, parts[index].scale) for index in (one, other))
        for index, path in zip((one, other), motion.draw_meeting(first, second, room, rng), strict=True):
            parts[index] = _moved(parts[index], "meet", path, clock)


def _moved(part: Part, role: str, path: Path, clock: Floats) -> Part:
    return Part(role, path.at(clock), part.scale, part.turn, part.there, part.second_color, part.blend)


def _restage(part: Part, number: int, cast: Cast, frames: slice, room: Room, rng: np.random.Generator) -> None:
    """Give an object another place in a later shot, or none; twins stay away, as nobody could tell which is which."""
    twin = cast.twin_of[number] is not None or number in cast.twin_of
    if twin or rng.random() > STAYS_AFTER_CUT:
        part.there[frames] = False
        return
    part.scale[frames] *= rng.uniform(0.8, 1.15)
    walker = _walker(number, cast, part.scale)
    start = Walker(motion.draw_inside(walker, room, rng), walker.radius)
    role = pick((motion.stay, motion.line, motion.line, motion.wander), rng)
    count = frames.stop - frames.start
    part.centre[frames] = role(start, room, rng).at(np.arange(count, dtype=np.float64))
