"""Negative examples that take the positive ones with them.

Models differ in how they read a negative box; one that lies on the same kind of thing as a positive one, or that a
model was hardly trained with, can leave nothing of what was asked for (FSS-SAM3, arXiv 2604.05433, loses 11.8 mIoU).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sam3_agent.masks import Box
from sam3_agent.types import ConceptPrompt
from sam3_agent.workspace.tiling import Found

SAME = 0.5
"""IoU of boxes from which on two findings are one object, as in the metrics."""


def box_ious(one: Sequence[Box], other: Sequence[Box]) -> NDArray[np.float64]:
    """(N, M) IoU of xyxy boxes."""
    a, b = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (one, other))
    low = np.maximum(a[:, None, :2], b[None, :, :2])  # (N, M, 2)
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])  # (N, M, 2)
    shared = np.clip(high - low, 0, None).prod(axis=2)  # (N, M)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)


def distinct_boxes(boxes: Sequence[Box], known: Sequence[Box] = ()) -> list[Box]:
    """Each thing once, as its first box, without those that are `known`."""
    chosen: list[Box] = []
    for box in boxes:
        if not (box_ious([box], [*chosen, *known]) >= SAME).any():
            chosen.append(box)
    return chosen


def positives_found(prompt: ConceptPrompt, found: Found) -> int:
    """Count the positive examples of a prompt that lie in its answer."""
    boxes = [exemplar.box for exemplar in prompt.exemplars if exemplar.positive]
    kept = [finding.box for finding in found.findings if finding.kept]
    return int((box_ious(boxes, kept).max(axis=1, initial=0) >= SAME).sum())


def answer_without_harm(prompt: ConceptPrompt, ask: Callable[[ConceptPrompt], Found]) -> tuple[ConceptPrompt, Found]:
    """Ask; where the negative examples cost positive ones, ask without them and drop what lies on them.

    Gives the prompt that was answered: it holds no negative example where these were left out.
    """
    found, positive = ask(prompt), [exemplar for exemplar in prompt.exemplars if exemplar.positive]
    survivors = positives_found(prompt, found)
    if survivors == len(positive) or len(positive) == len(prompt.exemplars):
        return prompt, found
    plain = replace(prompt, exemplars=tuple(positive))
    other = ask(plain)
    return (plain, dropping(other, prompt)) if positives_found(prompt, other) > survivors else (prompt, found)


def dropping(found: Found, prompt: ConceptPrompt) -> Found:
    """Drop what lies on a negative example of the prompt, unless it lies at least as well on a positive one."""
    boxes = [finding.box for finding in found.findings]
    on = [
        box_ious(boxes, [e.box for e in prompt.exemplars if e.positive is sign]).max(axis=1, initial=0)  # (N,)
        for sign in (True, False)
    ]
    staying = (on[1] < SAME) | (on[0] >= on[1])
    return replace(found, findings=tuple(f for f, stays in zip(found.findings, staying, strict=True) if stays))
