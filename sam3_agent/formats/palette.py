"""Colors for index images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.formats.label_set import MaskLabel


def voc_colors(count: int = 256) -> NDArray[np.uint8]:
    """Give (count, 3) RGB, the color map of Pascal VOC (its VOClabelcolormap: bits of the index over channels)."""
    index = np.arange(count)
    colors = np.zeros((count, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= (((index >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colors


def index_picture(values: NDArray[np.uint8]) -> Image.Image:
    """Give (H, W) indices as a palette picture."""
    picture = Image.fromarray(values)
    picture.putpalette(voc_colors().ravel().tolist())
    return picture


def painted(labels: Sequence[MaskLabel], values: Sequence[int], size: tuple[int, int]) -> tuple[NDArray[np.int32], int]:
    """Give (H, W) values of the labels, small ones over large ones, 0 elsewhere, and how many lost a pixel so."""
    canvas = np.zeros(size, dtype=np.int32)
    order = sorted(range(len(labels)), key=lambda i: (-masks.area(labels[i].rle), i))
    owner = np.full(size, -1, dtype=np.int32)
    lost: set[int] = set()
    for index in order:
        mask = masks.decode(labels[index].rle)
        lost.update(int(v) for v in np.unique(owner[mask]) if v >= 0)
        owner[mask] = index
        canvas[mask] = values[index]
    return canvas, len(lost)
