"""A training run: stages, ranks, checkpoints that survive a kill, progress."""

import json
import logging
import math
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from sam3_agent.training.alignment import Alignment, start_grounding
from sam3_agent.training.config import Stage, TrainConfig
from sam3_agent.training.evaluate import quick_evaluation
from sam3_agent.training.prompts import vocabulary_words
from sam3_agent.training.steps import Learner, dense_step, ground_step, prompt_step
from sam3_agent.training.tiny import HIDDEN, new_model, resize_model, tiny_config
from sam3_agent.training.tokenizer import build_tokenizer

log = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
STEPS = {"dense": dense_step, "ground": ground_step, "prompts": prompt_step}
PRETRAINED = ("vision_encoder.", "text_encoder.", "text_projection.", "word", "patch.")
"""Parameters that the dense stage has trained."""


def train(config: TrainConfig, folder: Path, rank: int = 0) -> Learner:
    """Run or resume all stages; rank 0 writes `checkpoint.pt`, `log.jsonl` into the folder."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    if config.ranks > 1:
        dist.init_process_group("gloo", init_method=_meeting_point(folder), rank=rank, world_size=config.ranks)
    saved = _read_checkpoint(folder)
    learner = _start(config, saved)
    first = int(saved["stage"]) if saved else 0
    for number, stage in enumerate(config.stages[first:], start=first):
        learner = Learner(resize_model(learner.model, stage.image_size), learner.heads, learner.tokenizer)
        resume = saved if saved and number == first else None
        if (
            stage.kind != "dense"
            and number
            and config.stages[number - 1].kind == "dense"
            and not resumed_within(resume)
        ):
            start_grounding(learner.model, learner.heads)
        _run_stage(learner, config, number, folder, rank, resume)
    if config.ranks > 1:
        dist.destroy_process_group()
    return learner


def resumed_within(saved: dict[str, Any] | None) -> bool:
    """Whether a checkpoint lies inside its stage, not at its start."""
    return saved is not None and int(saved["step"]) > 0


def learning_rate(stage: Stage, step: int) -> float:
    """Linear warm-up, flat, then a cosine to the end rate."""
    if step < stage.warm_up:
        return stage.peak_rate * (step + 1) / stage.warm_up
    progress = step / stage.steps
    if progress < stage.flat:
        return stage.peak_rate
    fall = 0.5 * (1 + math.cos(math.pi * (progress - stage.flat) / (1 - stage.flat)))
    return stage.end_rate + (stage.peak_rate - stage.end_rate) * fall


def _start(config: TrainConfig, saved: dict[str, Any] | None) -> Learner:
    torch.manual_seed(config.seed)
    tokenizer = build_tokenizer(vocabulary_words())
    size = config.stages[int(saved["stage"]) if saved else 0].image_size
    learner = Learner(new_model(tiny_config(len(tokenizer), size)), Alignment(HIDDEN), tokenizer)
    if saved:
        learner.model.load_state_dict(saved["model"])
        learner.heads.load_state_dict(saved["heads"])
    return learner


def _run_stage(
    learner: Learner, config: TrainConfig, number: int, folder: Path, rank: int, resume: dict[str, Any] | None
) -> None:
    stage = config.stages[number]
    step_of = STEPS[stage.kind]
    optimizer = _optimizer(learner, config, stage)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    first = 0
    if resume:
        optimizer.load_state_dict(resume["optimizer"])
        first = int(resume["step"])
    learner.model.train()
    report = _Report(folder, stage, rank)
    for step in range(first, stage.steps):
        rng = np.random.default_rng([config.seed, number, step, rank])
        terms = step_of(learner, config, stage, rng)
        loss = torch.stack([v.float() for v in terms.values()]).sum()
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        _average_gradients(parameters, config.ranks)
        nn.utils.clip_grad_norm_(parameters, config.clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(stage, step) * group["share"]
        optimizer.step()
        report.add(step, terms, learning_rate(stage, step))
        if rank == 0 and report.checkpoint_is_due():
            _write_checkpoint(folder, learner, optimizer, number, step + 1, config)
        if rank == 0 and stage.kind == "prompts" and ((step + 1) % 500 == 0 or step + 1 == stage.steps):
            report.evaluation(step, quick_evaluation(learner, stage.image_size))
    if rank == 0:
        following = min(number + 1, len(config.stages))
        if following < len(config.stages):
            resized = Learner(
                resize_model(learner.model, config.stages[following].image_size), learner.heads, learner.tokenizer
            )
            _write_checkpoint(folder, resized, None, following, 0, config)
        else:
            _write_checkpoint(folder, learner, optimizer, number, stage.steps, config)


def _optimizer(learner: Learner, config: TrainConfig, stage: Stage) -> torch.optim.AdamW:
    """AdamW; the pre-trained parts (backbone, text) learn at the stage's `pretrained_share` of the rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in [*learner.model.named_parameters(), *learner.heads.named_parameters()]:
        decayed = parameter.ndim >= 2 and "embed" not in name and "reference_points" not in name
        groups.setdefault((decayed, name.startswith(PRETRAINED)), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": members,
                "weight_decay": config.weight_decay if decayed else 0.0,
                "share": stage.pretrained_share if pretrained else 1.0,
            }
            for (decayed, pretrained), members in sorted(groups.items())
        ],
        lr=1e-3,
        betas=(0.9, 0.98),
    )


