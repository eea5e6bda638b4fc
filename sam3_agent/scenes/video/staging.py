"""Stage of a clip: backgrounds, painted objects and camera, and how one frame is drawn of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent.scenes.background import draw_background, draw_near_white
from sam3_agent.scenes.cast import Character
from sam3_agent.scenes.composition import Actor, Stack, paint_actors
from sam3_agent.scenes.finish import Finish, draw_finish, draw_noise_start, finish_picture
from sam3_agent.scenes.scene import FLAT_SCENES, draw_size
from sam3_agent.scenes.sprite import Sprite
from sam3_agent.scenes.video.extras import Cast, draw_clip_cast
from sam3_agent.scenes.video.options import ClipOptions
from sam3_agent.scenes.video.script import Part, draw_parts
from sam3_agent.scenes.wardrobe import Look, draw_look, dress, hidden_colours

MARGIN = 0.25
"""How far a moving camera can go, in sides of the picture."""
PAN_SPEED = 0.006
"""Standard deviation of the camera's speed, in longer sides a frame (the pilot's, at its median object speed)."""
CUT_TRIES = 6
"""Backgrounds drawn for a later shot, of which the one that hides the fewest colors is taken."""
FEWEST_FRAMES_A_SHOT = 2
LARGEST_SIDE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A shot from frame `first` on: `background` is larger than the picture where the camera moves over it."""

    first: int
    background: Image.Image
    look: Look


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """All that frames are drawn of; `camera` is (T, 2) xy pixels that the camera has gone from its start.

    `sprites[i]` are object i in its first color and, if it changes, in its second; `order` is from back to front.
    """

    width: int
    height: int
    seed: int
    shots: tuple[Shot, ...]
    cast: Cast
    parts: tuple[Part, ...]
    sprites: tuple[tuple[Sprite, ...], ...]
    order: tuple[int, ...]
    camera: NDArray[np.float64]
    finish: Finish | None

    @property
    def cuts(self) -> tuple[int, ...]:
        """The first frames of the shots but the first."""
        return tuple(shot.first for shot in self.shots[1:])


def draw_stage(seed: int, frames: int, size: tuple[int, int] | None, options: ClipOptions) -> Stage:
    """Everything about the clip of `seed` but its pixels."""
    rng = np.random.default_rng(seed)
    drawn = draw_size(options.scene(), rng)
    width, height = drawn if size is None else _checked(size)
    flat = rng.random() < FLAT_SCENES
    camera = _draw_camera(frames, width, height, options, rng)
    shots = _draw_shots(frames, width, height, camera, flat, options, rng)
    view = _view(shots[0].background, width, height, camera[0])
    cast = draw_clip_cast(width, height, hidden_colours(view), options, rng)
    parts = draw_parts(cast, frames, [shot.first for shot in shots], options, rng)
    sprites = _dress(cast, parts, view, shots[0].look, rng)
    order = _draw_order(cast, rng)
    finish = None if flat else draw_finish(rng)
    return Stage(width, height, seed, tuple(shots), cast, tuple(parts), sprites, order, camera, finish)


def _checked(size: tuple[int, int]) -> tuple[int, int]:
    if not all(16 <= side <= LARGEST_SIDE for side in size):
        raise ValueError(f"expected a width and a height from 16 to {LARGEST_SIDE} pixels, got {size}")
    return size


