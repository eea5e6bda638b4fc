"""What can be said about one mask without asking the eye again."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.masks import Box, Rle
from sam3_agent.types import Instance
from sam3_agent.workspace.colours import ColourShare, dominant_colours

_GRID = 64
"""A mask is looked at on at most this many rows and columns of its box."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Geometry, colours and scores of one mask."""

    phrase: str
    """What was asked when it was found, or how it was combined."""
    centre: tuple[float, float]
    """Centre of its box, pixels."""
    area: int
    """Pixels."""
    area_share: float
    """Of the whole image, 0-1."""
    colours: tuple[ColourShare, ...]
    """Largest share first; measured away from the edge of the mask."""
    concept_scores: dict[str, float]
    """Phrase asked on this image -> best score of this same object under it."""


def centre_of(box: Box) -> tuple[float, float]:
    """The centre of an xyxy box."""
    return ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def colours_of(pixels: NDArray[np.uint8], instance: Instance) -> tuple[ColourShare, ...]:
    """Dominant colours of the inner pixels of a mask in an (H, W, 3) picture."""
    rows, columns = sample_grid(instance.rle)
    if rows.size == 0:
        return ()
    inside = masks.sample(instance.rle, rows, columns)  # (rows, columns)
    inner = _erode(_erode(inside))
    chosen = next(m for m in (inner, _erode(inside), inside) if m.sum() >= min(12, int(inside.sum())))
    return dominant_colours(pixels[np.ix_(rows, columns)][chosen])


def sample_grid(rle: Rle) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of a regular grid over the tight box of a mask; both empty for an empty mask."""
    x0, y0, x1, y1 = (int(v) for v in masks.box(rle))
    return _spread(y0, y1), _spread(x0, x1)


def _spread(start: int, stop: int) -> NDArray[np.intp]:
    count = min(stop - start, _GRID)
    if count <= 0:
        return np.zeros(0, dtype=np.intp)
    return (start + (np.arange(count) + 0.5) * (stop - start) / count).astype(np.intp)


def _erode(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the pixels that touch the outside, of which the border of the array is part."""
    padded = np.pad(mask, 1)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
