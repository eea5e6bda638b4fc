"""Training of an adapter on cached features: its own phrase on views of images, other words beside it where it is on
for all of them.

Every fold of the images is left out once, as in the teaching of prompt tokens: what is trained without it is stopped by
the loss on it, all folds begin at one point, and the mean of what they arrive at is the adapter (weight averaging,
arXiv 2203.05482; the mean of low-rank changes is exact, their ranks add up).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Sam3Model

from sam3_agent.model.adapters.low_rank import fresh, view_of
from sam3_agent.training.checkpoint import read_state, write_state
from sam3_agent.training.finetuning.replay import Replay, ReplayRow, answers_to_words, drift
from sam3_agent.training.forward import Outputs, answer
from sam3_agent.training.losses import LossWeights, MaskTruth, Match, detection_loss, mask_loss
from sam3_agent.training.teaching.prompt_tokens import Clock, TeachProgress, drawn_views, fused, rate_share

WEIGHTS = LossWeights()
CLIP = 1.0
CHECK_EVERY = 20
"""Steps between two looks at the fold that is left out, and between two checkpoints."""
PATIENCE = 3
"""Looks without a gain after which a fold ends."""
TOKENS = "prompt.tokens"
"""Name of the prompt tokens among the trained tensors."""
HELD_OUT_OTHERS = 4
"""Views of the fold that is left out on which other words are compared with the base."""


@dataclass(frozen=True, slots=True)
class AdapterOptions:
    """Recipe of a training; the same values on the same images give the same adapter."""

    rank: int = 4
    """Of each fold's changes."""
    folds: int = 2
    steps: int = 120
    """Of each fold."""
    batch: int = 4
    """Views a step, half of them with the concept."""
    rate: float = 1e-3
    """Highest step size of the changes."""
    tokens: int = 1
    """Prompt tokens that are trained with them, which begin as the mean of the examples; 0 for none. One finds most of
    the objects before the first step: after 30 steps F1 .78 with one, .50 with eight that begin near it."""
    token_rate: float = 1e-2
    noise: float = 0.0
    """Of the first tokens, as a share of their size: equal ones would stay equal, so that several need some."""
    others: int = 0
    """Other words asked of each view; 0 where the adapter is on for its own phrase alone."""
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class LabeledView:
    """Everything that a step needs of a view."""

    image: int
    fold: int
    whole: bool
    """Whether it is an image as it is, rather than a crop of one."""
    levels: tuple[Tensor, ...]
    """(1, C, h, w) each, finest first"""
    prefix: Tensor
    """(L, C) tokens of the phrase, the view's CLS token last"""
    boxes: Tensor
    """(N, 4) cxcywh, shares of the view"""
    shapes: Tensor
    """(N, h, w) uint8, share of each cell of the finest level that an object covers, of 255"""


@dataclass(slots=True, eq=False)
class _State:
    """Position of a training; it is written to disk as it is."""

    fold: int
    step: int
    trained: dict[str, Tensor]
    best: dict[str, Tensor]
    best_loss: float
    checks_without_gain: int
    hardness: Tensor
    """(V,) score of what was found last on each view"""
    done: list[dict[str, Tensor]]
    """Parameters at which the folds before arrived."""
    optimizer: dict[str, Any] | None = None

    def check(self, trained: dict[str, Tensor], loss: float) -> None:
        """Keep what is at least as good as the best before."""
        self.trained = trained
        self.checks_without_gain = 0 if loss <= self.best_loss else self.checks_without_gain + 1
        if not self.checks_without_gain:
            self.best, self.best_loss = trained, loss

    def write(self, folder: Path, key: str) -> None:
        """Write a checkpoint."""
        folder.mkdir(exist_ok=True)
        write_state(folder, {"key": key} | {each.name: getattr(self, each.name) for each in fields(self)})


