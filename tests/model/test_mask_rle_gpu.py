"""Runs made on the device equal runs made by numpy; here the device is the CPU."""

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.model.mask_rle import rle_of_edges, to_rle
from sam3_agent.model.mask_rle_gpu import BUFFER, to_edges


def to_rles(logits: torch.Tensor, height: int, width: int, buffer: int = BUFFER) -> list[Rle]:
    return [rle_of_edges(edges, height, width) for edges in to_edges(logits, height, width, buffer=buffer)]


def planes(seed: int, count: int, h: int, w: int) -> torch.Tensor:
    """(count, h, w) logits: noise, blobs, nothing, everything."""
    rng = np.random.default_rng(seed)
    noise = torch.from_numpy(rng.normal(rng.uniform(-2, 0.5, (count, 1, 1)), 1, (count, h, w)).astype(np.float32))
    noise[::3] = avg_pool2d(noise[::3][:, None], 5, 1, 2)[:, 0]
    noise[1], noise[-1] = -1.0, 1.0
    return noise


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("buffer", [1, 40_000, 1 << 27])
def test_all_masks_of_a_prompt_equal_those_made_one_by_one(seed: int, buffer: int) -> None:
    rng = np.random.default_rng(100 + seed)
    h, w, height, width = (int(v) for v in rng.integers(2, [60, 60, 300, 300]))
    logits = planes(seed, 7, h, w)
    wanted = [to_rle(plane, height, width) for plane in logits.numpy()]
    assert to_rles(logits, height, width, buffer=buffer) == wanted
    assert masks.area(wanted[1]) == 0
    assert masks.area(wanted[-1]) == height * width


def test_no_masks_are_no_runs() -> None:
    assert to_rles(torch.zeros(0, 5, 5), 10, 10) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
def test_runs_made_on_a_gpu_differ_in_rounding_only() -> None:
    logits = planes(5, 12, 72, 72)
    for mine, wanted in zip(to_rles(logits.cuda(), 700, 900), to_rles(logits, 700, 900), strict=True):
        assert masks.area(wanted) == 0 or masks.iou([mine], [wanted])[0, 0] > 0.9999
