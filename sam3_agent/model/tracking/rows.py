"""Objects on frames as the network takes them: rows, those of one make-up in one batch."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam3_agent.model.features import ImageFeatures
from sam3_agent.model.tracker import ClickFeatures, Clicks
from sam3_agent.model.tracking.bank import Entry, Reach, Recalled, TrackMemory
from sam3_agent.model.tracking.parts import LONGEST
from sam3_agent.model.tracking.video_tracker import Drawing, VideoTracker, lost_pixels
from sam3_agent.model.video_segmenter import TrackedMask

GIVEN = 10.0
"""Logit of a given mask, and score of an object whose mask is given."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackRow:
    """A checked request about one object on one frame."""

    features: ImageFeatures
    frame: int
    memory: TrackMemory | None
    clicks: Clicks | None
    fine: Tensor | None
    """(16g, 16g) logits of +-10 of a mask that is given."""


@dataclass(frozen=True, slots=True, eq=False)
class SightingRow:
    """A mask to be remembered of one object."""

    features: ImageFeatures
    frame: int
    memory: TrackMemory
    mask: TrackedMask
    given: bool
    lost: Tensor | None
    """(S, S) bool pixels that another object has won."""


Row = TypeVar("Row")
Answer = TypeVar("Answer")


class TrackRunner:
    """Runs a tracker on rows of any frames and objects; to be called alone on the network."""

    def __init__(self, tracker: VideoTracker, span: int = LONGEST) -> None:
        """`span` is the age of a pointer that counts as 1; see `parts.LONGEST`."""
        self.tracker = tracker
        self._span = span
        parts = tracker.parts
        self.reach = Reach(parts.maps, parts.pointers, parts.conditioning)

    def track(self, rows: Sequence[TrackRow]) -> list[TrackedMask]:
        """Where every object is."""
        recalled = [None if row.memory is None else row.memory.recall(row.frame, self.reach) for row in rows]

        def make_up(row: TrackRow, memory: Recalled | None) -> Hashable:
            if row.fine is not None:
                return id(row.features), "mask"
            if row.clicks is None:
                return id(row.features), memory and memory.shape
            asked = (row.clicks.points.shape[1], row.clicks.boxes is None, row.clicks.masks is None)
            return id(row.features), memory and memory.shape, asked

        pairs = list(zip(rows, recalled, strict=True))
        return _by_make_up(pairs, lambda pair: make_up(*pair), self._track_alike)

    def remember(self, rows: Sequence[SightingRow]) -> list[TrackMemory]:
        """What is remembered of every object after its frame."""

        def make_up(row: SightingRow) -> Hashable:
            return id(row.features), row.mask.fine is None, row.lost is None

        return _by_make_up(list(rows), make_up, self._remember_alike)

    def lost(self, masks: Sequence[TrackedMask]) -> list[Tensor]:
        """For each of several masks the (S, S) pixels that another of them has won."""
        device = self.tracker.parts.tracking_point.device
        logits = [_tensor(mask.logits if mask.fine is None else mask.fine).to(device) for mask in masks]
        return lost_pixels(logits, self.tracker.tracker.image_size)

    def _track_alike(self, pairs: Sequence[tuple[TrackRow, Recalled | None]]) -> list[TrackedMask]:
        rows = [row for row, _ in pairs]
        features = self._features(rows[0].features)
        if rows[0].fine is not None:
            return self._given(features, [row.fine for row in rows if row.fine is not None])
        held = [memory for _, memory in pairs if memory is not None]
        conditioned = self._condition(features, held) if held else None
        if rows[0].clicks is None:
            assert conditioned is not None
            drawing = self.tracker.follow(features, conditioned)
        else:
            clicks = _stacked([row.clicks for row in rows if row.clicks is not None]).on(features.coarse.device)
            drawing = self.tracker.click(features, clicks, conditioned)
        return _answers(drawing, binary=rows[0].clicks is not None)

    def _condition(self, features: ClickFeatures, held: Sequence[Recalled]) -> Tensor:
        """(P, C, g, g) of objects whose memories are of one shape."""
        device, dtype = features.coarse.device, features.coarse.dtype
        return self.tracker.parts.condition(
            features.coarse,
            torch.stack([torch.stack([kept.to(device) for kept in each.maps]) for each in held]),
            torch.tensor(held[0].ages, device=device),
            torch.stack([torch.stack([kept.to(device, dtype) for kept in each.pointers]) for each in held]),
            torch.tensor([each.pointer_ages for each in held], device=device),
            self._span,
        )

    def _given(self, features: ClickFeatures, masks: Sequence[Tensor]) -> list[TrackedMask]:
        """Masks that are taken as they are; the decoder only makes tokens of them."""
        fine = torch.stack(list(masks)).to(features.coarse.device)  # (P, 16g, 16g)
        tokens = self.tracker.read_mask(features, fine.sigmoid()).float().cpu().numpy()
        small = torch.nn.functional.avg_pool2d(fine[:, None], 4)[:, 0].cpu().numpy()  # (P, 4g, 4g)
        there = (fine > 0).flatten(1).any(1).tolist()
        return [
            TrackedMask(logits, GIVEN if seen else -GIVEN, 1.0, token, own.cpu().numpy())
            for logits, seen, token, own in zip(small, there, tokens, fine, strict=True)
        ]

    def _remember_alike(self, rows: Sequence[SightingRow]) -> list[TrackMemory]:
        features = self._features(rows[0].features)
        device, dtype = features.coarse.device, features.coarse.dtype
        masks = [row.mask for row in rows]
        logits = _tensor(np.stack([mask.logits if mask.fine is None else mask.fine for mask in masks])).to(device)
        binary = torch.tensor([mask.binary for mask in masks], device=device)
        lost = [row.lost for row in rows if row.lost is not None]
        shares = self.tracker.shares(logits, binary, torch.stack(lost) if lost else None)
        present = torch.tensor([mask.present for mask in masks], device=device)
        maps = self.tracker.parts.encode(features.coarse, shares, present).to(torch.bfloat16)
        tokens = _tensor(np.stack([mask.token for mask in masks])).to(device, dtype)
        pointers = self.tracker.parts.pointer(tokens, present)
        return [
            # a view would keep the memory of the whole batch as long as one of its objects is remembered
            row.memory.with_entry(Entry(row.frame, pointer.clone(), kept.clone(), row.given), self.reach)
            for row, pointer, kept in zip(rows, pointers, maps, strict=True)
        ]

    def _features(self, features: ImageFeatures) -> ClickFeatures:
        if features.clicks is None:
            raise TypeError("these features were encoded by a model without a tracker half")
        return features.clicks.features(self.tracker.tracker).on(self.tracker.parts.tracking_point.device)