def train_adapter(
    network: Sam3Model,
    views: Sequence[LabeledView],
    start: NDArray[np.float32],
    options: AdapterOptions,
    replay: Replay | None = None,
    *,
    folder: Path | None = None,
    key: str = "",
    on_progress: Callable[[TeachProgress], None] = lambda _: None,
) -> list[dict[str, Tensor]]:
    """Train the changes of each fold; the network itself stays as it is.

    Args:
        network: frozen here.
        views: with and without the concept, of every fold.
        start: (C,) that all prompt tokens begin near.
        options: the recipe.
        replay: other words and what the base finds for them; None where the adapter is gated.
        folder: keeps a checkpoint, from which an equal call goes on.
        key: says what the checkpoint is of; one of something else is not gone on from.
        on_progress: told after every step.
    """
    network.requires_grad_(False)
    state = _resumed(folder, key) or _begun(network, start, options, len(views))
    clock = Clock(options.steps * options.folds, state.fold * options.steps + state.step, on_progress)

    def save() -> None:
        if folder is not None:
            state.write(folder, key)

    while state.fold < options.folds:
        _Fold(network, views, options, replay, state).train(clock, save)
        state = _begun(network, start, options, len(views), [*state.done, state.best])
        save()
    return state.done


class _Fold:
    """One fold while it is trained."""

    def __init__(
        self,
        network: Sam3Model,
        views: Sequence[LabeledView],
        options: AdapterOptions,
        replay: Replay | None,
        state: _State,
    ) -> None:
        self._views, self._options, self._replay, self._state = views, options, replay, state
        several = options.folds > 1
        self._learned = np.array([p for p, view in enumerate(views) if view.fold != state.fold or not several])
        self._held_out = [view for view in views if view.fold == state.fold and view.whole and several]
        self._trained = {n: t.clone().to(network.device).requires_grad_() for n, t in state.trained.items()}
        self._network = view_of(network, self._trained)
        self._base = network
        tokens = [t for name, t in self._trained.items() if name == TOKENS]
        changes = [t for name, t in self._trained.items() if name != TOKENS]
        groups = [{"params": changes, "top": options.rate}, {"params": tokens, "top": options.token_rate}]
        self._optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=options.rate, weight_decay=0.0)
        if state.optimizer is not None:
            self._optimizer.load_state_dict(state.optimizer)

    def train(self, clock: Clock, save: Callable[[], None]) -> None:
        """Go on to the last step, or until what is left out shows no gain any more."""
        state, options = self._state, self._options
        while state.step < options.steps and state.checks_without_gain < PATIENCE:
            self._step(np.random.default_rng([options.seed, state.fold, state.step]))
            state.step += 1
            clock.tick()
            if state.step % CHECK_EVERY == 0 or state.step == options.steps:
                held = {name: value.detach().cpu().clone() for name, value in self._trained.items()}
                state.check(held, self._held_out_loss())
                state.optimizer = self._optimizer.state_dict()
                save()
        clock.skip(options.steps - state.step)

    def _step(self, rng: np.random.Generator) -> None:
        options, state = self._options, self._state
        chosen = drawn_views(self._views, self._learned, state.hardness, options.batch, rng)
        views = [self._views[int(place)] for place in chosen]
        self._optimizer.zero_grad()
        loss, beliefs = own_loss(self._network, views, self._trained.get(TOKENS), shapes=True)
        cast(Any, loss).backward()
        if self._replay is not None:
            rows = self._replay.rows(views, options.others, rng)
            cast(Any, self._drift(rows)).backward()
        for group in self._optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], CLIP)
            group["lr"] = group["top"] * rate_share(state.step, options.steps)
        cast(Any, self._optimizer).step()
        state.hardness[torch.from_numpy(chosen)] = beliefs.detach().float().cpu()  # pyright: ignore[reportUnknownMemberType]

    def _drift(self, rows: Sequence[ReplayRow]) -> Tensor:
        before = answers_to_words(self._base, rows)
        after = answers_to_words(self._network, rows, gradient=True)
        return drift(before, after, rows)

    def _held_out_loss(self) -> float:
        """The loss on what was not learned from; 0 where there is nothing, so that the last step is the best."""
        if not self._held_out:
            return 0.0
        with torch.no_grad():
            loss, _ = own_loss(self._network, self._held_out, self._trained.get(TOKENS), shapes=False)
            if self._replay is not None:
                rows = self._replay.rows(
                    self._held_out[:HELD_OUT_OTHERS], self._options.others, np.random.default_rng(0)
                )
                loss = loss + self._drift(rows)
        return float(loss)


