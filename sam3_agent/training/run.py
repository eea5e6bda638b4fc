"""A training run: stages, ranks, checkpoints that survive a kill, progress."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from sam3_agent.errors import InputError
from sam3_agent.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from sam3_agent.training.config import Stage, TrainConfig
from sam3_agent.training.data_workers import feed
from sam3_agent.training.evaluate import quick_evaluation
from sam3_agent.training.export import exported_model, input_size
from sam3_agent.training.grounding_loss import Alignment, start_grounding, start_heads
from sam3_agent.training.optimizer_step import descend_together, learning_rate, ranks_together
from sam3_agent.training.prompts import vocabulary_words
from sam3_agent.training.report import Report
from sam3_agent.training.steps import Learner, StepDraw, dense_step, ground_step, prompt_step
from sam3_agent.training.tiny import HIDDEN, new_model, resize_model, tiny_config
from sam3_agent.training.tokenizer import build_tokenizer

log = logging.getLogger(__name__)
STEPS: dict[str, Callable[[Learner, TrainConfig, Stage, Any], dict[str, Tensor]]] = {
    "dense": dense_step,
    "ground": ground_step,
    "prompts": prompt_step,
}
PRETRAINED = ("vision_encoder.", "text_encoder.", "text_projection.", "word", "patch.")
"""Parameters that the dense stage has trained."""
EVALUATE_EVERY = 500


def train(
    config: TrainConfig, folder: Path, rank: int = 0, weights: Path | None = None, *, workers: int = 0
) -> Learner:
    """Run all stages, or go on from `checkpoint.pt` in the folder; rank 0 writes that and `log.jsonl`.

    A fresh run starts from the exported `weights`, if given, instead of from chance. Scenes are drawn ahead by so many
    `workers`, which changes no result.
    """
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    with ranks_together(config, folder, rank):
        return _all_stages(config, folder, rank, weights, workers)


def _all_stages(config: TrainConfig, folder: Path, rank: int, weights: Path | None, workers: int) -> Learner:
    saved = read_checkpoint(folder)
    config = _sized(config, saved, weights)
    if saved and saved.config != json.loads(json.dumps(config.to_json())):
        log.warning("'%s' was begun with another configuration; going on with this one", folder)
    learner = _start(config, saved, weights)
    first = saved.stage if saved else 0
    for number, stage in enumerate(config.stages[first:], start=first):
        learner = Learner(resize_model(learner.model, stage.image_size), learner.heads, learner.tokenizer)
        cast(Any, learner.model).to(config.device)
        resume = saved if saved and number == first and saved.step else None
        if resume is None and _leaves_dense(config, number):
            start_grounding(learner.model, learner.heads)
        _run_stage(learner, config, number, Place(folder, rank, workers), resume)
    return learner


def _sized(config: TrainConfig, saved: Checkpoint | None, weights: Path | None) -> TrainConfig:
    """Stages of size 0 get the input size of the checkpoint or of the weights.

    Raises:
        InputError: neither is there.
    """
    if all(stage.image_size for stage in config.stages):
        return config
    if saved:
        size = int(saved.config["stages"][saved.stage]["image_size"])
    elif weights:
        size = input_size(weights)
    else:
        raise InputError("this run goes on at the input size of trained weights; give their folder with --start-from")
    return replace(config, stages=tuple(replace(s, image_size=s.image_size or size) for s in config.stages))


def _start(config: TrainConfig, saved: Checkpoint | None, weights: Path | None) -> Learner:
    cast(Any, torch).manual_seed(config.seed)
    tokenizer = build_tokenizer(vocabulary_words())
    size = config.stages[saved.stage if saved else 0].image_size
    learner = Learner(new_model(tiny_config(len(tokenizer), size)), Alignment(HIDDEN), tokenizer)
    if saved:
        learner.model.load_state_dict(saved.model)
        learner.heads.load_state_dict(saved.heads)
    elif weights:
        model = resize_model(exported_model(weights, len(tokenizer)), size)
        learner = Learner(model, learner.heads, tokenizer)
        start_heads(learner.model, learner.heads)
    learner.heads.to(config.device)
    return learner


def _leaves_dense(config: TrainConfig, number: int) -> bool:
    """Whether this stage is the one that teaches a fresh DETR encoder what the dense one has found."""
    return number > 0 and config.stages[number - 1].kind == "dense" and config.stages[number].kind == "ground"


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a process within a run."""

    folder: Path
    rank: int
    workers: int


