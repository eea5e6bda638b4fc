"""Images prepared on the device: bytes go up through pinned memory, and are resized there."""

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from sam3_agent.model.cuda.transfer import upload
from sam3_agent.model.oom import free_memory, out_of_memory
from sam3_agent.model.preprocess import PreparedImage, check_image, prepare_image

REACH = 64
"""Longest side of an image, in sides of the square. torch's antialiasing kernel holds the weights of several output
places in the 48 kB of memory that a block shares (UpSampleBilinear2d.cu), which is full at 94 times; what is longer, as
a strip of 100,000 x 100, is resized by the CPU."""


class DevicePreparer:
    """Prepares images in the caller's thread, on a stream of its own, while the network runs on another image.

    Safe to call from several threads.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, side: int) -> None:
        self._device = device
        self._dtype = dtype
        self._side = side
        self._stream = cast(Any, torch.cuda.Stream)(device) if device.type == "cuda" else None

    def __call__(self, image: NDArray[np.uint8]) -> PreparedImage:
        """Check an (H, W, 3) RGB image, upload and resize it; raises InputError.

        The CPU resizes what the GPU cannot, and where the GPU's memory is full.
        """
        check_image(image)
        if max(image.shape[:2]) > REACH * self._side:
            return prepare_image(image, self._side)
        if not (image.flags.writeable and image.flags.c_contiguous):
            image = image.copy()  # torch warns of read-only memory and refuses negative strides
        try:
            return self._resized(image)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        free_memory()
        return prepare_image(image, self._side)

    def _resized(self, image: NDArray[np.uint8]) -> PreparedImage:
        height, width = image.shape[:2]
        given = torch.from_numpy(image)  # (H, W, 3) # pyright: ignore[reportUnknownMemberType]
        if self._stream is None:
            return PreparedImage(height, width, square(given, self._side, self._dtype))
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            pixels = square(upload(given, self._device), self._side, self._dtype)
            ready = torch.cuda.Event()
            ready.record(self._stream)
        return PreparedImage(height, width, pixels, ready)


def square(image: Tensor, side: int, dtype: torch.dtype) -> Tensor:
    """(1, 3, side, side) in [-1, 1] of an (H, W, 3) uint8 image, antialiased bilinear, rounded as Meta's GPU path does.

    At most 1 grey level off the CPU's fixed-point kernel (0.18 on average).
    """
    planes = image.permute(2, 0, 1)[None].float()  # (1, 3, H, W)
    resized = interpolate(planes, (side, side), mode="bilinear", antialias=True).round_().clamp_(0, 255)
    return ((resized - 127.5) / 127.5).to(dtype)


def taken(image: PreparedImage) -> Tensor:
    """The pixels, to be read on the current stream."""
    if image.ready is not None:
        stream = torch.cuda.current_stream(image.pixels.device)
        stream.wait_event(image.ready)
        image.pixels.record_stream(stream)
    return image.pixels
