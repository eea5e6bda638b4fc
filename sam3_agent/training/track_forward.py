"""A clip followed with gradients: the first frame is given, each later one is found by what is remembered."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam3_agent.model.tracker import ClickFeatures, Clicks, Part
from sam3_agent.model.tracking.video_tracker import VideoTracker
from sam3_agent.training.click_prompts import interior_point
from sam3_agent.training.track_clips import MARGIN, VISIBLE, TrackBatch

COARSE = 0.5
"""A detector's mask has half the cells of the tracker's along a side."""
SHAKE = 0.35
"""Deviation of the noise on such a mask's edges, in shares of a cell."""


@dataclass(frozen=True, slots=True)
class Followed:
    """The tracker's answer about P objects on one frame."""

    frame: int
    masks: Tensor
    """(P, 3, G, G) logits"""
    quality: Tensor
    """(P, 3) predicted IoU"""
    score: Tensor
    """(P,) logits of being there"""

    @property
    def best(self) -> Tensor:
        """(P, G, G) the mask that would be shown."""
        rows = torch.arange(len(self.masks), device=self.masks.device)
        return self.masks[rows, self.quality.argmax(1)]


@dataclass(frozen=True, slots=True)
class _Kept:
    """The memory of P objects that a frame left behind."""

    map: Tensor
    """(P, g * g, D)"""
    pointer: Tensor
    """(P, C)"""
    conditioning: bool


@dataclass(frozen=True, slots=True)
class Lesson:
    """The way in which a clip is followed."""

    start: str = "truth"
    """"truth", "detector" (a coarse, shaken mask) or "click"."""
    forced: float = 0.0
    """Share of frames that are remembered by their true masks."""
    again: int = 0
    """A later frame whose true masks are given too, as a detector does; 0 for none."""


def follow_clip(
    tracker: VideoTracker, batch: TrackBatch, lesson: Lesson, rng: np.random.Generator
) -> Iterator[Followed]:
    """Every frame after the first, with gradients through what is remembered of the frames before.

    The tracker has to look at the batch's part of the grid; see `looking_at`.
    """
    device = next(tracker.parameters()).device
    cover = batch.cover.to(device)
    features = features_of(tracker, batch.grid.to(device), batch.part)
    kept = [_started(tracker, _row(features, 0), cover[0], lesson.start, rng)]
    for frame in range(1, len(cover)):
        here = _row(features, frame)
        conditioned = _recalled(tracker, here, kept)
        masks, quality, tokens, score = tracker.decode(here, conditioned, *tracker.unprompted(cover.shape[1]), True)
        found = Followed(frame, masks, quality, score)
        yield found
        if frame == lesson.again:
            kept.append(_given(tracker, here, _as_detected(cover[frame], rng)))
        else:
            kept.append(_remembered(tracker, here, found, tokens, cover[frame], rng.random() < lesson.forced))


