"""Requests about objects on frames: checked, as plans for the network, and run, those of one make-up in one batch."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_agent.model.batching import Plan, Work
from sam3_agent.model.click_prompts import to_clicks
from sam3_agent.model.features import ImageFeatures
from sam3_agent.model.tracker import ClickFeatures, Clicks
from sam3_agent.model.tracking import bank
from sam3_agent.model.tracking.bank import Entry, Recalled
from sam3_agent.model.tracking.parts import LONGEST
from sam3_agent.model.tracking.video_tracker import Drawing, VideoTracker, lost_pixels
from sam3_agent.model.video_segmenter import Sighting, TrackedMask, TrackMemory, TrackRequest

GIVEN = 10.0
"""Logit of a given mask, and score of an object whose mask is given."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackRow:
    """A checked request about one object on one frame."""

    features: ImageFeatures
    frame: int
    memory: bank.TrackMemory | None
    clicks: Clicks | None
    fine: Tensor | None
    """(16g, 16g) logits of +-10 of a mask that is given."""


@dataclass(frozen=True, slots=True, eq=False)
class SightingRow:
    """A mask to be remembered of one object."""

    features: ImageFeatures
    frame: int
    memory: bank.TrackMemory
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
        self.reach = tracker.parts.reach

    def track(self, rows: Sequence[TrackRow]) -> list[TrackedMask]:
        """Find every object on its frame."""
        recalled = [None if row.memory is None else row.memory.recall(row.frame, self.reach) for row in rows]

        def make_up(row: TrackRow, memory: Recalled | None) -> Hashable:
            if row.fine is not None:
                return id(row.features), "mask"
            if row.clicks is None:
                return id(row.features), memory and memory.shape
            asked = (row.clicks.points.shape[1], row.clicks.boxes is None, row.clicks.masks is None)
            return id(row.features), memory and memory.shape, asked

        pairs = list(zip(rows, recalled, strict=True))
        looked: dict[int, Tensor] = {}
        return _by_make_up(pairs, lambda pair: make_up(*pair), lambda alike: self._track_alike(alike, looked))

    def remember(self, rows: Sequence[SightingRow]) -> list[bank.TrackMemory]:
        """Make the memory of every object after its frame."""

        def make_up(row: SightingRow) -> Hashable:
            return id(row.features), row.mask.fine is None, row.lost is None

        return _by_make_up(list(rows), make_up, self._remember_alike)

    def lost(self, masks: Sequence[TrackedMask]) -> list[Tensor]:
        """For each of several masks the (S, S) pixels that another of them has won."""
        device = self.tracker.parts.tracking_point.device
        logits = [_tensor(mask.logits if mask.fine is None else mask.fine).to(device) for mask in masks]
        return lost_pixels(logits, self.tracker.tracker.image_size)

    def _track_alike(
        self, pairs: Sequence[tuple[TrackRow, Recalled | None]], looked: dict[int, Tensor]
    ) -> list[TrackedMask]:
        """`looked` holds what is the same for all objects of a frame, which the first of them computes."""
        rows = [row for row, _ in pairs]
        features = self._features(rows[0].features)
        if rows[0].fine is not None:
            return self._given(features, [row.fine for row in rows if row.fine is not None])
        held = [memory for _, memory in pairs if memory is not None]
        conditioned = None
        if held:
            key = id(rows[0].features)
            if key not in looked:
                looked[key] = self.tracker.parts.look(features.coarse)
            conditioned = self._condition(features, held, looked[key])
        if rows[0].clicks is None:
            assert conditioned is not None
            drawing = self.tracker.follow(features, conditioned)
        else:
            clicks = _stacked([row.clicks for row in rows if row.clicks is not None]).on(features.coarse.device)
            drawing = self.tracker.click(features, clicks, conditioned)
        return _answers(drawing, binary=rows[0].clicks is not None)

    def _condition(self, features: ClickFeatures, held: Sequence[Recalled], looked: Tensor) -> Tensor:
        """(P, C, g, g) of objects whose memories are of one shape."""
        device, dtype = features.coarse.device, features.coarse.dtype
        return self.tracker.parts.condition(
            features.coarse,
            torch.stack([torch.stack([kept.to(device) for kept in each.maps]) for each in held]),
            torch.tensor([each.ages for each in held], device=device),
            torch.stack([torch.stack([kept.to(device, dtype) for kept in each.pointers]) for each in held]),
            torch.tensor([each.pointer_ages for each in held], device=device),
            self._span,
            looked,
        )

    def _given(self, features: ClickFeatures, masks: Sequence[Tensor]) -> list[TrackedMask]:
        """Masks that are taken as they are; the decoder only makes tokens of them."""
        fine = torch.stack(list(masks)).to(features.coarse.device)  # (P, 16g, 16g)
        tokens = self.tracker.read_mask(features, fine.sigmoid()).float().cpu().numpy()
        small = torch.nn.functional.avg_pool2d(fine[:, None], 4)[:, 0].cpu().numpy()  # (P, 4g, 4g)
        there: list[bool] = cast(Any, (fine > 0).flatten(1).any(1)).tolist()
        return [
            TrackedMask(logits, GIVEN if seen else -GIVEN, 1.0, token, own.cpu().numpy())
            for logits, seen, token, own in zip(small, there, tokens, fine, strict=True)
        ]

    def _remember_alike(self, rows: Sequence[SightingRow]) -> list[bank.TrackMemory]:
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
    scores: list[float] = cast(Any, drawing.score.cpu()).tolist()
    qualities: list[float] = cast(Any, drawing.quality.cpu()).tolist()
    return [
        TrackedMask(mask, score, quality, token, binary=binary)
        for mask, score, quality, token in zip(logits, scores, qualities, tokens, strict=True)
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


MAX_OBJECTS = 16
"""Objects that go through the network together; more are answered in several goes."""
MAX_OBJECTS_ON_CPU = 4
"""There larger batches are no faster, and the heap keeps the size of the largest one there ever was."""


class Tracking:
    """The tracking half of a model: makes plans, as the model itself does for phrases and clicks."""

    def __init__(self, tracker: VideoTracker, device: str, alone: Callable[[], AbstractContextManager[None]]) -> None:
        """`alone` gives the network to this thread."""
        self._runner = TrackRunner(tracker)
        self._alone = alone
        most = MAX_OBJECTS_ON_CPU if device == "cpu" else MAX_OBJECTS
        self._following = Work(self._track, most, "following objects", device)
        self._remembering = Work(self._remember, most, "remembering objects", device)

    @property
    def halvings(self) -> dict[str, int]:
        """Batches of each kind that did not fit into memory."""
        return {"track": self._following.halvings, "remember": self._remembering.halvings}

    def plan_track(
        self, features: ImageFeatures, frame: int, requests: Sequence[TrackRequest], *, reverse: bool
    ) -> Plan[TrackedMask]:
        """Checked requests; see `VideoSegmenter.track`."""
        rows = [self._row(features, frame, request, reverse=reverse) for request in requests]
        return Plan(self._following, rows, lambda found: found)

    def plan_remember(
        self, features: ImageFeatures, frame: int, sightings: Sequence[Sighting], *, reverse: bool
    ) -> Plan[TrackMemory]:
        """Sightings with their rivalry settled; see `VideoSegmenter.remember`."""
        lost = self._lost(sightings)
        rows = [
            SightingRow(features, frame, _own(each.memory, reverse=reverse), each.mask, each.given, lost.get(place))
            for place, each in enumerate(sightings)
        ]
        return Plan(self._remembering, rows, lambda memory: memory)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> TrackMemory:
        """See `VideoSegmenter.restore`."""
        point = self._runner.tracker.parts.tracking_point
        return bank.TrackMemory.from_arrays(dict(arrays), point.device, point.dtype, self._runner.reach)

    def _row(self, features: ImageFeatures, frame: int, request: TrackRequest, *, reverse: bool) -> TrackRow:
        height, width = features.height, features.width
        clicks = fine = None
        if request.clicks is not None:
            clicks = to_clicks(request.clicks, width, height, self._runner.tracker.tracker)
        if request.mask is not None:
            fine = _given_logits(request.mask, (height, width), self._runner.tracker.fine_size)
        memory = None if request.memory is None else _own(request.memory, reverse=reverse)
        return TrackRow(features, frame, memory, clicks, fine)

    def _lost(self, sightings: Sequence[Sighting]) -> dict[int, Tensor]:
        """For each sighting that has rivals on the frame, the pixels that it loses to them."""
        groups: dict[str, list[int]] = {}
        for place, each in enumerate(sightings):
            if each.rivals is not None and each.mask.present:
                groups.setdefault(each.rivals, []).append(place)
        found: dict[int, Tensor] = {}
        with self._alone():
            for places in groups.values():
                if len(places) > 1:
                    lost = self._runner.lost([sightings[place].mask for place in places])
                    found |= dict(zip(places, lost, strict=True))
        return found

    def _track(self, rows: Sequence[TrackRow]) -> list[TrackedMask]:
        with self._alone():
            return self._runner.track(rows)

    def _remember(self, rows: Sequence[SightingRow]) -> list[bank.TrackMemory]:
        with self._alone():
            return self._runner.remember(rows)


def _own(memory: TrackMemory | None, *, reverse: bool) -> bank.TrackMemory:
    if memory is None:
        return bank.TrackMemory(reverse=reverse)
    if not isinstance(memory, bank.TrackMemory):
        raise TypeError(f"this memory is not of this model but {type(memory).__name__}")
    if memory.reverse != reverse:
        raise InputError("a memory that was made forwards cannot be used backwards, nor the other way round")
    return memory


def _given_logits(rle: Rle, frame: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """(16g, 16g) logits from -10 to 10 by the share of each cell that a mask covers.

    Raises:
        InputError: the mask is of another size than the frame.
    """
    if rle.size != frame:
        (height, width), (rows, columns) = frame, rle.size
        raise InputError(f"the mask is of a {columns}x{rows} image, not of this frame ({width}x{height})")
    smaller = frame[0] >= size[0] and frame[1] >= size[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    share = cv2.resize(masks.decode(rle).astype(np.float32), size[::-1], interpolation=how)
    return torch.from_numpy(((2 * share - 1) * GIVEN).astype(np.float32))  # pyright: ignore[reportUnknownMemberType]
