"""Background of a scene."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from sam3_agent.scenes.palette import RGB, clip_rgb
from sam3_agent.scenes.rng import pick

KINDS = ("plain", "gradient", "noise", "checks", "grid", "blobs", "white", "black", "bright")
WEIGHTS = (0.14, 0.18, 0.12, 0.1, 0.1, 0.14, 0.06, 0.06, 0.1)

MUTED: tuple[RGB, ...] = (
    (128, 128, 128),
    (88, 92, 98),
    (186, 188, 190),
    (222, 208, 182),
    (150, 132, 112),
    (96, 78, 64),
    (112, 122, 96),
    (176, 186, 160),
    (96, 116, 128),
    (178, 196, 208),
    (150, 140, 160),
    (196, 172, 168),
    (48, 54, 66),
    (52, 62, 54),
)
BRIGHT: tuple[RGB, ...] = (
    (128, 200, 245),
    (190, 232, 140),
    (250, 232, 150),
    (255, 204, 170),
    (206, 190, 250),
    (120, 220, 205),
    (70, 140, 150),
    (205, 110, 90),
)


def draw_background(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """An RGB background of a random kind, in low contrast."""
    kind = KINDS[int(np.searchsorted(np.cumsum(WEIGHTS), rng.random() * sum(WEIGHTS)))]
    if kind == "white":
        return draw_near_white(width, height, rng)
    if kind == "black":
        return Image.new("RGB", (width, height), clip_rgb(rng.integers(4, 22, size=3)))
    table = BRIGHT if kind == "bright" else MUTED
    base = np.array(pick(table, rng)) + rng.integers(-10, 11, size=3)
    if kind == "gradient":
        return _stretched(base + rng.integers(-34, 35, size=(2, 2, 3)), width, height, Image.Resampling.BILINEAR)
    if kind == "noise":
        cell = int(rng.integers(6, 14))
        rows, columns = max(2, height * cell // 200), max(2, width * cell // 200)
        return _stretched(
            base + rng.integers(-14, 15, size=(rows, columns, 1)), width, height, Image.Resampling.BILINEAR
        )
    if kind == "checks":
        rows = int(rng.integers(6, 13))
        columns = max(2, round(rows * width / height))
        sign = np.add.outer(np.arange(rows), np.arange(columns)) % 2 * 2 - 1
        return _stretched(base + sign[:, :, None] * rng.integers(5, 14), width, height, Image.Resampling.NEAREST)
    if kind == "blobs":
        return _stretched(base + rng.integers(-22, 23, size=(6, 6, 3)), width, height, Image.Resampling.BICUBIC)
    plain = Image.new("RGB", (width, height), clip_rgb(base))
    return _ruled(plain, base, rng) if kind == "grid" else plain


def draw_near_white(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """A background of one near-white tone."""
    return Image.new("RGB", (width, height), clip_rgb(255 - rng.integers(0, 9, size=3)))


def _stretched(
    values: np.ndarray[tuple[int, ...], np.dtype[np.int64]], width: int, height: int, how: Image.Resampling
) -> Image.Image:
    """(h, w, 3) RGB `values`, clipped to 0-255, enlarged to the image."""
    small = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    return small.resize((width, height), how)


def _ruled(
    image: Image.Image, base: np.ndarray[tuple[int, ...], np.dtype[np.int64]], rng: np.random.Generator
) -> Image.Image:
    """`image` with a grid of thin lines a little darker or lighter than `base`."""
    draw = ImageDraw.Draw(image)
    ink = clip_rgb(base + int(rng.choice((-1, 1))) * rng.integers(12, 26))
    step = max(image.size) / rng.uniform(6, 14)
    line = max(1, max(image.size) // 300)
    for x in np.arange(rng.uniform(0, step), image.width, step).tolist():
        draw.line((x, 0, x, image.height), fill=ink, width=line)
    for y in np.arange(rng.uniform(0, step), image.height, step).tolist():
        draw.line((0, y, image.width, y), fill=ink, width=line)
    return image
