"""Simulated clicks and boxes on known masks, after SAM (arXiv 2304.02643, appendix A) and SAM 2 (2408.00714).

Everything here is in cells of a mask grid; a point at the center of cell (row, column) is (column + 0.5, row + 0.5).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
"""(x, y)"""
Click = tuple[float, float, int]
"""(x, y, label): 1 belongs to the object, 0 does not."""
Flags = NDArray[np.bool_]


def interior_point(mask: Flags) -> Point:
    """The center of the (H, W) mask's cell that lies furthest from its border; the border of the image counts as one.

    Of several such cells it is the one nearest to their mean. The mask must not be empty.
    """
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    rows, columns = np.nonzero(depth >= depth.max() - 1e-4)
    nearest = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    return (float(columns[nearest]) + 0.5, float(rows[nearest]) + 0.5)


def random_point(mask: Flags, rng: np.random.Generator) -> Point:
    """Anywhere inside the (H, W) mask, which must not be empty."""
    places = np.flatnonzero(mask)
    row, column = divmod(int(places[int(rng.integers(len(places)))]), mask.shape[1])
    return (column + float(rng.random()), row + float(rng.random()))


def several_clicks(mask: Flags, count: int, rng: np.random.Generator) -> list[Click]:
    """One click inside, then more of either sign; those outside lie within twice the object's box."""
    inside: list[Click] = [(*random_point(mask, rng), 1)]
    near = _surroundings(mask)
    for _ in range(count - 1):
        if near.any() and rng.random() < 0.5:
            inside.append((*random_point(near, rng), 0))
        else:
            inside.append((*random_point(mask, rng), 1))
    return inside


def correction(truth: Flags, answered: Flags, rng: np.random.Generator) -> Click:
    """The next click of someone who sees the answer: on what is missing or on what is too much.

    The larger of the two more often (by its area); half of the time at its most interior point, else anywhere in it. An
    answer without a fault gets another click inside.
    """
    missing, extra = truth & ~answered, answered & ~truth
    fault = int(missing.sum()) + int(extra.sum())
    if not fault:
        return (*random_point(truth, rng), 1)
    label = int(rng.random() < int(missing.sum()) / fault)
    region = missing if label else extra
    point = interior_point(region) if rng.random() < 0.5 else random_point(region, rng)
    return (*point, label)


def shaken_box(box: NDArray[np.float32], limit: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A (4,) xyxy box as a hand draws it: each edge off by a tenth of the side (one standard deviation), or exact.

    Stays within 0 and `limit`, at least a cell wide.
    """
    if rng.random() < 0.4:
        return box
    side = np.array([box[2] - box[0], box[3] - box[1]] * 2, dtype=np.float32)
    shaken = np.clip(box + rng.normal(0, 0.1, size=4).astype(np.float32).clip(-0.25, 0.25) * side, 0, limit)
    shaken[2:] = np.maximum(shaken[2:], shaken[:2] + 1)
    return shaken.astype(np.float32)


def _surroundings(mask: Flags) -> Flags:
    """Return what is not the object, within its box enlarged twice."""
    rows, columns = np.nonzero(mask)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    high, wide = (bottom - top + 1) // 2 + 1, (right - left + 1) // 2 + 1
    near = np.zeros_like(mask)
    near[max(0, top - high) : bottom + high, max(0, left - wide) : right + wide] = True
    return near & ~mask
