"""A generated scene: an image with the exact truth about every object in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter, ImageOps

from sam3_agent.scenes.appearance import Look, draw_look, dress, hidden_colors
from sam3_agent.scenes.background import draw_background, draw_near_white
from sam3_agent.scenes.camera_effects import draw_finish, finish_picture
from sam3_agent.scenes.object_sampling import Character, draw_cast
from sam3_agent.scenes.options import SceneOptions
from sam3_agent.scenes.placement import Layout, Placement, place_objects
from sam3_agent.scenes.rng import shuffled
from sam3_agent.scenes.silhouettes import draw_silhouette
from sam3_agent.scenes.sprite import Sprite
from sam3_agent.scenes.vocabulary import SUPERCATEGORY

LEAST_VISIBLE = 0.45
ROUNDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """A character painted as `sprite`, the corner of its patch at pixel (left, top)."""

    character: Character
    sprite: Sprite
    left: int
    top: int

    @classmethod
    def at(cls, character: Character, place: Placement, sprite: Sprite) -> Actor:
        """The actor whose patch is centerd on `place`."""
        height, width = sprite.mask.shape
        return cls(character, sprite, round(place.x - width / 2.0), round(place.y - height / 2.0))

    def window(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The part of a width x height image that the patch covers, xyxy pixels."""
        rows, columns = self.sprite.mask.shape
        return max(0, self.left), max(0, self.top), min(width, self.left + columns), min(height, self.top + rows)

    def mask_in(self, width: int, height: int) -> NDArray[np.bool_]:
        """The silhouette within `window`."""
        x0, y0, x1, y1 = self.window(width, height)
        return self.sprite.mask[y0 - self.top : y1 - self.top, x0 - self.left : x1 - self.left]


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Actors from back to front; `owner` is (H, W) uint8, the number (from 1) of the actor seen, 0 = background."""

    actors: tuple[Actor, ...]
    owner: NDArray[np.uint8]


def stack_actors(actors: Sequence[Actor], width: int, height: int) -> Stack:
    """The actors, some moved to the front or dropped, until at least LEAST_VISIBLE of each is seen."""
    order = list(actors)
    for turn in range(ROUNDS + len(order)):
        stack = Stack(tuple(order), _owners(order, width, height))
        fractions = [_visible(stack, number, width, height) for number in range(len(order))]
        worst = int(np.argmin(fractions)) if fractions else 0
        if not fractions or fractions[worst] >= LEAST_VISIBLE:
            return stack
        hidden = order.pop(worst)
        if turn < ROUNDS:
            order.append(hidden)
    return Stack(tuple(order), _owners(order, width, height))


def _owners(order: Sequence[Actor], width: int, height: int) -> NDArray[np.uint8]:
    """(H, W) the number, from 1, of the frontmost actor."""
    owner = np.zeros((height, width), dtype=np.uint8)
    for number, actor in enumerate(order, start=1):
        x0, y0, x1, y1 = actor.window(width, height)
        owner[y0:y1, x0:x1][actor.mask_in(width, height)] = number
    return owner


def _visible(stack: Stack, number: int, width: int, height: int) -> float:
    """The visible fraction of actor `number`."""
    actor = stack.actors[number]
    x0, y0, x1, y1 = actor.window(width, height)
    return float(np.count_nonzero(stack.owner[y0:y1, x0:x1] == number + 1)) / actor.sprite.area


def paint_actors(stack: Stack, background: Image.Image, look: Look) -> Image.Image:
    """The background with the actors painted on it, back to front (paints on `background` itself)."""
    for actor in stack.actors:
        if look.shadow > 0.0:
            _paint_shadow(background, actor, look)
        background.paste(actor.sprite.patch, (actor.left, actor.top), actor.sprite.patch)
    return background


def _paint_shadow(picture: Image.Image, actor: Actor, look: Look) -> None:
    """A soft dark copy of the silhouette, a little to the right of it and below."""
    alpha = actor.sprite.patch.getchannel("A")
    reach = max(3, max(alpha.size) // 10)
    small = ImageOps.expand(alpha, 2 * reach).reduce(4).filter(ImageFilter.BoxBlur(max(1.0, reach / 4)))
    dark = ImageChops.multiply(small, Image.new("L", small.size, round(255 * look.shadow)))
    shadow = dark.resize((alpha.width + 4 * reach, alpha.height + 4 * reach), Image.Resampling.BILINEAR)
    picture.paste((0, 0, 0), (actor.left - 2 * reach + reach // 2, actor.top - 2 * reach + reach // 2), shadow)


FLAT_SCENES = 0.15


@dataclass(frozen=True, slots=True, eq=False)
class SceneObject:
    """One object: its words and exactly the pixels of it that are visible; an unnamed shape has no supercategory ("").

    `mask` is (H, W) bool; `box` its bounds, xyxy pixels, x1 and y1 exclusive; `area` its pixels; `visible_fraction`
    the visible part of the complete silhouette, what the border cut off included; `depth` 0 is frontmost.
    """

    id: int
    noun: str
    color: str
    pattern: str
    supercategory: str
    mask: NDArray[np.bool_]
    box: tuple[float, float, float, float]
    area: int
    visible_fraction: float
    depth: int

    @property
    def cx(self) -> float:
        """Horizontal center of the box, pixels."""
        return (self.box[0] + self.box[2]) / 2.0

    @property
    def cy(self) -> float:
        """Vertical center of the box, pixels."""
        return (self.box[1] + self.box[3]) / 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An image, `image` (H, W, 3) uint8 RGB, and all objects in it, by id from 1."""

    seed: int
    width: int
    height: int
    image: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]


