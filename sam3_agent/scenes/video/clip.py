"""Procedural clip: moving objects with the exact truth about every pixel of every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent.scenes.appearance import Look, draw_look, dress, hidden_colors
from sam3_agent.scenes.background import draw_background, draw_near_white
from sam3_agent.scenes.camera_effects import Finish, draw_finish, draw_noise_start, finish_picture
from sam3_agent.scenes.object_sampling import Character
from sam3_agent.scenes.scene import FLAT_SCENES, Actor, Stack, draw_size, paint_actors
from sam3_agent.scenes.sprite import Sprite
from sam3_agent.scenes.video.extras import Cast, draw_clip_cast
from sam3_agent.scenes.video.motion import Part, draw_parts
from sam3_agent.scenes.video.options import MOST_FRAMES, ClipOptions
from sam3_agent.scenes.vocabulary import SUPERCATEGORY

FIRST_TRAINING_SEED = 1 << 40
"""Clips of smaller seeds are kept for evaluation; nothing may ever be trained on them."""
SEEDS_APART = 1_000_000
MOST_EVALUATION_SEED = FIRST_TRAINING_SEED // SEEDS_APART - 1
Owner = NDArray[np.uint8]
"""(H, W) the id of the object that is seen at each pixel, 0 = background."""
MARGIN = 0.25
"""Reach of a moving camera, in sides of the image."""
PAN_SPEED = 0.006
"""Standard deviation of the camera's speed, in longer sides a frame (the pilot's, at its median object speed)."""
CUT_TRIES = 6
"""Backgrounds drawn for a later shot, of which the one that hides the fewest colors is taken."""
FEWEST_FRAMES_A_SHOT = 2
LARGEST_CLIP_SIDE = 4096


@dataclass(frozen=True, slots=True)
class ClipObject:
    """One object: its words, which hold in every frame but for `colors`, one a frame.

    `role` is what its script has it do; `twin_of` the id of an object that looks exactly the same, or None.
    """

    id: int
    noun: str
    pattern: str
    supercategory: str
    colors: tuple[str, ...]
    role: str
    twin_of: int | None

    @property
    def color(self) -> str:
        """The color at the first frame."""
        return self.colors[0]


@dataclass(frozen=True, slots=True, eq=False)
class ClipFrame:
    """One frame, `image` (H, W, 3) uint8 RGB, with its `owner` map and `whole` (N,), see `Clip.whole`."""

    image: NDArray[np.uint8]
    owner: Owner
    whole: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A whole clip with its truth; object k has id k + 1.

    `frames` (T, H, W, 3) uint8 RGB; `owner` (T, H, W) uint8, the id of the object seen, 0 = background; `whole` (T, N)
    pixels of each complete silhouette, hidden and cut-off parts included, 0 where the object is not in the scene;
    `cuts` the first frames of later shots.
    """

    seed: int
    frames: NDArray[np.uint8]
    owner: NDArray[np.uint8]
    whole: NDArray[np.int64]
    objects: tuple[ClipObject, ...]
    cuts: tuple[int, ...]

    @property
    def masks(self) -> NDArray[np.bool_]:
        """(T, N, H, W) the visible pixels of every object, made anew at each call."""
        ids = np.arange(1, len(self.objects) + 1, dtype=np.uint8)
        return self.owner[:, None] == ids[None, :, None, None]

    @property
    def areas(self) -> NDArray[np.int64]:
        """(T, N) visible pixels."""
        return np.stack([areas_in(owner, len(self.objects)) for owner in self.owner])

    @property
    def visibility(self) -> NDArray[np.float64]:
        """(T, N) visible share of the complete silhouette, 0 where the object is away."""
        return self.areas / np.maximum(self.whole, 1)


def areas_in(owner: Owner, objects: int) -> NDArray[np.int64]:
    """Count (N,) visible pixels of each object in one owner map."""
    return np.bincount(owner.ravel(), minlength=objects + 1)[1:].astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ClipPlan:
    """A clip that is drawn frame by frame: any frame at any time, so that long videos need no memory."""

    seed: int
    width: int
    height: int
    length: int
    objects: tuple[ClipObject, ...]
    cuts: tuple[int, ...]
    stage: Stage

    def frame(self, index: int) -> ClipFrame:
        """Frame `index`, from 0; raises IndexError beyond the last."""
        if not 0 <= index < self.length:
            raise IndexError(f"expected a frame from 0 to {self.length - 1}, got {index}")
        return ClipFrame(*_draw_frame(self.stage, index))

    def frames(self) -> Iterator[ClipFrame]:
        """Give all frames in order."""
        return (self.frame(index) for index in range(self.length))


def evaluation_seed(seed: int, number: int) -> int:
    """Give the clip seed of video `number` of an evaluation set; raises ValueError where it were one of training."""
    if not 0 <= seed <= MOST_EVALUATION_SEED or not 0 <= number < SEEDS_APART:
        raise ValueError(
            f"expected a seed from 0 to {MOST_EVALUATION_SEED} and a number below {SEEDS_APART}, got {seed}, {number}"
        )
    return seed * SEEDS_APART + number


def plan_clip(
    seed: int,
    frames: int = 8,
    size: tuple[int, int] | None = None,
    options: ClipOptions = ClipOptions(),  # noqa: B008
) -> ClipPlan:
    """Plan the clip of `seed`, not drawn yet; `size` is (width, height), None for a random one within the options.

    Random sides are even, as encoders of video want them.

    Raises ValueError for a number of frames or a size that cannot be drawn.
    """
    if not 1 <= frames <= MOST_FRAMES:
        raise ValueError(f"expected 1 to {MOST_FRAMES} frames, got {frames}")
    stage = _draw_stage(seed, frames, size, options)
    objects = tuple(_object(number, stage) for number in range(len(stage.cast.characters)))
    return ClipPlan(seed, stage.width, stage.height, frames, objects, stage.cuts, stage)


