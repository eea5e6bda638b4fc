"""Painted objects laid over one another, so that each stays visible enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter, ImageOps

from sam3_agent.scenes.appearance import Look
from sam3_agent.scenes.object_sampling import Character
from sam3_agent.scenes.placement import Placement
from sam3_agent.scenes.sprite import Sprite

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
        """The actor whose patch is centred on `place`."""
        height, width = sprite.mask.shape
        return cls(character, sprite, round(place.x - width / 2.0), round(place.y - height / 2.0))

    def window(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The part of a width x height picture that the patch covers, xyxy pixels."""
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
