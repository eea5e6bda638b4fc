import numpy as np
import pytest
import torch
from transformers import Sam3ImageProcessor

from sam3_agent.model.preprocess import to_pixels


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (97, 31), (96, 96), (480, 640), (1500, 700)])
@pytest.mark.parametrize("side", [96, 336])
def test_pixels_equal_those_of_the_official_processor(size: tuple[int, int], side: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    processor = Sam3ImageProcessor(size={"height": side, "width": side})
    wanted = processor(image, input_data_format="channels_last", return_tensors="pt").pixel_values
    assert torch.allclose(to_pixels(image, side), wanted, atol=1e-6)


def test_read_only_flipped_and_cut_arrays_are_read_as_they_look() -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    view = image[::-1, 5:45]
    frozen = view.copy()
    frozen.flags.writeable = False
    assert torch.equal(to_pixels(view, 96), to_pixels(frozen, 96))
    assert torch.equal(to_pixels(view, 96), to_pixels(view.copy(), 96))
