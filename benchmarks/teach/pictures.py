"""Scenes that hold a noun and scenes that do not; also of a gear, a noun that the tiny model was never shown."""

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

GEAR = "gear"
PLACES = 40
"""Tried for each gear: objects of scenes hardly hide each other either."""
LEAST_PIXELS = 60
"""Of a gear that others hide; less is nothing that a person would mark."""
OVERSAMPLED = 4
"""Gears are drawn so many times larger and scaled down, for smooth edges."""


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
        if noun == GEAR:
            yield _with_gears(seed)
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


def _with_gears(seed: int) -> Labeled:
    """One to four gears among the objects of a scene, each at the freest of PLACES places."""
    scene = generate_scene(seed, SceneOptions(max_objects=10))
    image, taken = scene.image.copy(), np.zeros(scene.image.shape[:2], bool)
    for thing in scene.objects:
        taken |= thing.mask
    rng = np.random.default_rng(seed)
    height, width = scene.height, scene.width
    shapes: list[NDArray[np.bool_]] = []
    for _ in range(int(rng.integers(1, 5))):
        side = int(min(height, width) * rng.uniform(0.12, 0.32))
        places = [(int(rng.integers(0, height - side)), int(rng.integers(0, width - side))) for _ in range(PLACES)]
        top, left = min(places, key=lambda p: np.count_nonzero(taken[p[0] : p[0] + side, p[1] : p[1] + side]))
        cover = _gear(side, rng)  # (side, side) 0-1
        color = np.array(list(COLORS.values())[int(rng.integers(len(COLORS)))], np.float64)
        color = np.clip(color * rng.uniform(0.8, 1.1) + rng.normal(0, 4, (side, side, 1)), 0, 255)
        part = image[top : top + side, left : left + side]
        part[:] = (cover[..., None] * color + (1 - cover[..., None]) * part).round().astype(np.uint8)
        mask = np.zeros((height, width), bool)
        mask[top : top + side, left : left + side] = cover > 0.5
        taken |= mask
        shapes = [*(shape & ~mask for shape in shapes), mask]
    return Labeled(image, tuple(masks.encode(shape) for shape in shapes if np.count_nonzero(shape) > LEAST_PIXELS))


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
