"""Scenes that hold a noun and scenes that do not; also of gears and hourglasses, which no training has shown."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sam3_agent import masks
from sam3_agent.masks import Box, Rle
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.scenes.vocabulary import COLORS

GEAR, HOURGLASS = "gear", "hourglass"
NEW = (GEAR, HOURGLASS)
"""Nouns that no scene of a training has: what is drawn here is then all there is of them on an image."""
PLACES = 40
"""Tried for each new object: those of scenes hardly hide each other either."""
LEAST_PIXELS = 60
"""Of a new object that others hide; less is nothing that a person would mark."""
OVERSAMPLED = 4
"""New things are drawn so many times larger and scaled down, for smooth edges."""


@dataclass(frozen=True, slots=True)
class Labeled:
    """A scene with every object of the noun in question."""

    image: NDArray[np.uint8]
    """(H, W, 3)"""
    objects: tuple[Rle, ...]

    @property
    def boxes(self) -> list[Box]:
        """Tight boxes of the objects."""
        return [masks.box(rle) for rle in self.objects]


def with_noun(noun: str, first_seed: int) -> Iterator[Labeled]:
    """Scenes that hold the noun, without end."""
    colors = sorted(COLORS)
    seed = first_seed
    while True:
        if noun in NEW:
            yield _labeled(with_new(seed, {noun: int(np.random.default_rng(seed).integers(1, 5))}), noun)
        else:
            scene = generate_scene(seed, SceneOptions(required_pairs=((noun, colors[seed % len(colors)]),)))
            objects = tuple(masks.encode(o.mask) for o in scene.objects if o.noun == noun)
            if objects:
                yield Labeled(scene.image, objects)
        seed += 1


def without_noun(noun: str, first_seed: int) -> Iterator[Labeled]:
    """Scenes that do not hold the noun, without end."""
    seed = first_seed
    while True:
        scene = generate_scene(seed, SceneOptions())
        if all(o.noun != noun for o in scene.objects):
            yield Labeled(scene.image, ())
        seed += 1


@dataclass(frozen=True, slots=True)
class NewScene:
    """A scene among whose objects some of new nouns were put."""

    image: NDArray[np.uint8]
    """(H, W, 3)"""
    objects: dict[str, tuple[Rle, ...]]
    """By new noun, what is to be seen of each."""


def _labeled(scene: NewScene, noun: str) -> Labeled:
    return Labeled(scene.image, scene.objects[noun])


def with_new(seed: int, counts: dict[str, int]) -> NewScene:
    """So many objects of each new noun among those of a scene, each at the freest of PLACES places."""
    scene = generate_scene(seed, SceneOptions(max_objects=10))
    image, taken = scene.image.copy(), np.zeros(scene.image.shape[:2], bool)
    for thing in scene.objects:
        taken |= thing.mask
    rng = np.random.default_rng(seed)
    rng.integers(1, 5)  # the number of gears, when they were the only new noun: the same scenes as then
    height, width = scene.height, scene.width
    shapes: list[tuple[str, NDArray[np.bool_]]] = []
    for noun in [noun for noun, count in counts.items() for _ in range(count)]:
        side = int(min(height, width) * rng.uniform(0.12, 0.32))
        places = [(int(rng.integers(0, height - side)), int(rng.integers(0, width - side))) for _ in range(PLACES)]
        top, left = min(places, key=lambda p: np.count_nonzero(taken[p[0] : p[0] + side, p[1] : p[1] + side]))
        cover = (_gear if noun == GEAR else _hourglass)(side, rng)  # (side, side) 0-1
        color = np.array(list(COLORS.values())[int(rng.integers(len(COLORS)))], np.float64)
        color = np.clip(color * rng.uniform(0.8, 1.1) + rng.normal(0, 4, (side, side, 1)), 0, 255)
        part = image[top : top + side, left : left + side]
        part[:] = (cover[..., None] * color + (1 - cover[..., None]) * part).round().astype(np.uint8)
        mask = np.zeros((height, width), bool)
        mask[top : top + side, left : left + side] = cover > 0.5
        taken |= mask
        shapes = [*((name, shape & ~mask) for name, shape in shapes), (noun, mask)]
    seen = [(name, masks.encode(shape)) for name, shape in shapes if np.count_nonzero(shape) > LEAST_PIXELS]
    return NewScene(image, {noun: tuple(rle for name, rle in seen if name == noun) for noun in counts})


def _gear(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(side, side) cover of a cog wheel with 8 to 14 teeth and a hole."""
    size = side * OVERSAMPLED
    teeth, turn, root = int(rng.integers(8, 15)), rng.uniform(0, 2 * np.pi), rng.uniform(0.72, 0.82)
    points: list[tuple[float, float]] = []
    for corner in range(teeth * 4):
        angle = turn + corner * math.pi / (teeth * 2)
        radius = size * 0.48 * (1.0 if corner % 4 < 2 else root)
        points.append((size / 2 + radius * math.cos(angle), size / 2 + radius * math.sin(angle)))
    canvas = Image.new("L", (size, size), 0)
    draw = ImageDraw.Draw(canvas)
    draw.polygon(points, fill=255)
    hole = size * rng.uniform(0.1, 0.2)
    draw.ellipse((size / 2 - hole, size / 2 - hole, size / 2 + hole, size / 2 + hole), fill=0)
    return np.asarray(canvas.resize((side, side), Image.Resampling.BOX), np.float64) / 255


def _hourglass(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(side, side) cover of an hourglass between two plates, turned by any angle."""
    size = side * OVERSAMPLED
    wide, waist, plate = rng.uniform(0.24, 0.34), rng.uniform(0.03, 0.06), rng.uniform(0.05, 0.09)
    turn, edge = rng.uniform(0, 2 * np.pi), 0.46 - plate
    right = [(wide + 0.05, -0.46), (wide + 0.05, -edge), (wide, -edge), (waist, 0.0)]
    right += [(x, -y) for x, y in reversed(right[:3])]
    outline = right + [(-x, y) for x, y in reversed(right)]
    points = [
        (
            size * (0.5 + x * math.cos(turn) - y * math.sin(turn)),
            size * (0.5 + x * math.sin(turn) + y * math.cos(turn)),
        )
        for x, y in outline
    ]
    canvas = Image.new("L", (size, size), 0)
    ImageDraw.Draw(canvas).polygon(points, fill=255)
    return np.asarray(canvas.resize((side, side), Image.Resampling.BOX), np.float64) / 255
