"""One frame of the tracks of concepts: detect, follow, decide, remember."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.model.mask_rle import to_rle
from sam3_agent.model.segmenter import Features, Segmenter
from sam3_agent.model.video_segmenter import (
    Logits,
    Sighting,
    TrackedMask,
    TrackMemory,
    TrackRequest,
    VideoSegmenter,
)
from sam3_agent.tracks import TrackFrame, TrackState
from sam3_agent.types import Candidate, DetectOptions
from sam3_agent.workspace.tracking.appearance import Appearances, Shares, best_pairs, shares_of
from sam3_agent.workspace.tracking.association import Evidence, evidence_of_masks, keep_detections, mask_overlap
from sam3_agent.workspace.tracking.cuts import CutDetector
from sam3_agent.workspace.tracking.journal import Entry
from sam3_agent.workspace.tracking.lifetime import Decision, Lifetimes
from sam3_agent.workspace.tracking.occlusion import blanked_by_shrinking
from sam3_agent.workspace.tracking.profiles import Profile
from sam3_agent.workspace.tracking.query import AskedConcept

LEAST_GRID = (64, 64)
"""Cells on which masks are compared where no track tells the size of the model's own masks yet."""
OUTSIDE = np.float32(-10.0)


class FollowingSegmenter(Segmenter, VideoSegmenter, Protocol):
    """A model that answers prompts and follows objects."""


@dataclass(frozen=True, slots=True)
class Found:
    """A detection that takes part in a frame."""

    concept: str
    candidate: Candidate
    score: float
    """Presence times object score."""


@dataclass(frozen=True, slots=True)
class FrameResult:
    """The concepts' tracks in one frame."""

    entries: tuple[Entry, ...]
    removed: tuple[str, ...]
    cut: bool


