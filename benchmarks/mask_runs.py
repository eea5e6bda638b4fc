"""`python -m benchmarks.mask_runs`: kept masks of one image from logits to COCO run lengths, ours against transformers.

The other side is transformers' `post_process_instance_segmentation` and pycocotools. Each side runs in a process of its
own, so that its peak memory is its own; both get the same logits (200 queries of 288 x 288, as many kept as asked for).
Bar: at least 10 times as fast, at most 1/20 of the extra memory, the same masks (IoU at least 0.999 with resizing the
logits and then thresholding, as Meta does; transformers resizes probabilities, which moves edges).
"""

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco  # pyright: ignore[reportMissingTypeStubs]
from transformers import Sam3ImageProcessor
from transformers.models.sam3.modeling_sam3 import Sam3ImageSegmentationOutput

from benchmarks.machine import machine_words
from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.model.mask_rle import to_rle

QUERIES, GRID = 200, 288


def main() -> None:
    """Run both sides, compare, print one document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mask_runs", description=__doc__)
    parser.add_argument("--masks", type=int, default=100)
    parser.add_argument("--width", type=int, default=4000)
    parser.add_argument("--height", type=int, default=3000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    size = (options.height, options.width)
    ours, theirs = (_alone(side, options.masks, size) for side in (_ours, _theirs))
    exact = _resized_logits(options.masks, size)
    agreement = [float(masks.iou([a], [b])[0, 0]) for a, b in zip(ours["rles"], exact, strict=True)]
    document = {
        "masks": options.masks,
        "width": options.width,
        "height": options.height,
        "ours": {"seconds": round(ours["seconds"], 3), "extra_megabytes": round(ours["extra"] / 1e6, 1)},
        "transformers": {"seconds": round(theirs["seconds"], 3), "extra_megabytes": round(theirs["extra"] / 1e6, 1)},
        "times_as_fast": round(theirs["seconds"] / ours["seconds"], 1),
        "share_of_memory": round(ours["extra"] / theirs["extra"], 4),
        "least_iou_with_resized_logits": min(agreement),
        "machine": machine_words(),
    }
    print(json.dumps(document, indent=1))
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def planes(count: int) -> NDArray[np.float32]:
    """(count, GRID, GRID) logits of wobbly blobs of all sizes, as smooth as a mask head's."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[0:GRID, 0:GRID].astype(np.float32)
    drawn: list[NDArray[np.float32]] = []
    for _ in range(count):
        y, x = float(rng.uniform(0, GRID)), float(rng.uniform(0, GRID))
        radius = float(np.exp(rng.uniform(np.log(4), np.log(80))))
        angle = np.arctan2(rows - y, columns - x)
        wobble = 1 + 0.2 * np.sin(angle * int(rng.integers(2, 7)) + rng.uniform(0, 6))
        drawn.append(np.clip((radius * wobble - np.hypot(rows - y, columns - x)) / 2, -12, 12).astype(np.float32))
    return np.stack(drawn)


def _alone(side: Callable[[int, tuple[int, int]], list[Rle]], count: int, size: tuple[int, int]) -> dict[str, Any]:
    """A side in a fresh process: its run lengths, its seconds, and by how many bytes its peak rose."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (side, count, size))


def _measured(side: Callable[[int, tuple[int, int]], list[Rle]], count: int, size: tuple[int, int]) -> dict[str, Any]:
    side(2, (60, 80))  # imports and first calls are nobody's extra
    before = _peak()
    began = time.perf_counter()
    rles = side(count, size)
    return {"rles": rles, "seconds": time.perf_counter() - began, "extra": max(1, _peak() - before)}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _ours(count: int, size: tuple[int, int]) -> list[Rle]:
    return [to_rle(plane, *size) for plane in planes(count)]


def _theirs(count: int, size: tuple[int, int]) -> list[Rle]:
    outputs = Sam3ImageSegmentationOutput(
        pred_logits=torch.where(torch.arange(QUERIES) < count, 4.0, -8.0)[None],
        pred_boxes=torch.rand(1, QUERIES, 4),
        pred_masks=torch.cat([_tensor(planes(count)), torch.full((QUERIES - count, GRID, GRID), -8.0)])[None],
        presence_logits=torch.full((1, 1), 6.0),
    )
    (found,) = cast(Any, Sam3ImageProcessor)().post_process_instance_segmentation(
        outputs, threshold=0.5, target_sizes=[size]
    )
    encode = cast(Any, coco).encode
    return [masks.from_json(encode(np.asfortranarray(m.numpy().astype(np.uint8)))) for m in found["masks"]]


def _resized_logits(count: int, size: tuple[int, int]) -> list[Rle]:
    """Compute what Meta's code answers: each plane of logits resized, then thresholded."""
    found: list[Rle] = []
    for plane in planes(count):
        full = torch.nn.functional.interpolate(_tensor(plane)[None, None], size, mode="bilinear", align_corners=False)
        found.append(masks.encode((full[0, 0] > 0).numpy()))
    return found


def _tensor(array: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType]


if __name__ == "__main__":
    main()