def _average_gradients(parameters: Iterable[nn.Parameter], ranks: int) -> None:
    """Average over ranks as one flat tensor; parameters that got no gradient count as zero."""
    held = list(parameters)
    for parameter in held:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    if ranks == 1:
        return
    gradients = [p.grad for p in held if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= ranks
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def _meeting_point(folder: Path) -> str:
    return (folder / f"ranks-{os.environ.get('SAM3_TRAINING_RUN', '0')}").resolve().as_uri()


def _read_checkpoint(folder: Path) -> dict[str, Any] | None:
    path = folder / CHECKPOINT
    return torch.load(path, weights_only=True) if path.exists() else None


def _write_checkpoint(
    folder: Path, learner: Learner, optimizer: torch.optim.Optimizer | None, stage: int, step: int, config: TrainConfig
) -> None:
    state: dict[str, Any] = {
        "model": learner.model.state_dict(),
        "heads": learner.heads.state_dict(),
        "stage": stage,
        "step": step,
        "config": json.dumps(config.to_json()),
        "optimizer": (optimizer or _optimizer(learner, config, config.stages[stage])).state_dict(),
    }
    part = folder / (CHECKPOINT + ".part")
    torch.save(state, part)
    part.replace(folder / CHECKPOINT)  # a kill leaves the old one or the new one, never half


class _Report:
    """Running means to the log every 50 steps; knows when a checkpoint is due (every two minutes)."""

    def __init__(self, folder: Path, stage: Stage, rank: int) -> None:
        self._path = folder / "log.jsonl"
        self._stage = stage
        self._quiet = rank != 0
        self._sums: dict[str, float] = {}
        self._count = 0
        self._since = time.monotonic()
        self._saved = time.monotonic()

    def add(self, step: int, terms: dict[str, Tensor], rate: float) -> None:
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach())
        self._count += 1
        if self._count == 50 or step + 1 == self._stage.steps:
            seconds = (time.monotonic() - self._since) / self._count
            means = {name: round(total / self._count, 4) for name, total in self._sums.items()}
            self._write({"stage": self._stage.name, "step": step + 1, "of": self._stage.steps, "rate": rate} | means)
            left = seconds * (self._stage.steps - step - 1)
            shown = " ".join(f"{k} {v:.3f}" for k, v in means.items())
            if not self._quiet:
                log.info(
                    "%s %d/%d  %.2f s/step, %d min left  total %.3f  %s",
                    *(self._stage.name, step + 1, self._stage.steps, seconds, left // 60, sum(means.values()), shown),
                )
            self._sums, self._count, self._since = {}, 0, time.monotonic()

    def evaluation(self, step: int, figures: dict[str, str]) -> None:
        self._write({"stage": self._stage.name, "step": step + 1, "evaluation": figures})
        for kind, line in figures.items():
            log.info("  held out  %-14s %s", kind, line)
        self._since = time.monotonic()

    def checkpoint_is_due(self) -> bool:
        if time.monotonic() - self._saved < 120:
            return False
        self._saved = time.monotonic()
        return True

    def _write(self, row: dict[str, Any]) -> None:
        if not self._quiet:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
