"""Images as the tensor that SAM 3 reads, with the numerics of `Sam3ImageProcessor`."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import InterpolationMode  # pyright: ignore[reportMissingTypeStubs]
from torchvision.transforms.v2.functional import resize  # pyright: ignore[reportMissingTypeStubs]

from sam3_agent.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class PreparedImage:
    """An image as the network reads it."""

    height: int
    width: int
    """Original size in pixels."""
    pixels: torch.Tensor
    """(1, 3, side, side); see `to_pixels`. On the CPU, or on the GPU that has prepared them."""
    ready: torch.cuda.Event | None = None
    """Comes when the GPU has prepared them."""


def prepare_image(image: NDArray[np.uint8], side: int) -> PreparedImage:
    """Check an (H, W, 3) RGB image and resize it; raises InputError."""
    return PreparedImage(image.shape[0], image.shape[1], to_pixels(image, side))


def check_image(image: NDArray[np.uint8]) -> None:
    """Raise InputError unless the image is a non-empty (H, W, 3) uint8 array."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InputError(f"an image must be an (H, W, 3) uint8 RGB array, got shape {image.shape} of {image.dtype}")


def to_pixels(image: NDArray[np.uint8], side: int) -> torch.Tensor:
    """(1, 3, side, side) float32 in [-1, 1]: squeezed to a square (antialiased bilinear on uint8), then (x - .5) / .5.

    The resizing rounds to uint8 as Meta's does, and therefore always runs on the CPU: CUDA has no uint8 kernel.
    """
    check_image(image)
    if not (image.flags.writeable and image.flags.c_contiguous):
        image = image.copy()  # torch warns of read-only memory and refuses negative strides
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]  # (1, 3, H, W) # pyright: ignore[reportUnknownMemberType]
    square = resize(planes, [side, side], interpolation=InterpolationMode.BILINEAR, antialias=True)
    return (square.float() - 127.5) / 127.5