def _draw_camera(
    frames: int, width: int, height: int, options: ClipOptions, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(T, 2) xy pixels: a straight pan that turns back where the background ends, or no movement."""
    if rng.random() >= options.pans:
        return np.zeros((frames, 2))
    speed = rng.normal(0.0, PAN_SPEED * max(width, height), size=2)
    way = np.arange(frames)[:, None] * speed  # (T, 2)
    limit = MARGIN * np.array([width, height])
    return np.abs((way + limit) % (4.0 * limit) - 2.0 * limit) * -1.0 + limit


def _draw_shots(
    frames: int,
    width: int,
    height: int,
    camera: NDArray[np.float64],
    flat: bool,
    options: ClipOptions,
    rng: np.random.Generator,
) -> list[Shot]:
    """One shot, or two with a hard cut between them."""
    moving = bool(camera.any())
    wide = (width + 2 * int(MARGIN * width), height + 2 * int(MARGIN * height)) if moving else (width, height)
    draw = draw_near_white if flat else draw_background
    shots = [Shot(0, draw(*wide, rng), draw_look(flat, rng))]
    if rng.random() < options.cuts and frames >= 2 * FEWEST_FRAMES_A_SHOT:
        first = int(rng.integers(FEWEST_FRAMES_A_SHOT, frames - FEWEST_FRAMES_A_SHOT + 1))
        backgrounds = [draw_background(*wide, rng) for _ in range(CUT_TRIES)]
        shots.append(Shot(first, min(backgrounds, key=lambda image: len(hidden_colours(image))), shots[0].look))
    return shots


def _dress(
    cast: Cast, parts: list[Part], view: Image.Image, look: Look, rng: np.random.Generator
) -> tuple[tuple[Sprite, ...], ...]:
    """The sprites of every object; twins share theirs, and a second color repeats the pattern of the first."""
    state = int(rng.integers(1 << 62))
    first = dress(cast.characters, cast.silhouettes, cast.layout, view, look, np.random.default_rng(state))
    sprites: list[tuple[Sprite, ...]] = [(sprite,) for sprite in first]
    for number, part in enumerate(parts):
        model = cast.twin_of[number]
        if model is not None:
            sprites[number] = sprites[model]
        elif part.second_color is not None:
            recolored = list(cast.characters)
            old = recolored[number]
            recolored[number] = Character(old.noun, part.second_color, old.pattern)
            again = dress(recolored, cast.silhouettes, cast.layout, view, look, np.random.default_rng(state))
            sprites[number] = (first[number], again[number])
    return tuple(sprites)


def _draw_order(cast: Cast, rng: np.random.Generator) -> tuple[int, ...]:
    """Indices from back to front; an occluder comes after all that hide behind it."""
    order = [int(number) for number in rng.permutation(len(cast.characters))]
    for occluder in {occluder for _, occluder in cast.hides}:
        order.remove(occluder)
        order.append(occluder)
    return tuple(order)


def draw_frame(stage: Stage, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
    """(H, W, 3) RGB, (H, W) ids of what is seen, and (N,) pixels of whole silhouettes, of frame `index`."""
    shot = [shot for shot in stage.shots if shot.first <= index][-1]
    owner = np.zeros((stage.height, stage.width), dtype=np.uint8)
    whole = np.zeros(len(stage.parts), dtype=np.int64)
    actors: list[Actor] = []
    for number in stage.order:
        actor = _pose(stage, number, index)
        if actor is None:
            continue
        x0, y0, x1, y1 = actor.window(stage.width, stage.height)
        whole[number] = actor.sprite.area
        if x0 < x1 and y0 < y1:
            owner[y0:y1, x0:x1][actor.mask_in(stage.width, stage.height)] = number + 1
            actors.append(actor)
    view = _view(shot.background, stage.width, stage.height, stage.camera[index])
    picture = paint_actors(Stack(tuple(actors), owner), view, shot.look)
    if stage.finish is None:
        return np.asarray(picture), owner, whole
    finish = stage.finish
    if finish.noise is not None:
        start = draw_noise_start(np.random.default_rng((stage.seed, index)))
        finish = replace(finish, noise=(finish.noise[0], start))
    return finish_picture(picture, finish), owner, whole


def _view(background: Image.Image, width: int, height: int, camera: NDArray[np.float64]) -> Image.Image:
    """A copy of what the camera sees of the background."""
    left = (background.width - width) // 2 + round(float(camera[0]))
    top = (background.height - height) // 2 + round(float(camera[1]))
    left = min(max(left, 0), background.width - width)
    top = min(max(top, 0), background.height - height)
    return background.crop((left, top, left + width, top + height))


def _pose(stage: Stage, number: int, index: int) -> Actor | None:
    """Object `number` as it is in frame `index`, in the picture or beside it; None where it is not in the scene."""
    part = stage.parts[number]
    if not part.there[index]:
        return None
    sprite = _colored(stage.sprites[number], float(part.blend[index]))
    scale, turn = float(part.scale[index]), float(part.turn[index])
    if scale != 1.0 or turn != 0.0:
        sprite = _transformed(sprite, scale, turn)
    x, y = (part.centre[index] - stage.camera[index]).tolist()
    rows, columns = sprite.mask.shape
    character = stage.cast.characters[number]
    return Actor(character, sprite, round(x - columns / 2.0), round(y - rows / 2.0))


def _colored(sprites: tuple[Sprite, ...], blend: float) -> Sprite:
    """The sprite in its first color, its second, or between the two."""
    if len(sprites) == 1 or blend <= 0.0:
        return sprites[0]
    if blend >= 1.0:
        return sprites[1]
    return replace(sprites[0], patch=Image.blend(sprites[0].patch, sprites[1].patch, blend))


def _transformed(sprite: Sprite, scale: float, turn: float) -> Sprite:
    """`sprite` `scale` times as large and turned by `turn` degrees against the clock."""
    patch = sprite.patch
    if scale != 1.0:
        size = (max(4, round(patch.width * scale)), max(4, round(patch.height * scale)))
        patch = patch.resize(size, Image.Resampling.BILINEAR)
    if turn % 360.0:
        patch = patch.rotate(turn, Image.Resampling.BILINEAR, expand=True)
    mask = np.asarray(patch.getchannel("A")) >= 128
    return Sprite(patch, mask, int(np.count_nonzero(mask)))
