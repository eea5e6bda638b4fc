"""The clicks run: the tracker half learns on the frozen backbone of exported weights."""

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from sam3_agent.errors import InputError
from sam3_agent.model.loading import load_model
from sam3_agent.training.checkpoint import read_state, write_state
from sam3_agent.training.click_evaluate import quick_click_evaluation
from sam3_agent.training.click_steps import ClickLearner, click_step
from sam3_agent.training.config import Stage, TrainConfig
from sam3_agent.training.optimizer_step import descend, learning_rate, ranks_together
from sam3_agent.training.report import Report
from sam3_agent.training.tiny import HIDDEN
from sam3_agent.training.tiny_tracker import new_tracker, tiny_tracker_config

log = logging.getLogger(__name__)
EVALUATE_EVERY = 200


def train_clicks(config: TrainConfig, folder: Path, weights: Path | None, rank: int = 0) -> ClickLearner:
    """Train the tracker half, or go on from `checkpoint.pt` in the folder; rank 0 writes that and `log.jsonl`.

    Args:
        config: with one stage, of kind "clicks".
        folder: of the run.
        weights: an exported folder; its detector stays as it is.
        rank: of this process.

    Raises:
        InputError: no weights, or the folder's checkpoint belongs to other ones.
        ModelUnavailable: the weights cannot be read.
    """
    if weights is None:
        raise InputError("a clicks run learns on a trained backbone; give its folder with --start-from")
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    with ranks_together(config, folder, rank):
        return _run(config, folder, weights, rank)


def vision_of(weights: Path) -> tuple[nn.Module, str]:
    """ViT and neck of an exported folder in float32, frozen, and a fingerprint of the ViT's values."""
    encoder = cast(Any, load_model(weights, torch.device("cpu"), torch.float32).vision_encoder)
    encoder.eval().requires_grad_(False)
    digest = hashlib.sha256()
    for name, value in sorted(encoder.backbone.state_dict().items()):
        digest.update(name.encode() + value.half().contiguous().numpy().tobytes())
    return encoder, digest.hexdigest()


def start_learner(config: TrainConfig, weights: Path, saved: dict[str, Any] | None) -> tuple[ClickLearner, str]:
    """A learner on these weights, fresh or as saved, and the backbone's fingerprint.

    Raises:
        InputError: what was saved belongs to another backbone.
    """
    encoder, fingerprint = vision_of(weights)
    backbone = cast(Any, encoder).backbone
    cast(Any, torch).manual_seed(config.seed)
    tracker = new_tracker(tiny_tracker_config(backbone.config), cast(Any, encoder).neck)
    head = nn.Linear(HIDDEN, 1)
    nn.init.constant_(head.bias, -2.0)
    if saved is not None:
        if saved["backbone"] != fingerprint:
            raise InputError(f"the run was begun on other weights than those in '{weights}'; give those or a new --out")
        tracker.load_state_dict(saved["tracker"])
        head.load_state_dict(saved["head"])
    return ClickLearner(backbone.to(config.device), tracker.to(config.device), head.to(config.device)), fingerprint


def _run(config: TrainConfig, folder: Path, weights: Path, rank: int) -> ClickLearner:
    saved = read_state(folder)
    if saved and json.loads(saved["config"]) != json.loads(json.dumps(config.to_json())):
        log.warning("'%s' was begun with another configuration; going on with this one", folder)
    learner, fingerprint = start_learner(config, weights, saved)
    stage = replace(config.stages[0], image_size=learner.tracker.image_size)
    optimizer = _optimizer(learner, config)
    if saved:
        optimizer.load_state_dict(saved["optimizer"])
    report = Report(folder, stage, rank)
    learner.tracker.train()
    for step in range(int(saved["step"]) if saved else 0, stage.steps):
        rng = np.random.default_rng([config.seed, step, rank])
        terms = click_step(learner, config, stage, rng)
        descend(terms.values(), optimizer, config, learning_rate(stage, step))
        report.add(step, terms, learning_rate(stage, step))
        last = step + 1 == stage.steps
        if rank == 0 and (last or report.checkpoint_is_due()):
            write_state(folder, _state(learner, optimizer, step + 1, config, fingerprint))
        if rank == 0 and _evaluates(stage, step):
            report.evaluation(step, quick_click_evaluation(learner, stage.image_size))
    return learner


def _evaluates(stage: Stage, step: int) -> bool:
    return (step + 1) % EVALUATE_EVERY == 0 or (step + 1 == stage.steps and stage.steps >= EVALUATE_EVERY)


def _state(
    learner: ClickLearner, optimizer: torch.optim.AdamW, step: int, config: TrainConfig, fingerprint: str
) -> dict[str, Any]:
    return {
        "tracker": learner.tracker.state_dict(),
        "head": learner.head.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "config": json.dumps(config.to_json()),
        "backbone": fingerprint,
    }


def _optimizer(learner: ClickLearner, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; embeddings, norms and biases are not decayed, the neck's unused level is not trained."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in [*learner.tracker.named_parameters(), *learner.head.named_parameters()]:
        if "fpn_layers.3." not in name:
            decayed = parameter.ndim >= 2 and "embed." not in name and "token" not in name and "embedding" not in name
            groups[decayed].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": groups[True], "weight_decay": config.weight_decay},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        lr=1e-3,
        betas=(0.9, 0.98),
    )
