"""One step of the clicks run: objects in, loss terms out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sam3_agent.model.tracker import ClickFeatures, Clicks, Tracker
from sam3_agent.training.click_batch import ObjectBatch, draw_objects
from sam3_agent.training.click_forward import ClickAnswers, answer_clicks
from sam3_agent.training.click_loss import click_loss
from sam3_agent.training.click_prompts import (
    Click,
    correction,
    interior_point,
    random_point,
    several_clicks,
    shaken_box,
)
from sam3_agent.training.config import Stage, TrainConfig

MASK_SCALE = 10.0
"""Logit of a mask that is given as such, and not as an earlier answer; the eye gives the same to masks by id."""


@dataclass(frozen=True, slots=True)
class ClickLearner:
    """What is trained, and the frozen ViT under it."""

    backbone: nn.Module
    tracker: Tracker
    head: nn.Linear
    """Reads off a place whether it belongs to the object; not shipped."""


def click_step(learner: ClickLearner, config: TrainConfig, stage: Stage, rng: np.random.Generator) -> dict[str, Tensor]:
    """Objects of fresh scenes, a first prompt about each, then a correction; terms are means over both rounds.

    A third of the objects gets a click at its most interior point, a third a box, a third something rarer.
    """
    batch = draw_objects(config, stage, learner.tracker.mask_size[0], rng)
    with torch.autocast(config.device, torch.bfloat16):
        features = learner.tracker.features(encode_grid(learner, batch.pixels))
        groups = np.array_split(rng.permutation(len(batch.index)), 3)
        kinds = (centre_clicks, shaken_boxes, _RARER[int(rng.integers(len(_RARER)))])
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


def centre_clicks(batch: ObjectBatch, group: NDArray[np.int64], rng: np.random.Generator) -> Clicks:
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
    """What comes after a first answer: most often that answer as a mask, and a click on a fault of it.

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
