"""Replay of other words on the very images that an adapter learns from: what the base finds for them is the target.

Detectors that learn one new word give it as the answer to others (59 % of the nouns of a trial); asking those others on
the same images is what cures it. The targets are the base's own scores and boxes, query by query, as in distillation
(arXiv 1503.02531): the network begins as the base, so that every query still means what it meant. What the base found
on a labeled object under another word is not replayed but refused, unless the word is a name of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_iou  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from transformers import Sam3Model

from sam3_agent.training.forward import Outputs, answer, to_xyxy
from sam3_agent.training.losses import focal
from sam3_agent.training.teaching.prompt_tokens import fused

ANSWERED = 0.6
"""Share of the words that the base finds something for; of the rest most are refused, which is to stay so too."""
SAME = 0.5
"""IoU of boxes from which on a finding of another word is one of the labeled objects."""
SCORES, BOXES, PRESENCE, MEMORY = 4.0, 5.0, 1.0, 1.0
"""Weights of the terms; the first three are those of the detection loss."""
HARDLY_MOVED = 0.002
"""Sides of the image under which a box has hardly moved: a plain absolute difference would pull as hard at rounding
errors, which two ways to compute the same answer (with gradients and without) differ by on some processors."""


class Seen(Protocol):
    """A view of an image, with its features."""

    @property
    def image(self) -> int:
        """Number of the image."""
        ...

    @property
    def levels(self) -> tuple[Tensor, ...]:
        """(1, C, h, w) each, finest first."""
        ...

    @property
    def prefix(self) -> Tensor:
        """(L, C) tokens of a prompt, the view's CLS token last."""
        ...

    @property
    def boxes(self) -> Tensor:
        """(N, 4) cxcywh, shares of the view."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ReplayRow:
    """Another word, asked of a view."""

    coarse: Tensor
    """(1, C, h, w)"""
    prompt: Tensor
    """(L, C)"""
    labeled: Tensor
    """(N, 4) cxcywh of labeled objects that the word must not name; none where it may."""


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """Other words with their tokens, and which of them the base answers on which image."""

    words: tuple[str, ...]
    tokens: tuple[Tensor, ...]
    """(L, C) of each word, without a CLS token"""
    answered: tuple[tuple[int, ...], ...]
    """Words that the base finds something for, image by image."""
    names: frozenset[int]
    """Words that name the labeled objects too."""

    def rows(self, views: Sequence[Seen], count: int, rng: np.random.Generator) -> list[ReplayRow]:
        """Ask `count` words of every view, most of them such as the base finds something for."""
        rows: list[ReplayRow] = []
        for view in views:
            known = self.answered[view.image]
            for _ in range(count):
                words = known if known and rng.random() < ANSWERED else range(len(self.words))
                word = int(words[int(rng.integers(len(words)))])
                labeled = view.boxes[:0] if word in self.names else view.boxes
                rows.append(ReplayRow(view.levels[-1], torch.cat([self.tokens[word], view.prefix[-1:]]), labeled))
        return rows


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Answers of a network to replayed words."""

    outputs: Outputs
    encoded: Tensor
    """(R, h * w, C)"""


def answers_to_words(network: Sam3Model, rows: Sequence[ReplayRow], *, gradient: bool = False) -> Answers:
    """Ask every row."""
    device, number = network.device, cast(Any, network).dtype
    coarse = torch.cat([row.coarse for row in rows]).to(device, number)
    prompt = torch.nn.utils.rnn.pad_sequence([row.prompt for row in rows], batch_first=True).to(device, number)
    lengths = torch.tensor([len(row.prompt) for row in rows], device=device)
    mask = torch.arange(prompt.shape[1], device=device) < lengths[:, None]  # (R, L)
    with torch.set_grad_enabled(gradient and torch.is_grad_enabled()):
        grounding = fused(network, coarse, prompt, mask)
        return Answers(answer(network, grounding), grounding.encoded)


def drift(before: Answers, after: Answers, rows: Sequence[ReplayRow]) -> Tensor:
    """Distance of the answers from those of the base, and from refusing what the base should not have found."""
    old, new = before.outputs, after.outputs
    wrong = torch.stack([_on_labeled(old.boxes[-1, place], row.labeled) for place, row in enumerate(rows)])  # (R, Q)
    sure = old.logits.float().sigmoid() * ~wrong  # (L, R, Q)
    said = old.presence.float().sigmoid()  # (L, R)
    left = sure[-1].amax(dim=1) * said[-1] > SAME
    robbed = wrong.any(dim=1) & (old.logits[-1].float().sigmoid().amax(dim=1) > SAME) & ~left
    said = said * ~robbed
    scores = focal(new.logits, sure).sum() / len(rows)
    apart = functional.smooth_l1_loss(
        new.boxes.float(), old.boxes.float(), reduction="none", beta=HARDLY_MOVED
    )  # (L, R, Q, 4)
    boxes = (apart.sum(dim=-1) * sure).sum() / sure.sum().clamp(min=1.0)
    presence = functional.binary_cross_entropy_with_logits(new.presence.float(), said, reduction="none").mean(dim=1)
    memory = functional.mse_loss(after.encoded.float(), before.encoded.float())
    return SCORES * scores + BOXES * boxes + PRESENCE * presence.sum() + MEMORY * memory


def _on_labeled(boxes: Tensor, labeled: Tensor) -> Tensor:
    """(Q,) whether each of (Q, 4) boxes is one of the labeled objects."""
    if not len(labeled):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    overlap = cast(Tensor, cast(Any, box_iou)(to_xyxy(boxes.float()), to_xyxy(labeled.to(boxes.device))))
    return overlap.amax(dim=1) >= SAME