def own_loss(
    network: Sam3Model, views: Sequence[LabeledView], tokens: Tensor | None, *, shapes: bool
) -> tuple[Tensor, Tensor]:
    """The loss of the phrase on views, and the (V,) score of what is found best on each."""
    device, number = network.device, cast(Any, network).dtype
    coarse = torch.cat([view.levels[-1] for view in views]).to(device, number)  # (V, C, h, w)
    prompt = torch.stack([view.prefix for view in views]).to(device, number)  # (V, L, C)
    if tokens is not None:
        prompt = torch.cat([prompt, tokens.to(number).expand(len(views), -1, -1)], dim=1)  # (V, L + T, C)
    mask = torch.ones(prompt.shape[:2], dtype=torch.bool, device=device)
    grounding = fused(network, coarse, prompt, mask)
    outputs = answer(network, grounding)
    terms, matches = detection_loss(outputs, [view.boxes.to(device) for view in views], WEIGHTS)
    rows = [row for row, view in enumerate(views) if len(view.boxes)]
    if shapes and rows:
        memory = grounding.encoded, prompt, mask
        terms |= _shape_terms(network, [views[row] for row in rows], rows, matches, outputs, memory)
    best = outputs.logits[-1].sigmoid().amax(dim=1) * outputs.presence[-1].sigmoid()  # (V,)
    return torch.stack([term.float() for term in terms.values()]).sum(), best


def _shape_terms(
    network: Sam3Model,
    views: Sequence[LabeledView],
    rows: Sequence[int],
    matches: Sequence[Match],
    outputs: Outputs,
    memory: tuple[Tensor, Tensor, Tensor],
) -> dict[str, Tensor]:
    """Terms of the masks of the matched queries alone; the others' would be drawn for nothing."""
    device = network.device
    found = [matches[row] for row in rows]
    queries = torch.nn.utils.rnn.pad_sequence([query for query, _ in found], batch_first=True).to(device)  # (R, K)
    place = torch.tensor(rows, device=device)
    encoded, prompt, mask = (part[place] for part in memory)
    drawn = cast(Any, network).mask_decoder(
        decoder_queries=outputs.queries[place[:, None], queries],
        backbone_features=[
            torch.cat([view.levels[level] for view in views]).to(device, encoded.dtype)
            for level in range(len(views[0].levels))
        ],
        encoder_hidden_states=encoded,
        prompt_features=prompt,
        prompt_mask=mask,
    )
    covers = [view.shapes.to(device).float() / 255 for view in views]
    truths = [MaskTruth(cover, (cover.sum(0, keepdim=True) - cover).clamp(0, 1)) for cover in covers]
    renamed = [(torch.arange(len(query)), index) for query, index in found]
    return mask_loss(drawn.pred_masks, drawn.semantic_seg.squeeze(1), truths, renamed, WEIGHTS)


def _begun(
    network: Sam3Model,
    start: NDArray[np.float32],
    options: AdapterOptions,
    views: int,
    done: Sequence[dict[str, Tensor]] = (),
) -> _State:
    """The start of a fold: the same for each, so that the mean of all is an adapter too."""
    trained = fresh(network, options.rank, options.seed)
    if options.tokens:
        rng = np.random.default_rng([options.seed, 0])
        size = float(np.sqrt(np.mean(start.astype(np.float64) ** 2)))
        noise = rng.standard_normal((options.tokens, len(start))) * options.noise * size
        trained[TOKENS] = torch.from_numpy((start + noise).astype(np.float32))  # pyright: ignore[reportUnknownMemberType]
    return _State(len(done), 0, trained, trained, math.inf, 0, torch.zeros(views), list(done))


def _resumed(folder: Path | None, key: str) -> _State | None:
    saved = read_state(folder) if folder is not None else None
    if saved is None or saved.pop("key") != key:
        return None
    return _State(**saved)
