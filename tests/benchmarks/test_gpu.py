"""The GPU benchmark runs where there is no GPU, at a small size."""

import pytest
import torch

from benchmarks.gpu.__main__ import Run, measure, table
from benchmarks.gpu.reference import REFERENCES, row


@pytest.mark.integration
def test_every_step_is_measured_on_a_small_model() -> None:
    document = measure(Run("cpu", torch.float32, rounds=1, small=True))
    assert document["model"] == "tiny architecture"
    assert document["weights"] == "random"
    assert [each["step"] for each in document["milliseconds"]] == list(REFERENCES)
    assert all(each["plain"] > 0 and each["fast"] > 0 for each in document["milliseconds"])
    assert document["same_bytes"]["masks"] == "100 of 100"
    assert document["start"]["relative_difference"] < 1e-3
    assert document["sustained, 8 concepts"]["images_per_second"] > 0
    assert document["urgent under bulk"]["p99_over_idle"] > 0
    assert document["left_out"] == []
    assert "image, concept and 100 masks" in table(document)


def test_what_does_not_fit_into_the_time_is_named() -> None:
    run = Run("cpu", torch.float32, rounds=1, small=True, seconds=0.0)
    assert not run.has_time("training", 1.0)
    assert run.left_out == ["training"]


def test_the_floor_is_the_work_at_the_speed_of_matrix_products() -> None:
    found = row("vision", {"fast": 14.2}, 790.0, full=True)
    assert found["floor"] == 7.11
    assert found["share_of_peak"] == 0.5
