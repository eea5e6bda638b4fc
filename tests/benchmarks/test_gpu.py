"""The GPU benchmark runs where there is no GPU, at a small size."""

import torch

from benchmarks.gpu import measure


def test_every_step_is_measured_on_a_small_model() -> None:
    document = measure("cpu", torch.float32, rounds=1, small=True)
    assert document["model"] == "tiny architecture"
    assert document["weights"] == "random"
    assert set(document["milliseconds"]) == {
        "encode",
        "one concept",
        "eight concepts",
        "100 masks to runs, 180 x 120",
        "100 masks to runs, 360 x 240",
        "image, concept and 100 masks",
    }
    assert all(value > 0 for value in document["milliseconds"].values())
