"""The clicks run: the tracker half learns on the frozen backbone of exported weights."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sam3_agent.errors import InputError
from sam3_agent.model.loading import load_model, load_tracker
from sam3_agent.model.tracker import ClickFeatures, Clicks, Tracker
from sam3_agent.scenes.options import SceneOptions
from sam3_agent.scenes.scene import generate_scene
from sam3_agent.training.checkpoint import read_state, write_state
from sam3_agent.training.click_batch import ObjectBatch, draw_objects, object_batch
from sam3_agent.training.click_forward import ClickAnswers, answer_clicks
from sam3_agent.training.click_loss import click_loss, mask_iou
from sam3_agent.training.click_prompts import (
    Click,
    correction,
    interior_point,
    random_point,
    several_clicks,
    shaken_box,
)
from sam3_agent.training.config import Stage, TrainConfig
from sam3_agent.training.evaluate import HELD_OUT_SEED
from sam3_agent.training.optimizer_step import descend, learning_rate, mixed_precision, ranks_together
from sam3_agent.training.report import Report
from sam3_agent.training.tiny import HIDDEN
from sam3_agent.training.tiny_tracker import new_tracker, tiny_tracker_config

MASK_SCALE = 10.0
"""Logit of a mask that is given as such, and not as an earlier answer; the model gives the same to masks by id."""


@dataclass(frozen=True, slots=True)
class ClickLearner:
    """Modules that are trained, and the frozen ViT under them."""

    backbone: nn.Module
    tracker: Tracker
    head: nn.Linear
    """Reads off a place whether it belongs to the object; not shipped."""


def click_step(learner: ClickLearner, config: TrainConfig, stage: Stage, rng: np.random.Generator) -> dict[str, Tensor]:
    """Objects of fresh scenes, a first prompt about each, then a correction; terms are means over both rounds.

    A third of the objects gets a click at its most interior point, a third a box, a third something rarer.
    """
    batch = draw_objects(config, stage, learner.tracker.mask_size[0], rng)
    with mixed_precision(config.device):
        features = learner.tracker.features(encode_grid(learner, batch.pixels))
        groups = np.array_split(rng.permutation(len(batch.index)), 3)
        kinds = (center_clicks, shaken_boxes, _RARER[int(rng.integers(len(_RARER)))])
        terms: dict[str, Tensor] = {}
        for group, kind in zip(groups, kinds, strict=True):
            if len(group):
                share = len(group) / len(batch.index)
                for name, value in _two_rounds(learner, features, batch, group, kind, rng).items():
                    terms[name] = terms.get(name, torch.zeros(())) + share * value
    return terms


@torch.no_grad()
def encode_grid(learner: ClickLearner, pixels: Tensor) -> Tensor:
    """(B, D, g, g) last hidden state of the frozen ViT."""
    device = next(learner.tracker.parameters()).device
    hidden = cast(Any, learner.backbone)(pixels.to(device)).last_hidden_state  # (B, g * g, D)
    side = round(hidden.shape[1] ** 0.5)
    return hidden.transpose(1, 2).unflatten(2, (side, side))


def _two_rounds(
    learner: ClickLearner,
    features: ClickFeatures,
    batch: ObjectBatch,
    group: NDArray[np.int64],
    kind: "Kind",
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    chosen = torch.from_numpy(group)  # pyright: ignore[reportUnknownMemberType]
    device = features.coarse.device
    own = features.select(batch.index[chosen].to(device))
    cover = batch.cover[chosen].to(device)
    clicks = kind(batch, group, rng).on(device)
    first = answer_clicks(learner.tracker, own, clicks)
    second = answer_clicks(learner.tracker, own, corrected(batch, group, clicks, first, rng).on(device))
    one, two = (click_loss(answers, learner.head, cover) for answers in (first, second))
    return {name: (value + two[name]) / 2 for name, value in one.items()}


def center_clicks(batch: ObjectBatch, group: NDArray[np.int64], rng: np.random.Generator) -> Clicks:
    """One click on each object's most interior point, off by up to a cell."""
    shake = rng.uniform(-1, 1, size=(len(group), 2))
    points = [interior_point(batch.solid[i]) for i in group]
    return clicks_of([[(x + dx, y + dy, 1)] for (x, y), (dx, dy) in zip(points, shake, strict=True)], batch.cell)


def shaken_boxes(batch: ObjectBatch, group: NDArray[np.int64], rng: np.random.Generator) -> Clicks:
    """A box around each object."""
    boxes = np.stack([shaken_box(batch.boxes[i], batch.cover.shape[-1], rng) for i in group]) * batch.cell
    return replace(clicks_of([[] for _ in group], batch.cell), boxes=_floats(boxes))


def _random_clicks(batch: ObjectBatch, group: NDArray[np.int64], rng: np.random.Generator) -> Clicks:
    return clicks_of([[(*random_point(batch.solid[i], rng), 1)] for i in group], batch.cell)


def _several(batch: ObjectBatch, group: NDArray[np.int64], rng: np.random.Generator) -> Clicks:
    count = int(rng.integers(2, 5))
    return clicks_of([several_clicks(batch.solid[i], count, rng) for i in group], batch.cell)


def _box_and_click(batch: ObjectBatch, group: NDArray[np.int64], rng: np.random.Generator) -> Clicks:
    return replace(_random_clicks(batch, group, rng), boxes=shaken_boxes(batch, group, rng).boxes)


Kind = Callable[[ObjectBatch, NDArray[np.int64], np.random.Generator], Clicks]
_RARER: tuple[Kind, ...] = (_random_clicks, _random_clicks, _several, _box_and_click)


