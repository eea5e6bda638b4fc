"""Optimizer step of every run: a rate for each step, gradients averaged over ranks, one step down."""

import math
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import nn

from sam3_agent.training.config import Stage, TrainConfig


@contextmanager
def ranks_together(config: TrainConfig, folder: Path, rank: int) -> Generator[None]:
    """Let the ranks of a run find each other; one alone needs nobody."""
    if config.processes == 1:
        yield
        return
    meeting = (folder / f"ranks-{os.environ.get('SAM3_TRAINING_RUN', '0')}").resolve()
    dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=config.processes)
    yield
    dist.destroy_process_group()
    meeting.unlink(missing_ok=True)


def mixed_precision(device: str) -> torch.autocast:
    """Autocast to bfloat16 where the device computes in it; a processor that does not is ten times slower with it."""
    pays = device != "cpu" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return torch.autocast(device, torch.bfloat16, enabled=pays)


def learning_rate(stage: Stage, step: int) -> float:
    """Linear warm-up, flat, then a cosine to the end rate."""
    if step < stage.warm_up:
        return stage.peak_rate * (step + 1) / stage.warm_up
    progress = step / stage.steps
    if progress < stage.flat:
        return stage.peak_rate
    fall = 0.5 * (1 + math.cos(math.pi * (progress - stage.flat) / (1 - stage.flat)))
    return stage.end_rate + (stage.peak_rate - stage.end_rate) * fall


def descend(terms: Iterable[torch.Tensor], optimizer: torch.optim.AdamW, config: TrainConfig, rate: float) -> None:
    """One optimizer step on the sum of the loss terms, gradients averaged over processes.

    A parameter group may have a "share" of the rate.
    """
    descend_together([terms], 1, optimizer, config, rate)


def descend_together(
    batches: Iterable[Iterable[torch.Tensor]],
    count: int,
    optimizer: torch.optim.AdamW,
    config: TrainConfig,
    rate: float,
) -> None:
    """One optimizer step on the loss terms of `count` batches, gradients averaged over them and over processes.

    Batches are taken one after the other, so that only one's activations are held.
    """
    parameters: list[nn.Parameter] = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.zero_grad(set_to_none=False)
    for terms in batches:
        loss = torch.stack([value.float() for value in terms]).sum()
        cast(Any, loss if count == 1 else loss / count).backward()
    _average_gradients(parameters, config.processes)
    nn.utils.clip_grad_norm_(parameters, config.clip)
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("share", 1.0)
    cast(Any, optimizer).step()


def _average_gradients(parameters: Iterable[nn.Parameter], processes: int) -> None:
    """Average over processes as one flat tensor; parameters that got no gradient count as zero."""
    held = list(parameters)
    for parameter in held:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    if processes == 1:
        return
    gradients = [p.grad for p in held if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients]).cpu()
    dist.all_reduce(flat)
    flat /= processes
    parts = torch.split(flat, [g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