class ConceptTracks:
    """The tracks of several concepts in one direction of time; told every frame in order."""

    def __init__(
        self,
        segmenter: FollowingSegmenter,
        concepts: Sequence[AskedConcept],
        profile: Profile,
        *,
        reverse: bool = False,
        first_number: int = 1,
    ) -> None:
        """Begin before the first frame; `first_number` is that of the first id."""
        self._segmenter = segmenter
        self._labels = [asked.label for asked in concepts]
        self._prompts = [asked.prompt for asked in concepts]
        self._profile = profile
        self._reverse = reverse
        self._lifetimes = Lifetimes(profile, first_number)
        self._memories: dict[str, TrackMemory] = {}
        self._cuts = CutDetector()
        self._appearances = Appearances()

    @property
    def alive(self) -> tuple[str, ...]:
        """Ids of the living tracks."""
        return self._lifetimes.alive

    @property
    def next_number(self) -> int:
        """The number of the next id."""
        return int(self._lifetimes.to_json()["next"])

    def step(
        self, index: int, image: NDArray[np.uint8], features: Features, *, detect: bool, known_cut: bool | None = None
    ) -> FrameResult:
        """Take in frame `index`.

        Args:
            index: of the frame.
            image: (H, W, 3) RGB.
            features: of the image.
            detect: whether the detector is asked; without it tracks only go on.
            known_cut: whether a new scene begins here, where that is known; None to look.
        """
        cut = self._cuts.is_cut(image) if known_cut is None else known_cut
        for track_id in self._lifetimes.rest():
            self._memories.pop(track_id, None)
        followed = self._kept_apart(image, self._followed(features, index, self._lifetimes.alive))
        found = self._detected(features) if detect else []
        looks = [shares_of(image, one.candidate.rle) for one in found] if self._profile.appearance else []
        followed = self._in_order(followed | self._woken(features, index, found, followed))
        evidence = self._evidence(index, found, list(followed.values()))
        returned = self._returned(features, index, found, looks, followed, evidence)
        if returned:
            followed = self._in_order(followed | returned)
            evidence = self._evidence(index, found, list(followed.values()))
        decision = self._lifetimes.step(evidence, reverse=self._reverse, cut=cut, detected=detect)
        for track_id in decision.removed:
            followed.pop(track_id)
            self._memories.pop(track_id)
        blanked = {*decision.blanked, *self._shrunk(followed)}
        given = self._given(features, index, decision, found, returned)
        self._look(decision, found, looks)
        self._remember(features, index, followed, blanked, given, decision, fresh=returned)
        entries = self._entries(index, (features.height, features.width), followed, given, blanked, decision, found)
        for track_id in self._lifetimes.dormant:  # nothing that is remembered anew drops what is out of their reach
            self._memories[track_id] = self._memories[track_id].after(index)
        self._appearances.keep((*self._lifetimes.alive, *self._lifetimes.dormant))
        return FrameResult(entries, decision.removed, cut)

    def to_state(self) -> tuple[dict[str, Any], dict[str, Mapping[str, NDArray[Any]]]]:
        """Plain values and arrays by track id, of which `restore` makes the same tracks."""
        values = {"lifetimes": self._lifetimes.to_json(), "cuts": self._cuts.to_json()}
        values["appearances"] = self._appearances.to_json()
        return values, {track_id: memory.to_arrays() for track_id, memory in self._memories.items()}

    def restore(
        self, values: Mapping[str, Any], arrays: Mapping[str, Mapping[str, NDArray[Any]]], first_number: int = 1
    ) -> None:
        """Go on from what `to_state` gave; new ids have at least `first_number`.

        Raises:
            InputError: it was made under another profile.
        """
        known = values["lifetimes"]
        self._lifetimes = Lifetimes.from_json(known | {"next": max(int(known["next"]), first_number)}, self._profile)
        self._cuts = CutDetector.from_json(values["cuts"])
        self._appearances = Appearances(values.get("appearances"))
        known = (*self._lifetimes.alive, *self._lifetimes.dormant)
        self._memories = {track_id: self._segmenter.restore(arrays[track_id]) for track_id in known}

    def _in_order(self, masks_now: Mapping[str, TrackedMask]) -> dict[str, TrackedMask]:
        """The masks of the living tracks in the order in which evidence lists them."""
        return {track_id: masks_now[track_id] for track_id in self._lifetimes.alive}

    def _followed(self, features: Features, index: int, ids: Sequence[str]) -> dict[str, TrackedMask]:
        """Masks that the tracker gives for tracks by their memories."""
        requests = [TrackRequest(self._memories[track_id]) for track_id in ids]
        return dict(zip(ids, self._track(features, index, requests), strict=True))

    def _woken(
        self, features: Features, index: int, found: Sequence[Found], followed: Mapping[str, TrackedMask]
    ) -> dict[str, TrackedMask]:
        """Dormant tracks that are back: where a track would begin, those of its concept are asked whether it is they.

        So an object keeps its id however long it was away, and tracks that never come back cost nothing. Of several
        that claim one detection the surest wakes.
        """
        dormant = self._lifetimes.dormant
        if not dormant or not found:
            return {}
        begun = self._lifetimes.newcomers(self._evidence(index, found, list(followed.values())), dormant.values())
        concepts = {found[number].concept for number in begun}
        asked = self._followed(features, index, [i for i, concept in dormant.items() if concept in concepts])
        present = {track_id: mask for track_id, mask in asked.items() if mask.present}
        if not present:
            return {}
        overlap = self._evidence(index, [found[number] for number in begun], list(present.values())).overlap
        woken: dict[str, TrackedMask] = {}
        free = set(range(len(begun)))
        columns = {track_id: column for column, track_id in enumerate(present)}
        for track_id, mask in sorted(present.items(), key=lambda pair: -pair[1].score):
            fits = [row for row in free if found[begun[row]].concept == dormant[track_id]]
            best = max(fits, key=lambda row: overlap[row, columns[track_id]], default=None)
            if best is not None and overlap[best, columns[track_id]] >= self._profile.keep:
                woken[track_id] = mask
                free.remove(best)
        self._lifetimes.wake(woken)
        return woken

    def _kept_apart(self, image: NDArray[np.uint8], followed: Mapping[str, TrackedMask]) -> dict[str, TrackedMask]:
        """The masks, empty where a track has gone over to another object: it looks like an absent track, not itself."""
        kept, least = dict(followed), self._profile.appearance
        absent = [track_id for track_id, mask in followed.items() if not mask.present] if least else []
        for track_id, mask in followed.items() if absent else ():
            concept = self._lifetimes.life(track_id).concept
            rivals = [other for other in absent if self._lifetimes.life(other).concept == concept]
            if not rivals or not mask.present:
                continue
            shares = shares_of(image, to_rle(np.ascontiguousarray(mask.logits), *image.shape[:2]))
            alike = [self._appearances.likeness(each, shares) for each in (track_id, *rivals)]
            if alike[0] < 1 - least and max(alike[1:]) >= least:
                kept[track_id] = _emptied(mask)
        return kept

    def _returned(
        self,
        features: Features,
        index: int,
        found: Sequence[Found],
        looks: Sequence[Shares],
        followed: Mapping[str, TrackedMask],
        evidence: Evidence,
    ) -> dict[str, TrackedMask]:
        """The masks of absent tracks that a detection looks like which would begin another one.

        Their memory is of another place, and often of another size: they begin a fresh one, which follows better.
        """
        lives = {track_id: self._lifetimes.life(track_id) for track_id in followed}
        absent = [track_id for track_id, life in lives.items() if life.lost or not followed[track_id].present]
        concepts = {track_id: lives[track_id].concept for track_id in absent} | self._lifetimes.dormant
        if not looks or not concepts:
            return {}
        begun = self._lifetimes.newcomers(evidence, concepts.values())
        table = {
            (number, track_id): self._appearances.likeness(track_id, looks[number])
            for number in begun
            for track_id, concept in concepts.items()
            if found[number].concept == concept
        }
        pairs = best_pairs(table, self._profile.appearance)
        self._lifetimes.wake([track_id for track_id in pairs if track_id in self._lifetimes.dormant])
        return self._taken(features, index, {track_id: found[number] for track_id, number in pairs.items()})

    def _look(self, decision: Decision, found: Sequence[Found], looks: Sequence[Shares]) -> None:
        """Learn the looks of tracks that a detection alone confirms."""
        for number, ids in decision.matched.items() if looks else ():
            if len(ids) == 1:
                self._appearances.learn(ids[0], looks[number])
        for track_id, number in decision.new if looks else ():
            self._appearances.learn(track_id, looks[number])

    def _taken(self, features: Features, index: int, given: Mapping[str, Found]) -> dict[str, TrackedMask]:
        """The detector's masks as those of tracks."""
        requests = [TrackRequest(mask=one.candidate.rle) for one in given.values()]
        return dict(zip(given, self._track(features, index, requests), strict=True))

    def _track(self, features: Features, index: int, requests: list[TrackRequest]) -> list[TrackedMask]:
        return self._segmenter.track(features, index, requests, reverse=self._reverse) if requests else []

    def _detected(self, features: Features) -> list[Found]:
        """Detections that take part: above the profile's score, without duplicates."""
        if not self._prompts:
            return []
        told = self._segmenter.detect(
            features, self._prompts, DetectOptions(self._profile.detection_score, near_misses=0)
        )
        found = [
            Found(label, candidate, detection.presence * candidate.object_score)
            for label, detection in zip(self._labels, told, strict=True)
            for candidate in detection.kept
            if masks.area(candidate.rle)
        ]
        sampled = sampled_masks([one.candidate.rle for one in found], self._grid(features))
        scores = np.array([one.score for one in found], dtype=np.float32)
        overlap = mask_overlap(sampled, sampled, self._profile.overlap)
        centers = np.array([_center(one.candidate, features) for one in found]).reshape(-1, 2)
        concepts = [one.concept for one in found]
        return [found[i] for i in keep_detections(self._profile, scores, concepts, overlap, centers)]

    def _evidence(self, index: int, found: Sequence[Found], followed: Sequence[TrackedMask]) -> Evidence:
        grid = followed[0].logits.shape if followed else LEAST_GRID
        drawn = [mask.logits > 0 for mask in followed]
        tracks = np.stack(drawn) if drawn else np.zeros((0, *grid), dtype=np.bool_)
        return evidence_of_masks(
            index,
            sampled_masks([one.candidate.rle for one in found], (int(grid[0]), int(grid[1]))),
            [one.score for one in found],
            [one.concept for one in found],
            tracks,
            [mask.score for mask in followed],
            self._profile.overlap,
        )

    def _grid(self, features: Features) -> tuple[int, int]:
        """Cells on which detections are compared with each other: at most the frame's pixels."""
        return min(features.height, 256), min(features.width, 256)

    def _shrunk(self, followed: Mapping[str, TrackedMask]) -> set[str]:
        """Tracks of whose mask too little is left where others of their concept are surer."""
        shrunk: set[str] = set()
        for ids, logits in self._by_concept(followed):
            before = (logits > 0).sum(axis=(1, 2))
            after = (settled(logits) > 0).sum(axis=(1, 2))
            gone = blanked_by_shrinking(self._profile, before, after)
            shrunk |= {track_id for track_id, blank in zip(ids, gone.tolist(), strict=True) if blank}
        return shrunk

    def _by_concept(self, followed: Mapping[str, TrackedMask]) -> list[tuple[list[str], Logits]]:
        groups: dict[str, list[str]] = {}
        for track_id in followed:
            groups.setdefault(self._lifetimes.life(track_id).concept, []).append(track_id)
        return [(ids, np.stack([followed[track_id].logits for track_id in ids])) for ids in groups.values()]

    def _given(
        self,
        features: Features,
        index: int,
        decision: Decision,
        found: Sequence[Found],
        returned: Mapping[str, TrackedMask],
    ) -> dict[str, TrackedMask]:
        """The masks that the detector gives: of new tracks, of drifted ones and of those that are found again."""
        wanted = dict(decision.new)
        wanted |= {each.id: each.detection for each in decision.reprompts if each.source == "detection"}
        for detection, ids in decision.matched.items():
            wanted |= {track_id: detection for track_id in ids if track_id in decision.found_again}
        living = {*self._lifetimes.alive}
        alive = {i: found[number] for i, number in wanted.items() if i in living and i not in returned}
        return self._taken(features, index, alive) | {i: mask for i, mask in returned.items() if i in living}

    def _remember(
        self,
        features: Features,
        index: int,
        followed: Mapping[str, TrackedMask],
        blanked: set[str],
        given: Mapping[str, TrackedMask],
        decision: Decision,
        fresh: Collection[str],
    ) -> None:
        """Every track but those lost at a cut: what they see now is something else. `fresh` ones forget the past."""
        confirmed = {each.id for each in decision.reprompts if each.source == "track"}
        sightings: dict[str, Sighting] = {}
        for track_id in self._lifetimes.alive:
            mask = given.get(track_id) or followed[track_id]
            if self._lifetimes.life(track_id).lost:
                continue
            if track_id in blanked and track_id not in given:
                mask = _emptied(mask)
            sure = track_id in given or (track_id in confirmed and mask.present)
            concept = self._lifetimes.life(track_id).concept
            before = None if track_id in fresh else self._memories.get(track_id)
            sightings[track_id] = Sighting(mask, before, sure, concept)
        kept = self._segmenter.remember(features, index, list(sightings.values()), reverse=self._reverse)
        self._memories |= dict(zip(sightings, kept, strict=True))

    def _entries(
        self,
        index: int,
        size: tuple[int, int],
        followed: Mapping[str, TrackedMask],
        given: Mapping[str, TrackedMask],
        blanked: set[str],
        decision: Decision,
        found: Sequence[Found],
    ) -> tuple[Entry, ...]:
        """A line for every track that lives; masks of one concept share no pixel."""
        drawn = dict(zip(followed, followed.values(), strict=True))
        best = _best_detections(decision, found)
        shown = {track_id: rle for track_id, rle in self._drawn(drawn, blanked, size)}
        begun = {track_id: found[number] for track_id, number in decision.new if track_id in self._lifetimes.alive}
        if self._profile.flicker:
            begun |= {each.id: found[each.detection] for each in decision.reprompts}
        entries: list[Entry] = []
        for track_id in self._lifetimes.alive:
            life, state = self._lifetimes.life(track_id), decision.states[track_id]
            if track_id in begun:
                rle, score = begun[track_id].candidate.rle, begun[track_id].score
            else:
                mask = followed[track_id]
                rle, score = shown[track_id], sigmoid(mask.score) * min(max(mask.quality, 0.0), 1.0)
            state = "suppressed" if track_id in blanked and state != "left" else state
            entries.append(entry_of(track_id, life.concept, index, rle, score, state, best.get(track_id)))
        return tuple(entries)

    def _drawn(
        self, followed: Mapping[str, TrackedMask], blanked: set[str], size: tuple[int, int]
    ) -> list[tuple[str, masks.Rle]]:
        visible = {track_id: mask for track_id, mask in followed.items() if track_id not in blanked and mask.present}
        made = [
            (track_id, to_rle(np.ascontiguousarray(logits), *size))
            for ids, stacked in self._by_concept(visible)
            for track_id, logits in zip(ids, settled(stacked), strict=True)
        ]
        return made + [(track_id, masks.empty(*size)) for track_id in followed if track_id not in visible]


