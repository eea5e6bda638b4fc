"""Camera effects on a finished image: uneven light, blur, sensor noise, JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

LIT = 0.6
BLURRED = 0.2
NOISY = 0.5
COMPRESSED = 0.12
TILE = 256
LIGHT_ONE = 128
"""The value that means a factor of 1 in a light map."""


@dataclass(frozen=True, slots=True, eq=False)
class Finish:
    """One setting of the camera; None where it does not do a thing.

    `blur` is a radius in pixels of an image up to 700 wide; `light` (2, 2) factors at the corners, LIGHT_ONE is 1;
    `noise` the strength (standard deviation in quarters of a level) and where in the tile it begins; `quality` JPEG's.
    """

    blur: float | None
    light: NDArray[np.float64] | None
    noise: tuple[int, tuple[int, int]] | None
    quality: int | None


def draw_finish(rng: np.random.Generator) -> Finish:
    """A random setting: each of the four with its own probability."""
    blur = rng.uniform(0.3, 0.8) if rng.random() < BLURRED else None
    lit, noisy, compressed = rng.random() < LIT, rng.random() < NOISY, rng.random() < COMPRESSED
    light = rng.uniform(0.76, 1.1, size=(2, 2)) * LIGHT_ONE if lit else None
    noise = (int(rng.integers(8, 40)), draw_noise_start(rng)) if noisy else None
    return Finish(blur, light, noise, int(rng.integers(45, 88)) if compressed else None)


def draw_noise_start(rng: np.random.Generator) -> tuple[int, int]:
    """A random place in the tile of noise to begin at."""
    down, right = rng.integers(0, TILE, size=2).tolist()
    return down, right


def finish_picture(picture: Image.Image, finish: Finish) -> NDArray[np.uint8]:
    """(H, W, 3) RGB: `image` (mode RGB) as the camera takes it."""
    if finish.blur is not None:
        picture = picture.filter(ImageFilter.BoxBlur(finish.blur * max(1.0, max(picture.size) / 700)))
    pixels = np.asarray(picture)
    if finish.light is not None or finish.noise is not None:
        wide = pixels.astype(np.int16)
        if finish.light is not None:
            wide = _light(wide, finish.light)
        if finish.noise is not None:
            wide += _noise(wide.shape[0], wide.shape[1], *finish.noise)
        pixels = np.clip(wide, 0, 255, out=wide).astype(np.uint8)
    return np.ascontiguousarray(pixels) if finish.quality is None else _compress(pixels, finish.quality)


def _light(pixels: NDArray[np.int16], corners: NDArray[np.float64]) -> NDArray[np.int16]:
    """`pixels` (H, W, 3) times a smooth map of factors from about 0.75 to 1.1."""
    small = Image.fromarray(corners.astype(np.uint8))
    factors = np.asarray(small.resize((pixels.shape[1], pixels.shape[0]), Image.Resampling.BILINEAR))
    lit = pixels.astype(np.uint16) * factors[:, :, None]
    return (lit >> 7).astype(np.int16)


@cache
def _noise_tile() -> NDArray[np.int16]:
    """(TILE, TILE, 3) normal noise with a standard deviation of 64, always the same."""
    noise = np.random.default_rng(0).normal(0.0, 64.0, size=(TILE, TILE, 3))
    return np.clip(noise, -250, 250).astype(np.int16)


def _noise(height: int, width: int, strength: int, start: tuple[int, int]) -> NDArray[np.int16]:
    """(H, W, 3) sensor noise, or grain that is the same in each channel."""
    tile = np.roll(_noise_tile(), start, axis=(0, 1))
    tile = (tile * np.int16(strength)) >> 8
    if height > TILE or width > TILE:
        tile = np.tile(tile, (-(-height // TILE), -(-width // TILE), 1))
    return tile[:height, :width]


def _compress(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """`pixels` (H, W, 3) through JPEG at a middling quality."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))
