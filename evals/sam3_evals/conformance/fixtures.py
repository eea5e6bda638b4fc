"""The fixtures: records, predictions and expected results, as they lie in `files/`.

`files/NAME.json` with `files/NAME.jpg` are ReasonSeg records, `files/predictions.json` one COCO RLE a record, and
`files/expected.json` the results: for each record the SHA-256 of its mask (height x width bytes in rows, each 0, 1 or
255), the text that is asked, and the IoU under each convention; then gIoU and cIoU over all.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle

CONVENTIONS = ("lisa", "vision_reasoner")


@dataclass(frozen=True, slots=True)
class Expected:
    """Read the results that a harness should find."""

    document: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """Of the records, in order."""
        return list(self.document["records"])

    def record(self, name: str) -> dict[str, Any]:
        """{"size", "sha256", "text", "iou": {convention: IoU}}."""
        return self.document["records"][name]

    def figures(self, convention: str) -> dict[str, float]:
        """{"giou", "ciou"} over all records."""
        return self.document["figures"][convention]


def folder() -> Path:
    """Return the folder of the files."""
    return Path(str(resources.files("sam3_evals.conformance").joinpath("files")))


def read_expected() -> Expected:
    """The expected results."""
    return Expected(json.loads((folder() / "expected.json").read_text(encoding="utf-8")))


def read_predictions() -> dict[str, Rle]:
    """A prediction a record."""
    document = json.loads((folder() / "predictions.json").read_text(encoding="utf-8"))
    return {name: masks.from_json(value) for name, value in document.items()}


def mask_hash(painted: Any, size: tuple[int, int]) -> str:
    """SHA-256 of a (H, W) mask of 0, 1 and 255.

    Raises:
        InputError: it is not such a mask; the message says what was expected.
    """
    array = np.asarray(painted)
    if array.shape != size:
        raise InputError(f"expected a mask of shape {size}, got {array.shape}")
    if not np.isin(array, (0, 1, 255)).all():  # sorting the values of every right mask takes longer than its hash
        values = sorted(set(np.unique(array).tolist()))
        raise InputError(f"expected 0, 1 (target) and 255 (ignore), got {values[:6]}")
    return hashlib.sha256(np.ascontiguousarray(array, dtype=np.uint8).tobytes()).hexdigest()
