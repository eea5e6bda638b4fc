"""Requests about objects on frames, checked and prepared, as plans for the network."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

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
from sam3_agent.model.tracking import bank
from sam3_agent.model.tracking.rows import GIVEN, SightingRow, TrackRow, TrackRunner
from sam3_agent.model.tracking.video_tracker import VideoTracker
from sam3_agent.model.video_segmenter import Sighting, TrackedMask, TrackMemory, TrackRequest

MAX_OBJECTS = 16
"""Objects that go through the network together; more are answered in several goes."""


class Tracking:
    """The tracking half of a model: makes plans, as the model itself does for phrases and clicks."""

    def __init__(self, tracker: VideoTracker, device: str, alone: Callable[[], AbstractContextManager[None]]) -> None:
        """`alone` gives the network to this thread."""
        self._runner = TrackRunner(tracker)
        self._alone = alone
        self._following = Work(self._track, MAX_OBJECTS, "following objects", device)
        self._remembering = Work(self._remember, MAX_OBJECTS, "remembering objects", device)

    @property
    def halvings(self) -> dict[str, int]:
        """How often a batch of each kind did not fit into memory."""
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
        return bank.TrackMemory.from_arrays(dict(arrays), point.device, point.dtype)

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
