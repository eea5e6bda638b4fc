"""What the camera does to a finished picture: uneven light, blur, sensor noise, JPEG."""

from __future__ import annotations

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


def finish_picture(picture: Image.Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) RGB: `picture` (mode RGB) after each of the four, each with its own probability."""
    if rng.random() < BLURRED:
        picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(0.3, 0.8) * max(1.0, max(picture.size) / 700)))
    lit, noisy, compressed = rng.random() < LIT, rng.random() < NOISY, rng.random() < COMPRESSED
    pixels = np.asarray(picture)
    if lit or noisy:
        wide = pixels.astype(np.int16)
        if lit:
            wide = _light(wide, rng)
        if noisy:
            wide += _noise(wide.shape[0], wide.shape[1], rng)
        pixels = np.clip(wide, 0, 255, out=wide).astype(np.uint8)
    return _compress(pixels, rng) if compressed else np.ascontiguousarray(pixels)


def _light(pixels: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
    """`pixels` (H, W, 3) times a smooth map of factors from about 0.75 to 1.1."""
    corners = rng.uniform(0.76, 1.1, size=(2, 2)) * LIGHT_ONE
    small = Image.fromarray(corners.astype(np.uint8))
    factors = np.asarray(small.resize((pixels.shape[1], pixels.shape[0]), Image.Resampling.BILINEAR))
    lit = pixels.astype(np.uint16) * factors[:, :, None]
    return (lit >> 7).astype(np.int16)


@cache
def _noise_tile() -> NDArray[np.int16]:
    """(TILE, TILE, 3) normal noise with a standard deviation of 64, always the same."""
    noise = np.random.default_rng(0).normal(0.0, 64.0, size=(TILE, TILE, 3))
    return np.clip(noise, -250, 250).astype(np.int16)


def _noise(height: int, width: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """(H, W, 3) sensor noise, or grain that is the same in each channel."""
    strength = int(rng.integers(8, 40))  # standard deviation in quarters of a level
    tile = np.roll(_noise_tile(), tuple(rng.integers(0, TILE, size=2).tolist()), axis=(0, 1))
    tile = (tile * np.int16(strength)) >> 8
    if height > TILE or width > TILE:
        tile = np.tile(tile, (-(-height // TILE), -(-width // TILE), 1))
    return tile[:height, :width]


def _compress(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """`pixels` (H, W, 3) through JPEG at a middling quality."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(45, 88)))
    return np.asarray(Image.open(buffer).convert("RGB"))
