"""Parts of an image: from a region to its pixels and back."""

import math
from dataclasses import replace

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Box, Window
from sam3_agent.types import Candidate, ClickPrompt, ConceptPrompt, Exemplar, check_points, clip_box


def window_of(region: Box | None, width: int, height: int) -> Window:
    """The whole pixels that a region touches; the whole image for None.

    Raises:
        InputError: the region is malformed or lies outside the image.
    """
    if region is None:
        return (0, 0, width, height)
    x0, y0, x1, y1 = clip_box(region, width, height)
    return (math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1))


def prompt_in_window(prompt: ConceptPrompt, window: Window, width: int, height: int) -> ConceptPrompt:
    """The prompt with its exemplar boxes clipped and counted from the corner of the window."""
    if not prompt.exemplars:
        return prompt
    x0, y0, x1, y1 = window
    moved: list[Exemplar] = []
    for exemplar in prompt.exemplars:
        left, top, right, bottom = clip_box(exemplar.box, width, height)
        if right <= x0 or left >= x1 or bottom <= y0 or top >= y1:
            raise InputError(f"exemplar box {list(exemplar.box)} lies outside the region {list(window)}")
        moved.append(
            Exemplar(clip_box((left - x0, top - y0, right - x0, bottom - y0), x1 - x0, y1 - y0), exemplar.positive)
        )
    return replace(prompt, exemplars=tuple(moved))


def clicks_in_window(prompt: ClickPrompt, window: Window, width: int, height: int) -> ClickPrompt:
    """The prompt with its points, box and mask counted from the corner of the window.

    Raises:
        InputError: a point or the box lies outside the image or the window, or nothing of the mask is in the window.
    """
    check_points(prompt.points, width, height)
    if window == (0, 0, width, height):
        return prompt
    x0, y0, x1, y1 = window
    for x, y in prompt.points:
        if not (x0 <= x <= x1 and y0 <= y <= y1):
            raise InputError(f"point {[x, y]} lies outside the region {list(window)}")
    points = tuple((x - x0, y - y0) for x, y in prompt.points)
    box = prompt.box
    if box is not None:
        left, top, right, bottom = clip_box(box, width, height)
        if right <= x0 or left >= x1 or bottom <= y0 or top >= y1:
            raise InputError(f"box {list(box)} lies outside the region {list(window)}")
        box = clip_box((left - x0, top - y0, right - x0, bottom - y0), x1 - x0, y1 - y0)
    mask = None if prompt.mask is None else masks.encode(masks.decode(prompt.mask)[y0:y1, x0:x1])
    if mask is not None and masks.area(mask) == 0:
        raise InputError(f"the mask lies outside the region {list(window)}")
    return ClickPrompt(points, prompt.labels, box, mask)


def candidate_in_image(candidate: Candidate, window: Window, width: int, height: int) -> Candidate:
    """A candidate found in a window, placed into the whole image, its box clipped."""
    x0, y0, _, _ = window
    rle = candidate.rle
    if rle.size != (height, width):
        rle = masks.place(rle, height, width, x0, y0)
    left, top, right, bottom = candidate.box
    box = (max(left + x0, 0.0), max(top + y0, 0.0), min(right + x0, float(width)), min(bottom + y0, float(height)))
    if not all(math.isfinite(v) for v in box) or box[0] >= box[2] or box[1] >= box[3]:
        box = masks.box(rle)
    return Candidate(rle, box, candidate.object_score)
