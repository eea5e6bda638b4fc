"""Volumes: masklets compared over all frames at once, which makes cgF1 a figure of videos.

Source: facebookresearch/sam3 `sam3/eval/saco_veval_eval.py` with its YTVIS evaluator: the IoU of two masklets is the
sum of their intersections over the sum of their unions.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_evals.metrics.video.hota import Masklet


def masklets_of(frames: Sequence[Rle | None]) -> dict[int, Rle]:
    """Frame -> mask, without frames that have no pixel."""
    return {index: rle for index, rle in enumerate(frames) if rle is not None and masks.area(rle)}


def volume_iou(predicted: Sequence[Masklet], truth: Sequence[Masklet]) -> NDArray[np.float64]:
    """(predicted, truth) IoU of masklets as volumes; two without a pixel give 0."""
    areas = [[sum(masks.area(rle) for rle in m.values()) for m in side] for side in (predicted, truth)]
    table = np.zeros((len(predicted), len(truth)))
    for i, one in enumerate(predicted):
        for j, other in enumerate(truth):
            common = sum(masks.area(masks.intersect([one[t], other[t]])) for t in one.keys() & other.keys())
            whole = areas[0][i] + areas[1][j] - common
            table[i, j] = common / whole if whole else 0.0
    return table


def union_of(masklets: Sequence[Masklet], frames: Sequence[int]) -> list[Rle | None]:
    """All masklets together, frame by frame; None where none has a pixel."""
    there = [[masklet[index] for masklet in masklets if index in masklet] for index in frames]
    return [masks.union(found) if found else None for found in there]
