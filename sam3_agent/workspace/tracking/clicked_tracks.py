"""One frame of objects that are pointed at: every one is followed by memory alone, none is ever dropped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.model.mask_rle import to_rle
from sam3_agent.model.segmenter import Features
from sam3_agent.model.video_segmenter import Sighting, TrackedMask, TrackMemory, TrackRequest
from sam3_agent.types import ClickPrompt
from sam3_agent.workspace.tracking.frame_tracks import FollowingSegmenter, entry_of, sigmoid
from sam3_agent.workspace.tracking.journal import Entry

SURE = 10.0
"""Score of an object that a person points at: it is there."""


@dataclass(frozen=True, slots=True)
class Pointing:
    """An object's clicks on a frame, or its mask where that is known already."""

    id: str
    concept: str
    clicks: ClickPrompt | None = None
    mask: masks.Rle | None = None


class ClickedTracks:
    """Clicked objects in one direction of time; told every frame in order."""

    def __init__(self, segmenter: FollowingSegmenter, *, reverse: bool = False) -> None:
        """Begin before the first frame."""
        self._segmenter = segmenter
        self._reverse = reverse
        self._memories: dict[str, TrackMemory] = {}
        self._concepts: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._memories)

    def adopt(self, track_id: str, concept: str, memory: TrackMemory) -> None:
        """Go on with an object that is remembered already."""
        self._memories[track_id], self._concepts[track_id] = memory, concept

    def step(self, index: int, features: Features, pointings: Sequence[Pointing]) -> tuple[Entry, ...]:
        """Take in frame `index`, on which some objects are pointed at; those of others go on."""
        for each in pointings:
            self._concepts[each.id] = each.concept
        pointed = {each.id: self._pointed(index, features, each) for each in pointings}
        others = [track_id for track_id in self._memories if track_id not in pointed]
        requests = [TrackRequest(self._memories[track_id]) for track_id in others]
        found = self._track(index, features, requests)
        seen = {**dict(zip(others, found, strict=True)), **pointed}
        sightings = [Sighting(mask, self._memories.get(i), i in pointed) for i, mask in seen.items()]
        kept = self._segmenter.remember(features, index, sightings, reverse=self._reverse) if sightings else []
        self._memories |= dict(zip(seen, kept, strict=True))
        given = {each.id: each.mask for each in pointings}
        return tuple(
            self._entry(index, features, track_id, mask, given.get(track_id)) for track_id, mask in seen.items()
        )

    def to_state(self) -> tuple[dict[str, Any], dict[str, Mapping[str, NDArray[Any]]]]:
        """Plain values and arrays by track id, of which `restore` makes the same tracks."""
        return {"concepts": dict(self._concepts)}, {i: memory.to_arrays() for i, memory in self._memories.items()}

    def restore(self, values: Mapping[str, Any], arrays: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
        """Go on from what `to_state` gave."""
        self._concepts = dict(values["concepts"])
        self._memories = {i: self._segmenter.restore(arrays[i]) for i in self._concepts if i in arrays}

    def _pointed(self, index: int, features: Features, pointing: Pointing) -> TrackedMask:
        if pointing.mask is not None:
            return self._track(index, features, [TrackRequest(mask=pointing.mask)])[0]
        memory = self._memories.get(pointing.id)
        found = self._track(index, features, [TrackRequest(memory, pointing.clicks)])[0]
        if found.present and bool((found.logits > 0).any()):
            return found
        # who points at an object sees it, whatever the model believes: take what clicks on an image give
        assert pointing.clicks is not None
        answers = self._segmenter.segment_at(features, pointing.clicks)
        if not answers:
            return found
        given = self._track(index, features, [TrackRequest(mask=answers[0].rle)])[0]
        return replace(given, score=SURE, quality=answers[0].predicted_iou)

    def _track(self, index: int, features: Features, requests: list[TrackRequest]) -> list[TrackedMask]:
        return self._segmenter.track(features, index, requests, reverse=self._reverse) if requests else []

    def _entry(
        self, index: int, features: Features, track_id: str, mask: TrackedMask, given: masks.Rle | None
    ) -> Entry:
        """The line of a frame; a mask that was given stays as it is, whatever grid the model draws on."""
        size = (features.height, features.width)
        rle = to_rle(np.ascontiguousarray(mask.logits), *size) if mask.present else masks.empty(*size)
        rle = given if given is not None else rle
        score = sigmoid(mask.score) * min(max(mask.quality, 0.0), 1.0)
        state = "confirmed" if masks.area(rle) else "left"
        return entry_of(track_id, self._concepts[track_id], index, rle, score, state)