@contextmanager
def looking_at(tracker: VideoTracker, part: Part) -> Generator[None]:
    """Let the tracker take features of a part of the grid; places keep their encodings."""
    encoder = cast(Any, tracker.tracker.tracker_model.prompt_encoder)
    size, grid, masks = encoder.input_image_size, encoder.image_embedding_size, encoder.mask_input_size
    encoder.input_image_size = size * part.side // part.whole
    encoder.image_embedding_size, encoder.mask_input_size = (
        tuple(side * part.side // part.whole for side in sides) for sides in (grid, masks)
    )
    tracker.tracker.part = tracker.parts.part = part
    try:
        yield
    finally:
        encoder.input_image_size, encoder.image_embedding_size, encoder.mask_input_size = size, grid, masks
        tracker.tracker.part = tracker.parts.part = None


@torch.no_grad()
def features_of(tracker: VideoTracker, grid: Tensor, part: Part) -> ClickFeatures:
    """Of all T frames, without the margin that the (T, D, h, w) hidden states have; the neck does not learn."""
    made = tracker.tracker.features(grid)
    top, left = min(MARGIN, part.top), min(MARGIN, part.left)

    def inner(level: Tensor) -> Tensor:
        scale = level.shape[-1] // grid.shape[-1]
        rows, columns = (slice(first * scale, (first + part.side) * scale) for first in (top, left))
        return level[..., rows, columns]

    return ClickFeatures(inner(made.finest), inner(made.finer), inner(made.coarse), made.no_memory)


def _row(features: ClickFeatures, frame: int) -> ClickFeatures:
    return features.select(torch.tensor([frame], device=features.coarse.device))


def _recalled(tracker: VideoTracker, here: ClickFeatures, kept: list[_Kept]) -> Tensor:
    """The conditioned features of the frame after those that are kept."""
    parts, now = tracker.parts, len(kept)
    given = [(0, now - age, each) for age, each in enumerate(kept) if each.conditioning]
    near = [(now - age, now - age, each) for age, each in enumerate(kept) if not each.conditioning]
    looked = [*given, *(entry for entry in near if entry[0] < parts.reach.maps)]
    pointed = [*given, *(entry for entry in near if entry[0] < parts.reach.pointers)]
    device = here.coarse.device
    return parts.condition(
        here.coarse,
        torch.stack([each.map for _, _, each in looked], dim=1),
        torch.tensor([age for age, _, _ in looked], device=device),
        torch.stack([each.pointer for _, _, each in pointed], dim=1),
        torch.tensor([age for _, age, _ in pointed], device=device),
    )


def _started(tracker: VideoTracker, here: ClickFeatures, cover: Tensor, kind: str, rng: np.random.Generator) -> _Kept:
    if kind == "click":
        return _clicked(tracker, here, cover)
    return _given(tracker, here, _as_detected(cover, rng) if kind == "detector" else cover)


def _given(tracker: VideoTracker, here: ClickFeatures, cover: Tensor) -> _Kept:
    """Masks that are given as such."""
    shares = _fine((cover > VISIBLE).float(), tracker.fine_size)
    there = shares.flatten(1).any(1)
    pointer = tracker.parts.pointer(tracker.read_mask(here, shares), there)
    return _Kept(tracker.parts.encode(here.coarse, shares, there), pointer, conditioning=True)


def _clicked(tracker: VideoTracker, here: ClickFeatures, cover: Tensor) -> _Kept:
    """Whatever the click half makes of a click into the middle of each object."""
    cell = tracker.tracker.image_size / cover.shape[-1]
    solid = (cover > VISIBLE).cpu().numpy()
    points = torch.tensor([[interior_point(mask)] for mask in solid], device=cover.device, dtype=torch.float32) * cell
    clicks = Clicks(points, torch.ones(points.shape[:2], dtype=torch.int64, device=cover.device))
    drawn = tracker.click(here, clicks, None)
    there = torch.ones(len(cover), dtype=torch.bool, device=cover.device)  # who clicks sees an object
    shares = tracker.shares(drawn.logits, there)
    pointer = tracker.parts.pointer(drawn.tokens, there)
    return _Kept(tracker.parts.encode(here.coarse, shares, there), pointer, conditioning=True)


def _remembered(
    tracker: VideoTracker, here: ClickFeatures, found: Followed, tokens: Tensor, cover: Tensor, forced: bool
) -> _Kept:
    """A frame that was followed, or, where it is forced, what it should have been."""
    rows = torch.arange(len(tokens), device=tokens.device)
    token = tokens[rows, found.quality.argmax(1)]
    binary = torch.zeros(len(cover), dtype=torch.bool, device=cover.device)
    if forced:
        shares = _fine((cover > VISIBLE).float(), tracker.fine_size)
        there = shares.flatten(1).any(1)
    else:
        there = found.score > 0
        logits = torch.where(there[:, None, None], found.best.float(), found.best.new_full((), -30.0))
        shares = tracker.shares(logits, binary)
    return _Kept(tracker.parts.encode(here.coarse, shares, there), tracker.parts.pointer(token, there), False)


def _as_detected(cover: Tensor, rng: np.random.Generator) -> Tensor:
    """Masks as the detector would draw them: half as fine, with edges that are off a little."""
    side = round(cover.shape[-1] * COARSE)
    coarse = F.adaptive_avg_pool2d(cover[:, None], side)
    noise = torch.from_numpy(rng.normal(0, SHAKE, coarse.shape).astype(np.float32))  # pyright: ignore[reportUnknownMemberType]
    edge = 4 * coarse * (1 - coarse)  # nothing happens inside or outside
    return F.interpolate(coarse + edge * noise.to(cover.device), size=cover.shape[-2:], mode="bilinear")[:, 0]


def _fine(masks: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(masks[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
