"""What the eye remembers of one image."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """The feature pyramid of one image, on the eye's device.

    Position encodings are constants of the model and the coarsest level is never read, so neither is kept.
    """

    height: int
    width: int
    """Original size in pixels."""
    levels: tuple[torch.Tensor, ...]
    """(1, C, h, w) each, finest first; full size: 288, 144, 72 of 256 channels, 106 MB in float32, 53 in bfloat16."""

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return sum(level.nbytes for level in self.levels)
