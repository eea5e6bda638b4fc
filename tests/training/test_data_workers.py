"""What steps learn from: the same, whoever draws it."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from sam3_agent.training.checkpoint import CHECKPOINT
from sam3_agent.training.config import SMOKE, Stage
from sam3_agent.training.data_workers import feed
from sam3_agent.training.run import train

SHORT = replace(SMOKE, stages=(Stage("prompts", "prompts", 64, steps=3, images=1, prompts=2, warm_up=1),))


@dataclass(frozen=True)
class Numbers:
    broken: int = -1

    def __call__(self, step: int, rank: int) -> tuple[int, torch.Tensor]:
        if step == self.broken:
            raise ValueError(f"nothing to draw at step {step}")
        return 10 * step + rank, torch.full((2,), float(step))


def test_steps_get_the_values_of_all_their_ranks_in_order() -> None:
    with feed(Numbers(), range(3, 6), [0, 2], 0) as drawn:
        found = [[value for value, _ in each] for each in drawn]
    assert found == [[30, 32], [40, 42], [50, 52]]
    assert drawn.waited >= 0


@pytest.mark.integration
def test_workers_draw_the_same_and_their_errors_arrive() -> None:
    with feed(Numbers(), range(8), [0, 1], 2) as drawn:
        found = [[(value, tensor.tolist()) for value, tensor in each] for each in drawn]
    assert found == [[(10 * step + rank, [float(step)] * 2) for rank in (0, 1)] for step in range(8)]
    with feed(Numbers(broken=1), range(3), [0], 1) as drawn, pytest.raises(ValueError, match="at step 1"):
        list(drawn)


@pytest.mark.integration
def test_a_run_with_workers_ends_with_the_same_weights(tmp_path: Path) -> None:
    models: list[dict[str, torch.Tensor]] = []
    for name, workers in (("in place", 0), ("workers", 2)):
        train(SHORT, tmp_path / name, workers=workers)
        models.append(torch.load(tmp_path / name / CHECKPOINT, weights_only=True)["model"])
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())
    assert '"images_per_second"' in (tmp_path / "workers" / "log.jsonl").read_text()
