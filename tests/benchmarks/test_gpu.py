"""The GPU benchmark runs where there is no GPU, at a small size; what breaks or finds no time costs nothing else."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.__main__ import Run, document, measure, table
from benchmarks.gpu.reference import REFERENCES, row


@pytest.mark.integration
@pytest.mark.timeout(1800)  # two minutes of a core that it has to itself
def test_every_part_is_measured_on_a_small_model(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    found = measure(Run("cpu", torch.float32, rounds=1, small=True, seconds=600, out=out))
    assert found["failed"] == {}
    assert found["left_out"] == []
    assert found["model"] == "tiny architecture"
    assert found["weights"] == "random"
    assert [each["step"] for each in found["milliseconds"]] == list(REFERENCES)
    assert all(each["plain"] > 0 and each["fast"] > 0 for each in found["milliseconds"])
    assert found["same_bytes"]["masks"] == "100 of 100"
    assert max(found["start"]["relative_differences"].values()) < 1e-3
    assert found["start"]["not_captured"] == []
    assert found["second_start"]["graphs"] == found["start"]["graphs"] > 10
    assert found["masks_answered"]["fast: one concept, 20 masks"] > 0
    assert found["sustained, 8 concepts"]["images_per_second"] > 0
    assert found["urgent under bulk"]["p99_over_idle"] > 0
    assert found["training"]["images_per_second"] > 0
    assert "image, concept and 100 masks" in table(found)
    assert json.loads(out.read_text())["milliseconds"] == found["milliseconds"]


def test_what_does_not_fit_into_the_time_is_named() -> None:
    run = Run("cpu", torch.float32, rounds=1, small=True, seconds=0.0)
    run.record("training", 1.0, lambda: {"steps": 1})
    assert run.left_out == ["training"]
    assert "training" not in document(run)


def test_a_part_that_breaks_is_named_and_costs_no_other_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run("cpu", torch.float32, rounds=1, small=True, out=tmp_path / "gpu.json")

    def broken() -> object:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    run.record("start", 1.0, broken)
    run.record("training", 1.0, lambda: {"steps": 1})
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert written["failed"] == {"start": "RuntimeError: CUDA error: an illegal memory access was encountered"}
    assert written["training"] == {"steps": 1}
    assert "in broken" in capsys.readouterr().err


def test_the_floor_is_the_work_at_the_speed_of_matrix_products() -> None:
    found = row("vision", {"fast": 14.2}, 790.0, full=True)
    assert found["floor"] == 7.11
    assert found["share_of_peak"] == 0.5