def generate_scene(seed: int, options: SceneOptions = SceneOptions()) -> Scene:  # noqa: B008 (frozen)
    """The scene of `seed`: the same seed and options give the same bytes."""
    rng = np.random.default_rng(seed)
    width, height = draw_size(options, rng)
    flat = options.style == "flat" or rng.random() < FLAT_SCENES
    background = (draw_near_white if flat else draw_background)(width, height, rng)
    count = int(rng.integers(options.min_objects, options.max_objects + 1))
    cast = draw_cast(count, options, hidden_colors(background), rng)
    look = draw_look(flat, rng)
    actors = _draw_actors(cast, background, look, options.min_objects, rng)
    stack = stack_actors(actors, width, height)
    picture = paint_actors(stack, background, look)
    image = np.asarray(picture) if flat else finish_picture(picture, draw_finish(rng))
    return Scene(seed, width, height, image, _objects(stack, width, height))


def draw_size(options: SceneOptions, rng: np.random.Generator) -> tuple[int, int]:
    """Width and height in pixels."""
    longer = math.exp(rng.uniform(math.log(options.min_side), math.log(options.max_side)))
    limit = math.log(options.max_aspect)
    aspect = math.exp(rng.uniform(-limit, limit))
    longer = min(options.max_side, max(options.min_side, round(longer)))
    shorter = max(1, math.ceil(longer / max(aspect, 1.0 / aspect)))
    return (longer, shorter) if aspect >= 1.0 else (shorter, longer)


def _draw_actors(
    cast: tuple[Character, ...], background: Image.Image, look: Look, least: int, rng: np.random.Generator
) -> list[Actor]:
    """The characters that found a place, painted, in random order from back to front."""
    silhouettes = [draw_silhouette(character.noun, rng) for character in cast]
    layout = Layout(background.width, background.height, [])
    place_objects([character.noun for character in cast], silhouettes, layout, least, rng)
    sprites = dress(cast, silhouettes, layout, background, look, rng)
    actors = [Actor.at(cast[p.index], p, sprite) for p, sprite in zip(layout.placed, sprites, strict=True)]
    return shuffled(actors, rng)


def _objects(stack: Stack, width: int, height: int) -> tuple[SceneObject, ...]:
    """The truth, in the order of the stack's actors, ids from 1."""
    masks = np.zeros((len(stack.actors), height, width), dtype=np.bool_)
    objects: list[SceneObject] = []
    for number, (actor, mask) in enumerate(zip(stack.actors, masks, strict=True)):
        x0, y0, x1, y1 = actor.window(width, height)
        seen = stack.owner[y0:y1, x0:x1] == number + 1
        mask[y0:y1, x0:x1] = seen
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        box = (x0 + columns[0], y0 + rows[0], x0 + columns[-1] + 1, y0 + rows[-1] + 1)
        area = int(np.count_nonzero(seen))
        character = actor.character
        objects.append(
            SceneObject(
                id=number + 1,
                noun=character.noun,
                color=character.color,
                pattern=character.pattern,
                supercategory=SUPERCATEGORY.get(character.noun, ""),
                mask=mask,
                box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                area=area,
                visible_fraction=area / actor.sprite.area,
                depth=len(stack.actors) - 1 - number,
            )
        )
    return tuple(objects)
