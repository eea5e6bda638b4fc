"""Clicks and boxes as the tracker half reads them, and its answers as masks of the original."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_agent.model.features import ImageFeatures
from sam3_agent.model.mask_rle import to_rle
from sam3_agent.model.tracker import Clicks, Tracker
from sam3_agent.types import ClickedMask, ClickPrompt, check_points, clip_box

MASK_LOGIT = 10.0
"""Logit of a plain mask that is given to be refined; Meta's tracker reads masks as +-10 too."""
FILLED = 10.0
"""Logit of a hole that is filled."""

RawClick = tuple[NDArray[np.float32], NDArray[np.float32]]
"""(K, h, w) mask logits and (K,) predicted IoU."""


@dataclass(frozen=True, slots=True, eq=False)
class ClickRow:
    """A checked prompt on an image."""

    features: ImageFeatures
    clicks: Clicks


def to_clicks(prompt: ClickPrompt, width: int, height: int, tracker: Tracker) -> Clicks:
    """One prompt row in input pixels; x and y are scaled each by itself, as the image is squeezed to a square.

    Raises:
        InputError: a point or the box lies outside the image, or the mask is of another size.
    """
    check_points(prompt.points, width, height)
    across, down = tracker.image_size / width, tracker.image_size / height
    points = torch.tensor([(x * across, y * down) for x, y in prompt.points]).reshape(1, -1, 2)
    labels = torch.tensor([[int(label) for label in prompt.labels]], dtype=torch.int64)
    boxes = None
    if prompt.box is not None:
        x0, y0, x1, y1 = clip_box(prompt.box, width, height)
        boxes = torch.tensor([[x0 * across, y0 * down, x1 * across, y1 * down]])
    if prompt.mask is None:
        return Clicks(points, labels, boxes)
    rows, columns = prompt.mask.size
    if (rows, columns) != (height, width):
        raise InputError(f"the mask to refine is of a {columns}x{rows} image, not of this one ({width}x{height})")
    logits = torch.from_numpy(mask_logits(prompt.mask, tracker.mask_size))  # pyright: ignore[reportUnknownMemberType]
    return Clicks(points, labels, boxes, logits[None, None])


def mask_logits(rle: Rle, size: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w) logits from -10 to 10 of a mask: by the share of each cell that it covers."""
    share = cv2.resize(masks.decode(rle).astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    return ((2 * share - 1) * MASK_LOGIT).astype(np.float32)


def to_clicked(raw: RawClick, height: int, width: int, hole_area: int) -> tuple[ClickedMask, ...]:
    """Answers at original size, best predicted IoU first, without those that have no pixel.

    Args:
        raw: logits and predicted IoU.
        height: of the original image.
        width: of the original image.
        hole_area: holes of at most so many cells are filled.
    """
    logits, quality = raw
    clicked: list[ClickedMask] = []
    for index in np.argsort(-quality, kind="stable"):
        rle = to_rle(without_holes(logits[index], hole_area), height, width)
        if masks.area(rle):
            clicked.append(ClickedMask(rle, masks.box(rle), float(np.clip(quality[index], 0, 1))))
    return tuple(clicked)


def without_holes(logits: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """(h, w) logits with every 8-connected patch of background of at most that many cells filled, as Meta's code does.

    Patches at the border of the image count as holes too.
    """
    if most <= 0:
        return logits
    _, found, stats, _ = cv2.connectedComponentsWithStats((logits <= 0).astype(np.uint8), connectivity=8)
    labels = found.astype(np.intp)  # (h, w), 0 in the mask
    small = np.asarray(stats[:, cv2.CC_STAT_AREA] <= most)  # (components,), the first of which is the mask itself
    small[0] = False
    return np.where(small[labels], np.float32(FILLED), logits)
