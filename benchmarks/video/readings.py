"""One video followed in several ways on the same features and detections."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.model.mask_rle import to_rle
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.segmenter import DETECT_DEFAULTS, Features
from sam3_agent.model.video_segmenter import Sighting, TrackRequest
from sam3_agent.scenes.video import Clip, ClipOptions, draw_clip
from sam3_agent.types import ConceptPrompt, Detection, DetectOptions
from sam3_agent.workspace.tracking.by_detection import DetectedMask, DetectionTracker
from sam3_agent.workspace.tracking.frame_tracks import ConceptTracks
from sam3_agent.workspace.tracking.journal import Entry
from sam3_agent.workspace.tracking.profiles import TINY, Profile
from sam3_agent.workspace.tracking.query import AskedConcept

FIRST_SEED = 40_000
"""Clips under 2^40 are never trained on."""
LEAST_PIXELS = 100
"""Of an object that counts as there, in the clip's own pixels; the pilot's rule."""
PLAIN = replace(
    TINY,
    name="off",
    duplicate_limit=0,
    masklet_score=False,
    occlusion_overlap=0.0,
    shrink=0.0,
    reprompt_every=0,
    reprompt_box_iou=0.0,
    appearance=0.0,
    cuts=False,
)
"""Detections begin tracks, the tracker follows them, and nothing else."""
Masklets = dict[str, dict[int, Rle]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A video's frames as a model has encoded them, and what it detects in each of every noun."""

    features: Sequence[Features]
    nouns: list[str]
    detections: Sequence[Sequence[Detection]]


@dataclass(frozen=True, slots=True)
class Reading:
    """One video: what is there and what each way says, by noun; and objects followed from their true first mask."""

    frames: int
    truth: dict[str, Masklets]
    """Noun -> object -> frame -> mask."""
    said: dict[str, dict[str, Masklets]]
    """Way -> noun -> track -> frame -> mask."""
    followed: list[tuple[bool, float | None]]
    """(was said to be there, IoU where it is there, None where it is not) of every object-frame after the first."""


def read(segmenter: Sam3, videos: int, frames: int, options: ClipOptions = ClipOptions()) -> Iterator[Reading]:  # noqa: B008 (frozen)
    """One reading a video."""
    for number in range(videos):
        clip = draw_clip(FIRST_SEED + number, frames, options=options)
        if sys.stderr.isatty():
            print(f"\rvideo {number + 1} of {videos}", end="", file=sys.stderr, flush=True)
        yield read_clip(segmenter, clip, look_at(segmenter, clip), {"tracker": TINY, "heuristics off": PLAIN})


def look_at(segmenter: Sam3, clip: Clip) -> Seen:
    """Encode every frame and detect every noun in it."""
    features = [segmenter.encode(frame) for frame in clip.frames]
    nouns = sorted({thing.noun for thing in clip.objects})
    prompts = [ConceptPrompt(noun) for noun in nouns]
    options = DetectOptions(threshold=0.5, near_misses=0)
    return Seen(features, nouns, [segmenter.detect(each, prompts, options) for each in features])


def read_clip(segmenter: Sam3, clip: Clip, seen: Seen, profiles: Mapping[str, Profile]) -> Reading:
    """Follow a video under each profile, and by detection alone."""
    asked = [AskedConcept(noun, ConceptPrompt(noun)) for noun in seen.nouns]
    said = {
        name: _tracked(segmenter, clip, seen.features, seen.detections, asked, profile)
        for name, profile in profiles.items()
    }
    said["by detection"] = _by_detection(clip, seen.detections, seen.nouns)
    return Reading(len(clip.frames), truth_of(clip), said, _followed(segmenter, clip, seen.features))


def truth_of(clip: Clip) -> dict[str, Masklets]:
    """Noun -> object -> frame -> mask, where enough of it is seen."""
    found: dict[str, Masklets] = {}
    for thing in clip.objects:
        seen = {index: owner == thing.id for index, owner in enumerate(clip.owner)}
        kept = {index: masks.encode(mask) for index, mask in seen.items() if int(mask.sum()) >= LEAST_PIXELS}
        if kept:
            found.setdefault(thing.noun, {})[str(thing.id)] = kept
    return found