def entry_of(
    track_id: str,
    concept: str,
    index: int,
    rle: masks.Rle,
    score: float,
    state: TrackState,
    detection: float | None = None,
) -> Entry:
    """One track's line of a frame."""
    box = masks.box(rle) if masks.area(rle) else (0.0, 0.0, 0.0, 0.0)
    return Entry(track_id, concept, TrackFrame(index, rle, box, float(score), state, detection))


def settled(logits: Logits) -> Logits:
    """(M, h, w) logits of which the largest keeps each pixel; the others have OUTSIDE at most."""
    own = logits.argmax(axis=0)[None] == np.arange(len(logits))[:, None, None]
    return np.where(own, logits, np.minimum(logits, OUTSIDE))


def sampled_masks(rles: Sequence[masks.Rle], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """(N, h, w) masks at the centers of so many cells; a mask of too few pixels for that keeps one cell."""
    if not rles:
        return np.zeros((0, *grid), dtype=np.bool_)
    rows, columns = (
        ((np.arange(cells) + 0.5) * side / cells).astype(np.intp)
        for cells, side in zip(grid, rles[0].size, strict=True)
    )
    found = np.stack([masks.sample(rle, rows, columns) for rle in rles])
    empty: list[int] = np.flatnonzero(~found.any(axis=(1, 2))).tolist()
    for number in empty:
        x0, y0, x1, y1 = masks.box(rles[number])
        height, width = rles[number].size
        row, column = int((y0 + y1) / 2 / height * grid[0]), int((x0 + x1) / 2 / width * grid[1])
        found[number, min(row, grid[0] - 1), min(column, grid[1] - 1)] = True
    return found


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)), without overflow."""
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, logit))))


def _center(candidate: Candidate, features: Features) -> tuple[float, float]:
    x0, y0, x1, y1 = candidate.box
    return (x0 + x1) / 2 / features.width, (y0 + y1) / 2 / features.height


def _best_detections(decision: Decision, found: Sequence[Found]) -> dict[str, float]:
    """Track -> score of the best detection that matched it."""
    best = {track_id: found[number].score for track_id, number in decision.new}
    for detection, ids in decision.matched.items():
        for track_id in ids:
            best[track_id] = max(best.get(track_id, 0.0), found[detection].score)
    return best


def _emptied(mask: TrackedMask) -> TrackedMask:
    return replace(mask, logits=np.full_like(mask.logits, OUTSIDE), score=float(OUTSIDE))
