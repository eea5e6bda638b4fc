"""Prompt tokens trained by gradient on a frozen network, on cached features.

The tokens stand behind those that a prompt without words has on an image, exactly as a learned concept's do, and are
all that is trained (prompt tuning; M2C, arXiv 2606.26711, does it with SAM 3). Every fold of the images is left out
once: what is trained without it is stopped by the loss on it. As all folds begin at one point, the mean of what they
arrive at is again a prompt, and a better one than each (weight averaging, arXiv 2203.05482).
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Sam3Model

from sam3_agent.model.sam3_forward import position_encoding
from sam3_agent.training.checkpoint import read_state, write_state
from sam3_agent.training.forward import Grounding, Outputs, answer
from sam3_agent.training.losses import LossWeights, detection_loss
from sam3_agent.training.teaching.progress import TeachProgress

WEIGHTS = LossWeights()
CLIP = 1.0
WARM_UP = 10
"""Steps."""
LAST_RATE = 0.05
"""Share of the rate that the cosine ends at."""
EASY = 0.2
"""Weight of an absent view that the tokens say no to; one that they are sure of has 1 more."""
CHECK_EVERY = 20
"""Steps between two looks at the fold that is left out, and between two checkpoints."""
PATIENCE = 3
"""Looks without a gain after which a fold ends."""


@dataclass(frozen=True, slots=True)
class TokenOptions:
    """Recipe of a training; the same values on the same images give the same tokens."""

    tokens: int = 8
    folds: int = 4
    steps: int = 60
    """Of each fold. From twenty images of a new thing the loss on unseen ones fell up to step 50 (6.7; 100: 7.2)."""
    batch: int = 4
    """Views a step, half of them with the concept."""
    rate: float = 5e-2
    """Highest step size, for tokens whose entries are about 1."""
    noise: float = 0.5
    """Of the first tokens, as a share of their size: equal ones would stay equal."""
    seed: int = 0


class Boxed(Protocol):
    """Anything that has boxes of objects, or none."""

    @property
    def boxes(self) -> Tensor:
        """(N, 4) cxcywh, shares of the view."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CachedView:
    """Everything that a step needs of a view."""

    fold: int
    whole: bool
    """Whether it is an image as it is, rather than a crop of one."""
    coarse: Tensor
    """(1, C, h, w) coarsest level"""
    prefix: Tensor
    """(L, C) tokens before those that are trained"""
    boxes: Tensor
    """(N, 4) cxcywh, shares of the view"""


@dataclass(slots=True, eq=False)
class _State:
    """Position of a training; it is written to disk as it is."""

    fold: int
    step: int
    tokens: Tensor
    best: Tensor
    best_loss: float
    checks_without_gain: int
    hardness: Tensor
    """(V,) score of what was found last on each view"""
    done: list[Tensor]
    """Tokens of the folds before."""
    optimizer: dict[str, Any] | None = None

    def check(self, tokens: Tensor, loss: float) -> None:
        """Keep tokens that are at least as good as the best before."""
        self.tokens = tokens
        self.checks_without_gain = 0 if loss <= self.best_loss else self.checks_without_gain + 1
        if not self.checks_without_gain:
            self.best, self.best_loss = tokens, loss

    def write(self, folder: Path, key: str) -> None:
        """Write a checkpoint."""
        folder.mkdir(exist_ok=True)
        write_state(folder, {"key": key} | {each.name: getattr(self, each.name) for each in fields(self)})


def train_tokens(
    network: Sam3Model,
    views: Sequence[CachedView],
    start: NDArray[np.float32],
    options: TokenOptions,
    *,
    folder: Path | None = None,
    key: str = "",
    on_progress: Callable[[TeachProgress], None] = lambda _: None,
) -> list[NDArray[np.float32]]:
    """Train one set of tokens a fold; each is (tokens, C).

    Args:
        network: frozen here, its weights stay as they are.
        views: with and without the concept, of every fold.
        start: (C,) that all tokens begin near.
        options: the recipe.
        folder: keeps a checkpoint, from which an equal call goes on.
        key: says what the checkpoint is of; one of something else is not gone on from.
        on_progress: told after every step.
    """
    network.requires_grad_(False)
    state = _resumed(folder, key) or _begun(start, options, len(views))
    clock = Clock(options.steps * options.folds, state.fold * options.steps + state.step, on_progress)

    def save() -> None:
        if folder is not None:
            state.write(folder, key)

    while state.fold < options.folds:
        _train_fold(network, views, options, state, clock, save)
        state = _begun(start, options, len(views), [*state.done, state.best])
        save()
    return [tokens.numpy() for tokens in state.done]


def held_out_loss(network: Sam3Model, views: Sequence[CachedView], tokens: Tensor) -> float:
    """The loss on views that were not learned from; 0 where there are none, so that the last tokens are the best."""
    if not views:
        return 0.0
    with torch.no_grad():
        return float(_loss(network, views, tokens)[0])