def _by_make_up(
    rows: Sequence[Row], key: Callable[[Row], Hashable], run: Callable[[Sequence[Row]], Sequence[Answer]]
) -> list[Answer]:
    """The answers in order; rows of one key run together."""
    groups: dict[Hashable, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(key(row), []).append(place)
    found: dict[int, Answer] = {}
    for places in groups.values():
        found |= dict(zip(places, run([rows[place] for place in places]), strict=True))
    return [found[place] for place in range(len(rows))]


def _answers(drawing: Drawing, *, binary: bool) -> list[TrackedMask]:
    logits, tokens = drawing.logits.cpu().numpy(), drawing.tokens.float().cpu().numpy()
    return [
        TrackedMask(mask, float(score), float(quality), token, binary=binary)
        for mask, score, quality, token in zip(
            logits, drawing.score.cpu().tolist(), drawing.quality.cpu().tolist(), tokens, strict=True
        )
    ]


def _stacked(clicks: Sequence[Clicks]) -> Clicks:
    """Prompts of one make-up as one."""
    boxes = [each.boxes for each in clicks if each.boxes is not None]
    masks = [each.masks for each in clicks if each.masks is not None]
    return Clicks(
        torch.cat([each.points for each in clicks]),
        torch.cat([each.labels for each in clicks]),
        torch.cat(boxes) if boxes else None,
        torch.cat(masks) if masks else None,
    )


def _tensor(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))  # pyright: ignore[reportUnknownMemberType]
