"""Big drawn pictures: a crowd of small objects, or large ones that cross every seam with small ones between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.scenes.appearance import draw_look, dress, hidden_colors
from sam3_agent.scenes.background import draw_background
from sam3_agent.scenes.object_sampling import Character
from sam3_agent.scenes.placement import Layout, Placement
from sam3_agent.scenes.rng import pick
from sam3_agent.scenes.scene import Actor, Stack, paint_actors
from sam3_agent.scenes.silhouettes import Silhouette, draw_silhouette
from sam3_agent.scenes.vocabulary import COLORS

SIDE = 2048
CROWD = 150
SMALL = (12.0, 20.0)
"""Longer side of a small object, pixels."""
BETWEEN = 60
"""Small objects between large ones."""
COMPACT = ("circle", "square", "star", "cross", "heart", "house", "flower", "triangle", "car", "cup", "fish", "boat")
"""Nouns that can still be told apart at 12 pixels."""
ROUND = ("circle", "square", "star", "heart", "cross")
"""Nouns about as wide as high."""
GAP = 3.0
"""Pixels at least between two objects."""
TRIES = 400


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """One object with exactly its visible pixels."""

    noun: str
    rle: Rle
    longest: float
    """Longer side, pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class BigScene:
    """A picture, (H, W, 3) uint8 RGB, and everything in it."""

    image: NDArray[np.uint8]
    things: tuple[Thing, ...]

    @property
    def nouns(self) -> tuple[str, ...]:
        """List the phrases that can be asked for."""
        return tuple(dict.fromkeys(thing.noun for thing in self.things))

    def truth(self, noun: str) -> list[Rle]:
        """The masks of everything called that."""
        return [thing.rle for thing in self.things if thing.noun == noun]


def draw_crowd(seed: int, side: int = SIDE, count: int = CROWD) -> BigScene:
    """`count` small objects of three nouns, none over another."""
    rng = np.random.default_rng(seed)
    nouns = [str(noun) for noun in rng.choice(COMPACT, size=3, replace=False)]
    return _draw(side, [], [nouns[number % 3] for number in range(count)], rng)


def draw_seams(seed: int, side: int = SIDE, count: int = BETWEEN) -> BigScene:
    """Three large objects along a diagonal, which together cross every row and column of tiles, and small ones.

    A third of the small ones are called like a large one: a concept has instances of both sizes.
    """
    rng = np.random.default_rng(seed)
    large = [str(noun) for noun in rng.choice(ROUND, size=2, replace=False)]
    other = pick([noun for noun in COMPACT if noun not in large], rng)
    return _draw(side, [large[0], large[1], large[0]], [(large[1], other, other)[n % 3] for n in range(count)], rng)


def crosses_every_seam(scene: BigScene) -> bool:
    """Whether every row and column of pixels, but those next to the border, meets a large object."""
    side = scene.image.shape[0]
    met = np.zeros((2, side), dtype=bool)
    for thing in scene.things:
        if thing.longest > side / 4:
            x0, y0, x1, y1 = (int(v) for v in masks.box(thing.rle))
            met[0, x0:x1] = met[1, y0:y1] = True
    border = side // 25
    return bool(met[:, border : side - border].all())


def _draw(side: int, large: Sequence[str], small: Sequence[str], rng: np.random.Generator) -> BigScene:
    background = draw_background(side, side, rng)
    hidden = hidden_colors(background)
    colors = [color for color in COLORS if color not in hidden] or list(COLORS)
    cast = tuple(Character(noun, pick(colors, rng), "plain") for noun in (*large, *small))
    silhouettes = [*(_round(noun, rng) for noun in large), *(draw_silhouette(noun, rng) for noun in small)]
    layout = Layout(side, side, _diagonal(silhouettes[: len(large)], side, rng))
    for index in range(len(large), len(cast)):
        layout.placed.append(_free(index, silhouettes[index], layout, rng))
    look = draw_look(False, rng)
    sprites = dress(cast, silhouettes, layout, background, look, rng)
    actors = [Actor.at(cast[place.index], place, sprite) for place, sprite in zip(layout.placed, sprites, strict=True)]
    picture = paint_actors(Stack(tuple(actors), np.zeros((0, 0), dtype=np.uint8)), background, look)
    things = [_thing(actor, side) for actor in actors]
    for index in range(len(large) - 1):  # large ones may meet at their corners; the later one is in front
        behind = things[index]
        things[index] = replace(
            behind, rle=masks.subtract(behind.rle, *(t.rle for t in things[index + 1 : len(large)]))
        )
    return BigScene(np.asarray(picture), tuple(things))


def _round(noun: str, rng: np.random.Generator) -> Silhouette:
    """A silhouette about as wide as high."""
    return max((draw_silhouette(noun, rng) for _ in range(8)), key=lambda silhouette: min(silhouette.extent))


def _diagonal(silhouettes: Sequence[Silhouette], side: int, rng: np.random.Generator) -> list[Placement]:
    """Placements from corner to corner, each reaching past where the next one begins; one of the two diagonals."""
    places: list[Placement] = []
    mirrored = rng.random() < 0.5
    for index, silhouette in enumerate(silhouettes):
        part = side / len(silhouettes)
        size = 1.12 * part / min(silhouette.extent)
        width, height = size * silhouette.extent[0], size * silhouette.extent[1]
        x = min(max((index + 0.5) * part, width / 2 + GAP), side - width / 2 - GAP)
        y = min(max((index + 0.5) * part, height / 2 + GAP), side - height / 2 - GAP)
        places.append(Placement(index, side - x if mirrored else x, y, size, width, height))
    return places


def _free(index: int, silhouette: Silhouette, layout: Layout, rng: np.random.Generator) -> Placement:
    """A place for a small object over no other's bounds.

    Raises:
        ValueError: there is none.
    """
    size = rng.uniform(*SMALL)
    width, height = size * silhouette.extent[0], size * silhouette.extent[1]
    taken = np.array([(p.x, p.y, p.width, p.height) for p in layout.placed]).reshape(-1, 4)
    for _ in range(TRIES):
        x, y = rng.uniform(size, layout.width - size), rng.uniform(size, layout.height - size)
        apart_x = np.abs(taken[:, 0] - x) > (taken[:, 2] + width) / 2 + GAP
        apart_y = np.abs(taken[:, 1] - y) > (taken[:, 3] + height) / 2 + GAP
        if (apart_x | apart_y).all():
            return Placement(index, float(x), float(y), float(size), width, height)
    raise ValueError(f"no room for object {index} in {layout.width}x{layout.height} pixels")


def _thing(actor: Actor, side: int) -> Thing:
    x0, y0, _, _ = actor.window(side, side)
    rle = masks.place(masks.encode(actor.mask_in(side, side)), side, side, x0, y0)
    left, top, right, bottom = masks.box(rle)
    return Thing(actor.character.noun, rle, max(right - left, bottom - top))
