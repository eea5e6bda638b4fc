"""Floors, and the figures of others: the columns beside our own."""

from dataclasses import dataclass
from typing import Any, cast

import torch

IMAGE_GFLOP = 5613.5
"""Of the image encoder at 1008 x 1008."""
PROMPT_GFLOP = 437.0
"""Of a concept with all masks: DETR encoder 255.9, decoder 18.7, mask decoder 143.3, and the rest."""
MASKS_GFLOP = 143.3
REACHABLE = 790.0
"""TFLOP/s in bfloat16 that matrix products reach on an H200 (nominal: 989); other cards are measured."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Work of a step, and milliseconds of others for it on an H200."""

    gflop: float = 0.0
    before: float | None = None
    """This product before it had a fast path."""
    prototype: float | None = None
    meta: str = ""
    """Meta's: the published figure, or its code (facebookresearch/sam3 @99d02f2, eager, bfloat16) measured beside."""
    bar: float | None = None


REFERENCES: dict[str, Reference] = {
    "prepare 1800 x 1200": Reference(before=8.4, prototype=0.9),
    "prepare 4000 x 3000": Reference(),
    "vision": Reference(IMAGE_GFLOP, 49.0, 13.8, "36.0 measured"),
    "encode (prepare, vision)": Reference(IMAGE_GFLOP, 57.0, 14.5, bar=14.0),
    "ground 1": Reference(PROMPT_GFLOP - MASKS_GFLOP, 25.0, 5.8),
    "ground 8": Reference(8 * (PROMPT_GFLOP - MASKS_GFLOP), 26.0, 18.0),
    "100 mask logits": Reference(MASKS_GFLOP, 3.7, 3.1),
    "100 masks to COCO, 1800 x 1200": Reference(before=68.0, prototype=3.5),
    "100 masks to COCO, 4000 x 3000": Reference(before=73.0, prototype=3.9, bar=3.0),
    "one concept, 20 masks": Reference(PROMPT_GFLOP, 38.0, 9.0, "60-64 measured", 7.0),
    "8 concepts, 20 masks each": Reference(8 * PROMPT_GFLOP, 45.0, None, "506-722 measured", 25.0),
    "image, concept and 100 masks to COCO": Reference(
        IMAGE_GFLOP + PROMPT_GFLOP, 179.0, 26.8, "30 published, about 100 measured", 24.0
    ),
    "one example box, 20 masks": Reference(PROMPT_GFLOP),
    "one click, 3 masks": Reference(),
}


def matmul_tflops(device: str, dtype: torch.dtype, side: int = 8192) -> float:
    """TFLOP/s of one large matrix product: the peak that the card really reaches."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    for _ in range(3):
        a @ b
    start, end = (cast(Any, torch.cuda.Event)(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(10):
        a @ b
    end.record()
    torch.cuda.synchronize(device)
    return 2 * side**3 * 10 / (start.elapsed_time(end) * 1e-3) / 1e12


def row(name: str, milliseconds: dict[str, float | None], peak: float | None, *, full: bool) -> dict[str, Any]:
    """One line of the table; floor and share of the peak only at full size on a GPU."""
    known = REFERENCES.get(name, Reference())
    found: dict[str, Any] = {"step": name, **milliseconds}
    if not full:
        return found
    fast = milliseconds.get("fast")
    if peak and known.gflop:
        found["floor"] = round(known.gflop / peak, 2)  # GFLOP / (TFLOP/s) is ms
        if fast:
            found["share_of_peak"] = round(known.gflop / peak / fast, 3)
    found |= {"h200_before": known.before, "h200_prototype": known.prototype, "meta": known.meta, "bar_h200": known.bar}
    return found
