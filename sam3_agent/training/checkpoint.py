"""The state of a training run on disk: a kill leaves the old one or the new one, never half."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sam3_agent.training.config import TrainConfig
from sam3_agent.training.steps import Learner

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Position of a run: `step` steps of stage number `stage` are done."""

    stage: int
    step: int
    model: dict[str, Any]
    heads: dict[str, Any]
    optimizer: dict[str, Any] | None
    """None at the start of a stage."""
    config: dict[str, Any]


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint in a run's folder, if there is one."""
    saved = read_state(folder)
    if saved is None:
        return None
    return Checkpoint(
        int(saved["stage"]),
        int(saved["step"]),
        saved["model"],
        saved["heads"],
        saved["optimizer"] if int(saved["step"]) else None,
        json.loads(saved["config"]),
    )


def write_checkpoint(
    folder: Path,
    learner: Learner,
    optimizer: torch.optim.Optimizer | None,
    stage: int,
    step: int,
    config: TrainConfig,
) -> None:
    """Write the state of a run of the detector."""
    state: dict[str, Any] = {
        "model": learner.model.state_dict(),
        "heads": learner.heads.state_dict(),
        "optimizer": optimizer.state_dict() if optimizer else None,
        "stage": stage,
        "step": step,
        "config": json.dumps(config.to_json()),
    }
    write_state(folder, state)


def read_state(folder: Path) -> dict[str, Any] | None:
    """Read what `write_state` wrote into a run's folder, on the CPU, if anything."""
    path = folder / CHECKPOINT
    return torch.load(path, weights_only=True, map_location="cpu") if path.exists() else None


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write aside, then rename."""
    part = folder / (CHECKPOINT + ".part")
    torch.save(state, part)
    part.replace(folder / CHECKPOINT)
