"""One query's mask and box as a `Candidate` in original pixels."""

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.masks import Box, Rle
from sam3_agent.types import Candidate


def to_candidate(rle: Rle, box: NDArray[np.float64], object_score: float) -> Candidate | None:
    """The candidate, or None where its mask has no pixel.

    Its box is the model's own, clipped to the image, and so not always the tight box of its mask; where the model's box
    lies outside the image, it is the mask's.

    Args:
        rle: at original size.
        box: (4,) xyxy, shares of the image.
        object_score: without presence.
    """
    height, width = rle.size
    if masks.area(rle) == 0:
        return None
    return Candidate(rle, _pixels(box, height, width) or masks.box(rle), object_score)


def _pixels(box: NDArray[np.float64], height: int, width: int) -> Box | None:
    x0, x1 = (float(v) for v in np.clip(box[[0, 2]] * width, 0, width))
    y0, y1 = (float(v) for v in np.clip(box[[1, 3]] * height, 0, height))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None