def corrected(
    batch: ObjectBatch, group: NDArray[np.int64], before: Clicks, answers: ClickAnswers, rng: np.random.Generator
) -> Clicks:
    """Prompt that follows a first answer: most often that answer as a mask, and a click on a fault of it.

    The mask is given as the raw logits or as a plain mask, the earlier clicks and boxes with it or not. Sometimes there
    is no new click (the mask alone), sometimes no mask (all clicks together).
    """
    best = answers.best()  # (P, G, G)
    masks = (best if rng.random() < 0.5 else torch.where(best > 0, MASK_SCALE, -MASK_SCALE))[:, None]
    if rng.random() < 0.1:
        return replace(clicks_of([[] for _ in group], batch.cell), masks=masks)
    found = (best > 0).cpu().numpy()
    more = clicks_of([[correction(batch.solid[i], found[row], rng)] for row, i in enumerate(group)], batch.cell)
    if rng.random() < 0.4:
        return replace(more, masks=masks)
    points = torch.cat([before.points.cpu(), more.points], dim=1)
    labels = torch.cat([before.labels.cpu(), more.labels], dim=1)
    return Clicks(points, labels, before.boxes, masks if rng.random() < 0.8 else None)


def clicks_of(rows: list[list[Click]], cell: float) -> Clicks:
    """Equally many clicks a row, in cells, as a prompt in input pixels."""
    points = np.array([[(x, y) for x, y, _ in row] for row in rows], dtype=np.float32).reshape(len(rows), -1, 2)
    labels = np.array([[label for _, _, label in row] for row in rows], dtype=np.int64).reshape(len(rows), -1)
    return Clicks(_floats(points * cell), torch.from_numpy(labels))  # pyright: ignore[reportUnknownMemberType]


def _floats(array: NDArray[np.floating[Any]]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))  # pyright: ignore[reportUnknownMemberType]


@torch.inference_mode()
def quick_click_evaluation(learner: ClickLearner, image_size: int, scenes: int = 20) -> dict[str, str]:
    """Mean IoU on the mask grid from a center click, from a box, and after one correction of the click."""
    learner.tracker.eval()
    options = SceneOptions(min_side=256, max_side=512)
    ious: dict[str, list[float]] = {}
    for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + scenes):
        scene = generate_scene(seed, options)
        batch = object_batch([scene], [list(range(len(scene.objects)))], image_size, learner.tracker.mask_size[0])
        features = learner.tracker.features(encode_grid(learner, batch.pixels)).select(batch.index)
        for name, values in _readings(learner, features, batch, np.random.default_rng(seed)).items():
            ious.setdefault(name, []).extend(values)
    learner.tracker.train()
    return {name: f"mIoU {np.mean(values):.3f} n {len(values)}" for name, values in ious.items()}


def _readings(
    learner: ClickLearner, features: ClickFeatures, batch: ObjectBatch, rng: np.random.Generator
) -> dict[str, list[float]]:
    def ask(clicks: Clicks) -> ClickAnswers:
        return answer_clicks(learner.tracker, features, clicks.on(features.coarse.device))

    def best(answers: ClickAnswers) -> list[float]:
        return _list(mask_iou(answers.best()[:, None].cpu(), batch.cover)[:, 0])

    return _ask_all(ask, best, batch, rng)


def _ask_all(
    ask: Callable[[Clicks], ClickAnswers],
    best: Callable[[ClickAnswers], list[float]],
    batch: ObjectBatch,
    rng: np.random.Generator,
) -> dict[str, list[float]]:
    centers = [(*interior_point(solid), 1) for solid in batch.solid]
    click = ask(clicks_of([[center] for center in centers], batch.cell))
    boxes = torch.from_numpy(batch.boxes * batch.cell)  # pyright: ignore[reportUnknownMemberType]
    nothing = clicks_of([[] for _ in centers], batch.cell)
    box = ask(Clicks(nothing.points, nothing.labels, boxes))
    logits: Tensor = click.best()
    found = (logits > 0).cpu().numpy()
    rows = [[c, correction(s, f, rng)] for c, s, f in zip(centers, batch.solid, found, strict=True)]
    more = clicks_of(rows, batch.cell)
    after = ask(Clicks(more.points, more.labels, masks=logits[:, None]))
    oracle = _list(mask_iou(click.masks[:, 1:].cpu(), batch.cover).max(1).values)
    return {"click": best(click), "click, oracle of 3": oracle, "box": best(box), "click + correction": best(after)}


def _list(values: Tensor) -> list[float]:
    return cast(list[float], cast(Any, values).tolist())


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
    tracker = _start_tracker(config, weights, encoder)
    head = nn.Linear(HIDDEN, 1)
    nn.init.constant_(head.bias, -2.0)
    if saved is not None:
        if saved["backbone"] != fingerprint:
            raise InputError(f"the run was begun on other weights than those in '{weights}'; give those or a new --out")
        tracker.load_state_dict(saved["tracker"])
        head.load_state_dict(saved["head"])
    return ClickLearner(backbone.to(config.device), tracker.to(config.device), head.to(config.device)), fingerprint


def _start_tracker(config: TrainConfig, weights: Path, encoder: nn.Module) -> Tracker:
    """A fresh tracker half, or that of the weights for a run that goes on.

    Raises:
        InputError: the run goes on, and the weights have none.
    """
    parts = cast(Any, encoder)
    tracker = new_tracker(tiny_tracker_config(parts.backbone.config), parts.neck)
    if config.stages[0].goes_on:
        trained = load_tracker(weights, torch.device("cpu"), torch.float32)
        if trained is None:
            raise InputError(f"the weights in '{weights}' have no click half to go on from; train `clicks` first")
        # the level that nothing reads is not loaded for use, and stays zero
        tracker.load_state_dict(tracker.state_dict() | trained.state_dict())
    return tracker


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