def _train_fold(
    network: Sam3Model,
    views: Sequence[CachedView],
    options: TokenOptions,
    state: _State,
    clock: "Clock",
    save: Callable[[], None],
) -> None:
    """Train what the fold's images are left out of, up to the last step or until they show no gain any more."""
    learned = np.array([place for place, view in enumerate(views) if view.fold != state.fold or options.folds == 1])
    held_out = [view for view in views if view.fold == state.fold and view.whole and options.folds > 1]
    tokens = state.tokens.clone().to(network.device).requires_grad_()
    optimizer = torch.optim.AdamW([tokens], lr=options.rate, weight_decay=0.0)
    if state.optimizer is not None:
        optimizer.load_state_dict(state.optimizer)
    while state.step < options.steps and state.checks_without_gain < PATIENCE:
        rng = np.random.default_rng([options.seed, state.fold, state.step])
        chosen = drawn_views(views, learned, state.hardness, options.batch, rng)
        loss, beliefs = _loss(network, [views[int(place)] for place in chosen], tokens)
        optimizer.zero_grad()
        cast(Any, loss).backward()
        torch.nn.utils.clip_grad_norm_([tokens], CLIP)
        optimizer.param_groups[0]["lr"] = options.rate * rate_share(state.step, options.steps)
        cast(Any, optimizer).step()
        state.hardness[torch.from_numpy(chosen)] = beliefs.detach().float().cpu()  # pyright: ignore[reportUnknownMemberType]
        state.step += 1
        clock.tick()
        if state.step % CHECK_EVERY == 0 or state.step == options.steps:
            state.check(tokens.detach().cpu().clone(), held_out_loss(network, held_out, tokens))
            state.optimizer = optimizer.state_dict()
            save()
    clock.skip(options.steps - state.step)


def _loss(network: Sam3Model, views: Sequence[CachedView], tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of (T, C) tokens on views, and the (V,) score of what they find best on each."""
    outputs = answers(network, views, tokens)
    terms, _ = detection_loss(outputs, [view.boxes.to(network.device) for view in views], WEIGHTS)
    best = outputs.logits[-1].sigmoid().amax(dim=1) * outputs.presence[-1].sigmoid()  # (V,)
    return torch.stack([term.float() for term in terms.values()]).sum(), best


def answers(network: Sam3Model, views: Sequence[CachedView], tokens: Tensor) -> Outputs:
    """Answer (T, C) tokens about every view; differentiable in them."""
    device, number = network.device, cast(Any, network).dtype
    coarse = torch.cat([view.coarse for view in views]).to(device, number)  # (V, C, h, w)
    prefix = torch.stack([view.prefix for view in views]).to(device, number)  # (V, L, C)
    prompt = torch.cat([prefix, tokens.to(number).expand(len(views), -1, -1)], dim=1)  # (V, L + T, C)
    mask = torch.ones(prompt.shape[:2], dtype=torch.bool, device=device)
    return answer(network, fused(network, coarse, prompt, mask))


def fused(network: Sam3Model, coarse: Tensor, prompt: Tensor, mask: Tensor) -> Grounding:
    """Fuse (V, L, C) prompt tokens, real where the (V, L) mask says so, with (V, C, h, w) coarsest levels."""
    encoded = cast(Any, network).detr_encoder(
        vision_features=[coarse],
        text_features=prompt,
        vision_pos_embeds=[position_encoding(network, coarse).expand_as(coarse)],
        text_mask=mask,
    )
    shapes = torch.tensor([coarse.shape[-2:]])
    return Grounding(encoded.last_hidden_state, encoded.pos_embeds_flattened, shapes, prompt, mask)


def drawn_views(
    views: Sequence[Boxed],
    learned: NDArray[np.int64],
    hardness: Tensor,
    batch: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Places of a step's views: half with the concept, the others without it and rather the hard ones."""
    present = np.array([len(views[int(place)].boxes) > 0 for place in learned])
    having, lacking = learned[present], learned[~present]
    half = min(batch // 2, len(having))
    rest = min(batch - half, len(lacking))
    weight = EASY + hardness.numpy()[lacking]
    return np.concatenate(
        [
            rng.choice(having, half, replace=False),
            rng.choice(lacking, rest, replace=False, p=weight / weight.sum()) if rest else lacking[:0],
        ]
    )


def rate_share(step: int, steps: int) -> float:
    """Share of the highest rate: linear warm-up, then a cosine."""
    fall = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))
    return min(1.0, (step + 1) / WARM_UP) * fall


def _begun(start: NDArray[np.float32], options: TokenOptions, views: int, done: Sequence[Tensor] = ()) -> _State:
    """The start of a fold: the same tokens for each, so that their mean is a prompt too."""
    rng = np.random.default_rng([options.seed, 0])
    size = float(np.sqrt(np.mean(start.astype(np.float64) ** 2)))
    noise = rng.standard_normal((options.tokens, len(start))) * options.noise * size
    tokens = torch.from_numpy((start + noise).astype(np.float32))  # pyright: ignore[reportUnknownMemberType]
    return _State(len(done), 0, tokens, tokens, math.inf, 0, torch.zeros(views), list(done))


def _resumed(folder: Path | None, key: str) -> _State | None:
    saved = read_state(folder) if folder is not None else None
    if saved is None or saved.pop("key") != key:
        return None
    return _State(**saved)


class Clock:
    """Time left, from the steps of this process."""

    def __init__(self, steps: int, done: int, tell: Callable[[TeachProgress], None]) -> None:
        self._steps = steps
        self._done = done
        self._ran = 0
        self._began = time.monotonic()
        self._tell = tell

    def tick(self) -> None:
        """Count a step."""
        self._ran += 1
        self._count(1)

    def skip(self, steps: int) -> None:
        """Count steps that are not needed."""
        if steps:
            self._count(steps)

    def _count(self, steps: int) -> None:
        self._done += steps
        each = (time.monotonic() - self._began) / max(1, self._ran)
        self._tell(TeachProgress("training", self._done, self._steps, each * (self._steps - self._done)))