def _run_stage(learner: Learner, config: TrainConfig, number: int, place: Place, resume: Checkpoint | None) -> None:
    stage, rank = config.stages[number], place.rank
    freeze_all_but(learner, stage.learns)
    optimizer = _optimizer(learner, config, stage)
    if resume and resume.optimizer:
        optimizer.load_state_dict(resume.optimizer)
    learner.model.train()
    report = Report(place.folder, stage, rank, images=stage.images * config.ranks)
    steps = range(resume.step if resume else 0, stage.steps)
    ranks = range(config.ranks) if config.processes == 1 else [rank]
    with feed(StepDraw(learner.tokenizer, config, number), steps, ranks, place.workers) as drawn:
        for step, batches in zip(steps, drawn, strict=True):
            terms = _learn(learner, config, stage, batches, optimizer, learning_rate(stage, step))
            report.add(step, terms, learning_rate(stage, step), drawn)
            if report.checkpoint_is_due() or (rank == 0 and step + 1 == stage.steps):
                write_checkpoint(place.folder, learner, optimizer, number, step + 1, config)
            if rank == 0 and stage.kind == "prompts" and ((step + 1) % EVALUATE_EVERY == 0 or step + 1 == stage.steps):
                report.evaluation(step, quick_evaluation(learner, stage.image_size))
    if rank == 0 and number + 1 < len(config.stages):
        resized = resize_model(learner.model, config.stages[number + 1].image_size)
        write_checkpoint(place.folder, Learner(resized, learner.heads, learner.tokenizer), None, number + 1, 0, config)
    elif rank == 0:
        write_checkpoint(place.folder, learner, optimizer, number, stage.steps, config)


def freeze_all_but(learner: Learner, beginnings: tuple[str, ...]) -> None:
    """Let only the parameters learn whose names begin so, or everything, the alignment heads included, for ().

    Modules that are frozen whole attend by SDPA: forwards it takes a third of the time of "eager", which is for
    learning. They say so last, as a configuration also sets those under it.
    """
    learner.heads.requires_grad_(not beginnings)
    for name, parameter in learner.model.named_parameters():
        parameter.requires_grad_(not beginnings or name.startswith(beginnings))
    owners = [m for m in learner.model.modules() if isinstance(getattr(m, "config", None), PreTrainedConfig)]
    learns = [any(parameter.requires_grad for parameter in owner.parameters()) for owner in owners]
    for wanted, way in ((True, "eager"), (False, "sdpa")):
        for owner, learning in zip(owners, learns, strict=True):
            if learning == wanted:
                cast(Any, owner).config._attn_implementation = way


def _learn(
    learner: Learner,
    config: TrainConfig,
    stage: Stage,
    batches: Sequence[Any],
    optimizer: torch.optim.AdamW,
    rate: float,
) -> dict[str, Tensor]:
    """One step on all batches; gives the mean of each loss term."""
    means: dict[str, Tensor] = {}

    def terms() -> Iterator[Iterable[Tensor]]:
        for batch in batches:
            found = STEPS[stage.kind](learner, config, stage, batch)
            for name, value in found.items():
                means[name] = means.get(name, torch.zeros((), device=value.device)) + value.detach() / len(batches)
            yield found.values()

    descend_together(terms(), len(batches), optimizer, config, rate)
    return means


def _optimizer(learner: Learner, config: TrainConfig, stage: Stage) -> torch.optim.AdamW:
    """AdamW; the pre-trained parts (backbone, text) learn at the stage's `pretrained_share` of the rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in [*learner.model.named_parameters(), *learner.heads.named_parameters()]:
        if not parameter.requires_grad:
            continue
        decayed = parameter.ndim >= 2 and "embed" not in name and "reference_points" not in name
        groups.setdefault((decayed, name.startswith(PRETRAINED)), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": groups[key],
                "weight_decay": config.weight_decay if key[0] else 0.0,
                "share": stage.pretrained_share if key[1] else 1.0,
            }
            for key in sorted(groups)
        ],
        lr=1e-3,
        betas=(0.9, 0.98),
    )
