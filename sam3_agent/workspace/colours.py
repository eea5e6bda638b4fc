"""Dominant colours of some pixels, in words."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NAMES: tuple[str, ...] = (
    "red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown", "white", "grey", "black",
)  # fmt: skip
_INDEX = {name: index for index, name in enumerate(NAMES)}
_HUES = ((15, "red"), (42, "orange"), (68, "yellow"), (165, "green"), (195, "cyan"), (255, "blue"), (292, "purple"))
"""Upper hue in degrees -> name; then pink up to 345, then red again."""


@dataclass(frozen=True, slots=True)
class ColourShare:
    """One colour and the share of the pixels that have it, 0-1."""

    name: str
    share: float


def dominant_colours(
    pixels: NDArray[np.uint8], *, at_most: int = 3, least_share: float = 0.05
) -> tuple[ColourShare, ...]:
    """Name the colours of (N, 3) RGB pixels, largest share first; colours below `least_share` are left out."""
    if len(pixels) == 0:
        return ()
    counts = np.bincount(colour_index(pixels), minlength=len(NAMES))
    order = np.argsort(-counts, kind="stable")[:at_most]
    shares = counts / len(pixels)
    return tuple(ColourShare(NAMES[int(i)], round(float(shares[i]), 2)) for i in order if shares[i] >= least_share)


def colour_index(pixels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """(N,) index into NAMES of each of (N, 3) RGB pixels, by hue, saturation, value with a few human corrections."""
    hue, saturation, value = _hsv(pixels)
    result = np.full(len(pixels), _INDEX["red"], dtype=np.intp)
    lower = 15.0
    for upper, name in _HUES[1:]:
        result[(hue >= lower) & (hue < upper)] = _INDEX[name]
        lower = float(upper)
    result[(hue >= lower) & (hue < 345)] = _INDEX["pink"]
    result[(hue >= lower) & (hue < 345) & (value < np.where(hue < 320, 0.6, 0.5))] = _INDEX["purple"]
    reddish = (hue < 15) | (hue >= 345)
    result[reddish & (saturation < 0.6) & (value > 0.75)] = _INDEX["pink"]
    earthy = (hue < 45) & (saturation > 0.25) & (value >= 0.2)
    result[earthy & (value < 0.68) & ~(reddish & (saturation > 0.7))] = _INDEX["brown"]
    result[earthy & (hue >= 15) & (saturation < 0.45) & (value < 0.9)] = _INDEX["brown"]
    result[(hue < 15) & (value < 0.42) & (saturation > 0.25)] = _INDEX["brown"]
    dull = (saturation < 0.12) | ((saturation < 0.2) & (value < 0.5))
    result[dull] = _INDEX["grey"]
    result[dull & (value > 0.78)] = _INDEX["white"]
    result[(value < 0.2) | (dull & (value < 0.25))] = _INDEX["black"]
    return result


def _hsv(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Hue in degrees 0-360, saturation and value 0-1, each (N,)."""
    rgb = pixels.astype(np.float32) / 255
    red, green, blue = rgb[:, 0], rgb[:, 1], rgb[:, 2]
    value = rgb.max(axis=1)
    chroma = value - rgb.min(axis=1)
    safe = np.where(chroma > 0, chroma, 1)
    hue = np.where(
        value == red,
        ((green - blue) / safe) % 6,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    saturation = np.where(value > 0, chroma / np.where(value > 0, value, 1), 0)
    return (hue * 60).astype(np.float32), saturation.astype(np.float32), value
