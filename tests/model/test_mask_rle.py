import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d, interpolate

from sam3_agent import masks
from sam3_agent.model.mask_rle import to_rle


def reference(logits: NDArray[np.float32], height: int, width: int) -> NDArray[np.bool_]:
    full = interpolate(torch.from_numpy(logits)[None, None], size=(height, width), mode="bilinear", align_corners=False)
    return (full[0, 0] > 0).numpy()


@pytest.mark.parametrize("seed", range(60))
def test_any_mask_equals_resize_then_threshold_to_the_pixel_and_the_run(seed: int) -> None:
    rng = np.random.default_rng(seed)
    h, w, height, width = (int(v) for v in rng.integers(1, [90, 90, 700, 700]))
    noise = torch.from_numpy(rng.normal(rng.uniform(-2, 0.5), 1, size=(h, w)).astype(np.float32))
    smooth = avg_pool2d(noise[None, None], 5, 1, 2)[0, 0] if seed % 2 else noise
    wanted = reference(smooth.numpy(), height, width)
    assert to_rle(smooth.numpy(), height, width) == masks.encode(wanted)


def test_a_small_object_in_a_large_image_equals_the_full_image() -> None:
    rows, columns = np.mgrid[0:288, 0:288]
    disc = (9 - np.hypot(rows - 280, columns - 4)).astype(np.float32)
    assert to_rle(disc, 3000, 4000) == masks.encode(reference(disc, 3000, 4000))


def test_full_and_empty_masks_keep_their_size() -> None:
    everything = to_rle(np.ones((4, 4), np.float32), 30, 20)
    nothing = to_rle(-np.ones((4, 4), np.float32), 30, 20)
    assert everything == masks.encode(np.ones((30, 20), bool))
    assert nothing == masks.empty(30, 20)


def test_zero_is_outside() -> None:
    assert masks.area(to_rle(np.zeros((4, 4), np.float32), 8, 8)) == 0


def test_a_speck_between_the_places_of_a_smaller_image_is_no_mask() -> None:
    logits = np.full((12, 9), -1.0, dtype=np.float32)
    logits[0, 0] = 2.0
    assert masks.area(to_rle(logits, 1, 1)) == 0