class _Answered:
    """A segmenter that answers from what it was told before, frame by frame, and follows as the real one does."""

    def __init__(self, segmenter: Sam3, answers: Sequence[Sequence[Detection]]) -> None:
        self._answers = iter(answers)
        self.info, self.encode, self.read_exemplars = segmenter.info, segmenter.encode, segmenter.read_exemplars
        self.presence, self.segment_at, self.track = segmenter.presence, segmenter.segment_at, segmenter.track
        self.remember, self.restore = segmenter.remember, segmenter.restore

    def detect(
        self, features: Features, prompts: Sequence[ConceptPrompt], options: DetectOptions = DETECT_DEFAULTS
    ) -> list[Detection]:
        """The answers of the next frame."""
        return list(next(self._answers))


def _tracked(
    segmenter: Sam3,
    clip: Clip,
    features: Sequence[Features],
    detections: Sequence[Sequence[Detection]],
    asked: Sequence[AskedConcept],
    profile: Profile,
) -> dict[str, Masklets]:
    tracks = ConceptTracks(_Answered(segmenter, detections), asked, profile)
    lines: list[tuple[Entry, ...]] = []
    gone: set[str] = set()
    for index, (image, seen) in enumerate(zip(clip.frames, features, strict=True)):
        told = tracks.step(index, image, seen, detect=True)
        lines.append(told.entries)
        gone |= set(told.removed)
    return _by_noun([[entry for entry in line if entry.id not in gone] for line in lines])


def _by_detection(clip: Clip, detections: Sequence[Sequence[Detection]], nouns: Sequence[str]) -> dict[str, Masklets]:
    tracker = DetectionTracker(TINY)
    lines: list[tuple[Entry, ...]] = []
    gone: set[str] = set()
    for index, answers in enumerate(detections):
        found = [
            DetectedMask(noun, candidate.rle, answer.presence * candidate.object_score)
            for noun, answer in zip(nouns, answers, strict=True)
            for candidate in answer.kept
        ]
        line = tracker.step(index, found, cut=index in clip.cuts)
        lines.append(line.entries)
        gone |= set(line.removed)
    return _by_noun([[entry for entry in line if entry.id not in gone] for line in lines])


def _by_noun(lines: Sequence[Sequence[Entry]]) -> dict[str, Masklets]:
    found: dict[str, Masklets] = {}
    for index, entries in enumerate(lines):
        for entry in entries:
            if entry.frame.visible:
                found.setdefault(entry.concept, {}).setdefault(entry.id, {})[index] = entry.frame.rle
    return found


def _followed(segmenter: Sam3, clip: Clip, features: Sequence[Features]) -> list[tuple[bool, float | None]]:
    """Objects of the first frame, given by their true masks there and followed by memory alone."""
    owners: list[NDArray[np.uint8]] = list(clip.owner)
    ids = [thing.id for thing in clip.objects if int((owners[0] == thing.id).sum()) >= LEAST_PIXELS]
    if not ids:
        return []
    requests = [TrackRequest(mask=masks.encode(owners[0] == one)) for one in ids]
    begun = segmenter.track(features[0], 0, requests)
    memories = segmenter.remember(features[0], 0, [Sighting(mask, None, given=True) for mask in begun])
    found: list[tuple[bool, float | None]] = []
    for index, seen in enumerate(features[1:], start=1):
        said = segmenter.track(seen, index, [TrackRequest(memory) for memory in memories])
        pairs = zip(said, memories, strict=True)
        memories = segmenter.remember(seen, index, [Sighting(mask, memory) for mask, memory in pairs])
        for one, mask in zip(ids, said, strict=True):
            truth = owners[index] == one
            if 0 < int(truth.sum()) < LEAST_PIXELS:
                continue  # neither there nor away
            drawn = to_rle(np.ascontiguousarray(mask.logits), seen.height, seen.width)
            there = bool(truth.any())
            found.append((mask.present, float(masks.iou([drawn], [masks.encode(truth)])[0, 0]) if there else None))
    return found
