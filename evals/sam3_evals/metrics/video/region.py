"""J, F and J&F of one object in a video: the region's IoU and the boundary's F, averaged over frames.

Source: DAVIS (Perazzi et al. 2016; davisvideochallenge/davis2017-evaluation `metrics.py`), as the benchmarks of
referring video segmentation use it: all frames count, the first and last included; a frame in which neither truth nor
prediction has a pixel counts 1 in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle

TOLERANCE = 0.008
"""Of the diagonal: boundaries this near each other agree."""


@dataclass(frozen=True, slots=True)
class RegionScore:
    """Means over the frames of one video; in 0..1."""

    j: float
    f: float

    @property
    def jf(self) -> float:
        """The mean of both."""
        return (self.j + self.f) / 2


def score_frames(predicted: Sequence[Rle | None], truth: Sequence[Rle | None]) -> RegionScore:
    """Score one object, frame by frame; None where it has no pixel.

    Raises:
        InputError: there is no frame, or their numbers differ.
    """
    if not truth or len(predicted) != len(truth):
        raise InputError(f"{len(predicted)} predicted frames for {len(truth)} true ones")
    js, fs = zip(*(frame_score(one, other) for one, other in zip(predicted, truth, strict=True)), strict=True)
    return RegionScore(float(np.mean(js)), float(np.mean(fs)))


def frame_score(predicted: Rle | None, truth: Rle | None) -> tuple[float, float]:
    """(J, F) of one frame.

    Raises:
        InputError: the masks are of different sizes.
    """
    there = [rle is not None and masks.area(rle) > 0 for rle in (predicted, truth)]
    if predicted is None or truth is None or not all(there):
        return (0.0, 0.0) if any(there) else (1.0, 1.0)
    return float(masks.iou([predicted], [truth])[0, 0]), boundary_f(masks.decode(predicted), masks.decode(truth))


def boundary_f(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """F of the boundaries of two (H, W) masks: pixels within the tolerance of the other boundary are hits."""
    radius = float(np.ceil(TOLERANCE * np.hypot(*truth.shape)))
    window = _window(predicted | truth, int(radius) + 2)
    one, other = (_boundary(mask, window) for mask in (predicted, truth))
    ours, theirs = int(one.sum()), int(other.sum())
    if not ours or not theirs:
        return float(ours == theirs)
    precision = (one & (_distance(other) <= radius)).sum() / ours
    recall = (other & (_distance(one) <= radius)).sum() / theirs
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _window(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """The part of a (H, W) mask that matters: its box with a margin, within the frame."""
    spans: list[slice] = []
    for axis, side in ((1, mask.shape[0]), (0, mask.shape[1])):
        lines = np.flatnonzero(mask.any(axis=axis))
        if not lines.size:
            return (slice(0, 1), slice(0, 1))
        spans.append(slice(max(int(lines[0]) - margin, 0), min(int(lines[-1]) + margin + 1, side)))
    return (spans[0], spans[1])


def _boundary(mask: NDArray[np.bool_], window: tuple[slice, slice]) -> NDArray[np.bool_]:
    """Boundary pixels of a (H, W) mask within a window: those that differ from the right, lower or diagonal neighbor.

    The last row and column of the frame have no such neighbor and are compared with the one that there is, as in DAVIS.
    """
    part = mask[window]
    padded = np.pad(part, ((0, 1), (0, 1)), mode="edge")
    right, below, across = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    found = (part ^ right) | (part ^ below) | (part ^ across)
    found[-1, :] = part[-1, :] ^ right[-1, :]
    found[:, -1] = part[:, -1] ^ below[:, -1]
    found[-1, -1] = False
    return found


def _distance(boundary: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(H, W) pixels to the nearest boundary pixel; as far as the tolerance it equals a dilation by a disk."""
    return np.asarray(
        cv2.distanceTransform((~boundary).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), dtype=np.float32
    )
