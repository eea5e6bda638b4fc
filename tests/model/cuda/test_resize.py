"""Images prepared as on a GPU, here on the CPU: the same as the CPU's own way up to one grey level."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.model.cuda.resize import REACH, DevicePreparer, taken
from sam3_agent.model.preprocess import to_pixels

CPU = DevicePreparer(torch.device("cpu"), torch.float32, 96)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (96, 96), (333, 217), (900, 1600)])
def test_it_is_at_most_one_grey_level_off_the_kernel_of_the_cpu(size: tuple[int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    mine, wanted = taken(CPU(image)), to_pixels(image, 96)
    levels = (mine - wanted).abs() * 127.5
    assert mine.shape == (1, 3, 96, 96)
    assert float(levels.max()) < 1.01
    assert float(levels.mean()) < 0.3


def test_flipped_and_read_only_arrays_are_taken_as_they_are() -> None:
    image = np.random.default_rng(4).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    flipped = image[::-1]
    flipped.flags.writeable = False
    assert torch.equal(taken(CPU(flipped)), taken(CPU(image[::-1].copy())))


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_image_is_refused(image: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match=r"\(H, W, 3\) uint8"):
        CPU(image)


def test_a_strip_that_no_gpu_resizes_is_left_to_the_cpu() -> None:
    strip = np.random.default_rng(6).integers(0, 256, (2, 96 * REACH + 1, 3), dtype=np.uint8)
    assert torch.equal(taken(CPU(strip)), to_pixels(strip, 96))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
@pytest.mark.parametrize("size", [(20, 96 * REACH), (96 * REACH, 20), (96 * REACH, 96 * REACH // 8)])
def test_a_gpu_resizes_whatever_it_is_given(size: tuple[int, int]) -> None:
    image = np.random.default_rng(7).integers(0, 256, (*size, 3), dtype=np.uint8)
    prepared = DevicePreparer(torch.device("cuda"), torch.float32, 96)(image)
    assert prepared.pixels.is_cuda
    assert float((taken(prepared).cpu() - to_pixels(image, 96)).abs().max() * 127.5) < 1.01


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
@pytest.mark.parametrize("size", [(333, 217), (3000, 4000)])
def test_a_gpu_prepares_what_the_cpu_does_up_to_one_grey_level(size: tuple[int, int]) -> None:
    image = np.random.default_rng(5).integers(0, 256, (*size, 3), dtype=np.uint8)
    prepared = DevicePreparer(torch.device("cuda"), torch.float32, 96)(image)
    levels = (taken(prepared).cpu() - to_pixels(image, 96)).abs() * 127.5
    assert float(levels.max()) < 1.01