def draw_clip(
    seed: int,
    frames: int = 8,
    size: tuple[int, int] | None = None,
    options: ClipOptions = ClipOptions(),  # noqa: B008
) -> Clip:
    """Draw the whole clip of `seed`: the same arguments give the same bytes (see `plan_clip`)."""
    plan = plan_clip(seed, frames, size, options)
    images = np.empty((frames, plan.height, plan.width, 3), dtype=np.uint8)
    owner = np.empty((frames, plan.height, plan.width), dtype=np.uint8)
    whole = np.empty((frames, len(plan.objects)), dtype=np.int64)
    for index, drawn in enumerate(plan.frames()):
        images[index], owner[index], whole[index] = drawn.image, drawn.owner, drawn.whole
    return Clip(seed, images, owner, whole, plan.objects, plan.cuts)


def _object(number: int, stage: Stage) -> ClipObject:
    """Collect the words of object `number`; while a color fades into another, the nearer of the two counts."""
    character, part = stage.cast.characters[number], stage.parts[number]
    second = part.second_color or character.color
    colors = tuple(second if share > 0.5 else character.color for share in part.blend.tolist())
    model = stage.cast.twin_of[number]
    return ClipObject(
        id=number + 1,
        noun=character.noun,
        pattern=character.pattern,
        supercategory=SUPERCATEGORY[character.noun],
        colors=colors,
        role=part.role,
        twin_of=None if model is None else model + 1,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A shot from frame `first` on: `background` is larger than the image where the camera moves over it."""

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


def _draw_stage(seed: int, frames: int, size: tuple[int, int] | None, options: ClipOptions) -> Stage:
    """Everything about the clip of `seed` but its pixels."""
    rng = np.random.default_rng(seed)
    drawn = draw_size(options.scene(), rng)
    width, height = (drawn[0] // 2 * 2, drawn[1] // 2 * 2) if size is None else _checked(size)
    flat = rng.random() < FLAT_SCENES
    camera = _draw_camera(frames, width, height, options, rng)
    shots = _draw_shots(frames, width, height, camera, flat, options, rng)
    view = _view(shots[0].background, width, height, camera[0])
    cast = draw_clip_cast(width, height, hidden_colors(view), options, rng)
    parts = draw_parts(cast, frames, [shot.first for shot in shots], options, rng)
    sprites = _dress(cast, parts, view, shots[0].look, rng)
    order = _draw_order(cast, rng)
    finish = None if flat else draw_finish(rng)
    return Stage(width, height, seed, tuple(shots), cast, tuple(parts), sprites, order, camera, finish)


def _checked(size: tuple[int, int]) -> tuple[int, int]:
    if not all(16 <= side <= LARGEST_CLIP_SIDE for side in size):
        raise ValueError(f"expected a width and a height from 16 to {LARGEST_CLIP_SIDE} pixels, got {size}")
    return size


def _draw_camera(
    frames: int, width: int, height: int, options: ClipOptions, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw the way of the camera, (T, 2) xy pixels: a pan that turns back where the background ends, or nothing."""
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
    """Draw one shot, or two with a hard cut between them."""
    moving = bool(camera.any())
    wide = (width + 2 * int(MARGIN * width), height + 2 * int(MARGIN * height)) if moving else (width, height)
    draw = draw_near_white if flat else draw_background
    shots = [Shot(0, draw(*wide, rng), draw_look(flat, rng))]
    if rng.random() < options.cuts and frames >= 2 * FEWEST_FRAMES_A_SHOT:
        first = int(rng.integers(FEWEST_FRAMES_A_SHOT, frames - FEWEST_FRAMES_A_SHOT + 1))
        backgrounds = [draw_background(*wide, rng) for _ in range(CUT_TRIES)]
        shots.append(Shot(first, min(backgrounds, key=lambda image: len(hidden_colors(image))), shots[0].look))
    return shots


def _dress(
    cast: Cast, parts: list[Part], view: Image.Image, look: Look, rng: np.random.Generator
) -> tuple[tuple[Sprite, ...], ...]:
    """Paint the sprites of every object; twins share theirs, and a second color repeats the pattern of the first."""
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


def _draw_frame(stage: Stage, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
    """Draw frame `index`: (H, W, 3) RGB, (H, W) ids of what is seen, and (N,) pixels of whole silhouettes."""
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
    """Crop a copy of what the camera sees of the background."""
    left = (background.width - width) // 2 + round(float(camera[0]))
    top = (background.height - height) // 2 + round(float(camera[1]))
    left = min(max(left, 0), background.width - width)
    top = min(max(top, 0), background.height - height)
    return background.crop((left, top, left + width, top + height))


def _pose(stage: Stage, number: int, index: int) -> Actor | None:
    """Object `number` as it is in frame `index`, in the image or beside it; None where it is not in the scene."""
    part = stage.parts[number]
    if not part.there[index]:
        return None
    sprite = _colored(stage.sprites[number], float(part.blend[index]))
    scale, turn = float(part.scale[index]), float(part.turn[index])
    if scale != 1.0 or turn != 0.0:
        sprite = _transformed(sprite, scale, turn)
    x, y = (part.center[index] - stage.camera[index]).tolist()
    rows, columns = sprite.mask.shape
    character = stage.cast.characters[number]
    return Actor(character, sprite, round(x - columns / 2.0), round(y - rows / 2.0))


def _colored(sprites: tuple[Sprite, ...], blend: float) -> Sprite:
    """Choose the sprite in its first color, its second, or between the two."""
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
