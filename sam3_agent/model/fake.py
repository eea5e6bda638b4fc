"""A deterministic model without weights: the shipped double of `Segmenter`, for tests and for trying the plumbing."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Box, Rle
from sam3_agent.model.batching import IMAGE_COST, Plan, Work
from sam3_agent.model.segmenter import PRESENCE_ONLY, Features
from sam3_agent.model.video_segmenter import Sighting, TrackedMask, TrackMemory, TrackRequest
from sam3_agent.types import (
    DETECT_DEFAULTS,
    Candidate,
    ClickedMask,
    ClickPrompt,
    ConceptPrompt,
    Detection,
    DetectOptions,
    Exemplar,
    ExemplarTokens,
    ModelInfo,
    check_points,
    clip_box,
)

Answers = Mapping[str, Detection]
FAKE = ModelInfo("fake", "cpu", "float32")
UNKNOWN_PRESENCE = 0.02
SEGMENTER = "0" * 16
CLICK_ANSWERS = 3
MAX_PHRASE = 300
"""Characters; a real model refuses long phrases as well."""


@dataclass(frozen=True, slots=True)
class FakeFeatures:
    """The answers that hold on one image."""

    height: int
    width: int
    nbytes: int
    answers: Answers


class FakeSegmenter:
    """Answers registered phrases with registered detections and everything else with presence 0.02 and nothing.

    `answers` maps phrases to detections, or computes that mapping from an (H, W, 3) RGB image, which also serves crops.
    Detections whose masks have another size than the image do not hold on it. An exemplar box means the narrowest
    registered phrase of the object under it. Phrases compare without regard to case and spaces. It is an `Engine` too,
    and a `VideoSegmenter`: objects are followed from mask to mask, or by a registered name (see OBJECT).
    """

    def __init__(
        self,
        answers: Answers | Callable[[NDArray[np.uint8]], Answers],
        *,
        feature_bytes: int | None = None,
        info: ModelInfo = FAKE,
    ) -> None:
        self._answers = answers
        self._info = info
        self._feature_bytes = feature_bytes
        self._lock = threading.Lock()
        self._encodes = 0
        self._detects = 0
        self._encoding = Work(_each, 4, "encoding an image", "cpu", cost=IMAGE_COST)
        self._answering = Work(_each, 16, "answering a concept", "cpu")
        self._reading = Work(_each, 16, "reading examples", "cpu")
        self._clicking = Work(_each, 16, "answering a click", "cpu")

    @property
    def info(self) -> ModelInfo:
        """Says plainly that this is a double."""
        return self._info

    @property
    def encodes(self) -> int:
        """Images encoded so far."""
        return self._encodes

    @property
    def detects(self) -> int:
        """Batched calls answered so far; through a scheduler every prompt counts."""
        return self._detects

    def encode(self, image: NDArray[np.uint8]) -> FakeFeatures:
        """Look up which answers hold on an (H, W, 3) RGB image."""
        height, width = image.shape[:2]
        answers = self._answers(image) if callable(self._answers) else self._answers
        held = {_key(phrase): found for phrase, found in answers.items() if _holds(found, height, width)}
        with self._lock:
            self._encodes += 1
        size = image.nbytes if self._feature_bytes is None else self._feature_bytes
        return FakeFeatures(height, width, size, held)

    def detect(
        self, features: Features, prompts: Sequence[ConceptPrompt], options: DetectOptions = DETECT_DEFAULTS
    ) -> list[Detection]:
        """Answer every prompt from the registered detections."""
        if not isinstance(features, FakeFeatures):
            raise TypeError(f"these features are not of this model but {type(features).__name__}")
        with self._lock:
            self._detects += 1
        for prompt in prompts:
            if prompt.learned is not None and prompt.learned.tokens.segmenter != SEGMENTER:
                raise InputError(f"the concept '@{prompt.learned.name}' was learned by other weights; learn it again")
        answers = [_answer(features, prompt) for prompt in prompts]
        return [split(answer, options) for answer in answers]

    def presence(self, features: Features, prompts: Sequence[ConceptPrompt]) -> list[float]:
        """Score registered phrases by their presence."""
        return [found.presence for found in self.detect(features, prompts, PRESENCE_ONLY)]

    def read_exemplars(self, features: Features, examples: Sequence[Exemplar]) -> ExemplarTokens:
        """Each box's kind (its registered phrase, nothing where there is none) and sign, letter by letter."""
        if not isinstance(features, FakeFeatures):
            raise TypeError(f"these features are not of this model but {type(features).__name__}")
        if not examples:
            raise InputError("give at least one example box to learn from")
        tokens = np.zeros((len(examples), 1 + MAX_PHRASE), dtype="<f4")
        for row, example in enumerate(examples):
            _check_inside(example.box, features)
            kind = _kind(features, example) or ""
            tokens[row, 0] = 1.0 if example.positive else -1.0
            tokens[row, 1 : 1 + len(kind)] = [ord(letter) for letter in kind]
        return ExemplarTokens(tokens.tobytes(), *tokens.shape, SEGMENTER)

    def segment_at(self, features: Features, prompt: ClickPrompt) -> tuple[ClickedMask, ...]:
        """The registered masks that fit the clicks, at most three.

        First those that overlap a given box or mask best, then the smallest. A mask must hold every positive point and
        no negative one, and overlap the box or mask by an IoU over 0.1.
        """
        if not isinstance(features, FakeFeatures):
            raise TypeError(f"these features are not of this model but {type(features).__name__}")
        check_points(prompt.points, features.width, features.height)
        fitting = sorted(_fitting(features, prompt), key=lambda found: found[0])
        return tuple(ClickedMask(c.rle, masks.box(c.rle), c.object_score) for _, c in fitting[:CLICK_ANSWERS])

    def track(
        self, features: Features, frame: int, requests: Sequence[TrackRequest], *, reverse: bool = False
    ) -> list[TrackedMask]:
        """Follow objects by what is registered for this frame."""
        held = _own(features)
        size = (held.height, held.width)
        found: list[TrackedMask] = []
        for request in requests:
            if request.clicks is None:
                found.append(track_one(held.answers, size, request))
            else:
                fitting = self.segment_at(features, request.clicks)
                found.append(clicked_mask([(one.rle, one.predicted_iou) for one in fitting], size))
        return found

    def remember(
        self, features: Features, frame: int, sightings: Sequence[Sighting], *, reverse: bool = False
    ) -> list[TrackMemory]:
        """Remember the last place of each object."""
        return [remember_one(_own(features).answers, each, reverse=reverse) for each in sightings]

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> TrackMemory:
        """A memory out of a file."""
        return restore_memory(arrays)

    def plan_track(
        self, features: Features, frame: int, requests: Sequence[TrackRequest], *, reverse: bool = False
    ) -> Plan[TrackedMask]:
        """`track` as a plan."""
        ask = partial(self.track, features, frame, reverse=reverse)
        return Plan(self._clicking, [partial(ask, [request]) for request in requests], lambda found: found[0])

    def plan_remember(
        self, features: Features, frame: int, sightings: Sequence[Sighting], *, reverse: bool = False
    ) -> Plan[TrackMemory]:
        """`remember` as a plan."""
        keep = partial(self.remember, features, frame, reverse=reverse)
        return Plan(self._clicking, [partial(keep, [each]) for each in sightings], lambda found: found[0])

    def plan_encode(self, image: NDArray[np.uint8]) -> Plan[FakeFeatures]:
        """`encode` as a plan; unlike a real model's, plans of this one fail when they are run, not when they are
        made.
        """
        return Plan(self._encoding, [partial(self.encode, image)], lambda features: features)

    def plan_detect(
        self, features: Features, prompts: Sequence[ConceptPrompt], options: DetectOptions = DETECT_DEFAULTS
    ) -> Plan[Detection]:
        """`detect` as a plan."""
        calls = [partial(self.detect, features, [prompt], options) for prompt in prompts]
        return Plan(self._answering, calls, lambda found: found[0])

    def plan_read(self, features: Features, examples: Sequence[Exemplar]) -> Plan[ExemplarTokens]:
        """`read_exemplars` as a plan."""
        return Plan(self._reading, [partial(self.read_exemplars, features, examples)], lambda tokens: tokens)

    def plan_click(self, features: Features, prompt: ClickPrompt) -> Plan[tuple[ClickedMask, ...]]:
        """`segment_at` as a plan."""
        return Plan(self._clicking, [partial(self.segment_at, features, prompt)], lambda found: found)


def _own(features: Features) -> FakeFeatures:
    if not isinstance(features, FakeFeatures):
        raise TypeError(f"these features are not of this model but {type(features).__name__}")
    return features


def detection(
    found: Sequence[NDArray[np.bool_]], scores: Sequence[float] | None = None, *, presence: float = 0.95
) -> Detection:
    """A detection of (H, W) bool masks with their object scores (0.9 where not given)."""
    given = list(scores) if scores is not None else [0.9] * len(found)
    rles = [masks.encode(mask) for mask in found]
    kept = [Candidate(rle, masks.box(rle), score) for rle, score in zip(rles, given, strict=True)]
    return Detection(presence, tuple(kept))


def _each(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """A batch: the results of all calls."""
    return [call() for call in calls]


def _key(phrase: str) -> str:
    return " ".join(phrase.lower().split())


def _holds(found: Detection, height: int, width: int) -> bool:
    return all(candidate.rle.size == (height, width) for candidate in (*found.kept, *found.near_misses))


def _answer(features: FakeFeatures, prompt: ConceptPrompt) -> Detection:
    """Everything that answers the prompt, unsplit."""
    if prompt.phrase is not None and len(prompt.phrase) > MAX_PHRASE:
        raise InputError(f"the concept has {len(prompt.phrase)} characters; give at most {MAX_PHRASE}, best 1-4 words")
    for exemplar in prompt.exemplars:
        _check_inside(exemplar.box, features)
    found: dict[masks.Rle, Candidate] = {}
    presence = UNKNOWN_PRESENCE
    wanted = [_key(prompt.phrase)] if prompt.phrase is not None else []
    liked = [kind for kind in (_kind(features, e) for e in prompt.exemplars if e.positive) if kind]
    learned = _learned_kinds(prompt)
    liked += [kind for kind, positive in learned if positive and kind in features.answers]
    for phrase in [p for p in wanted if p in features.answers] + liked:
        answer = features.answers[phrase]
        presence = max(presence, answer.presence)
        for candidate in (*answer.kept, *answer.near_misses):
            found.setdefault(candidate.rle, candidate)
    for exemplar in prompt.exemplars:
        if not exemplar.positive:
            _remove_kind(features, exemplar, wanted + liked, found)
    for kind, positive in learned:
        if not positive and kind in features.answers:
            for candidate in (*features.answers[kind].kept, *features.answers[kind].near_misses):
                found.pop(candidate.rle, None)
    return Detection(presence, tuple(found.values()))


def _learned_kinds(prompt: ConceptPrompt) -> list[tuple[str, bool]]:
    """Phrase and sign of each token of the prompt's learned concept."""
    if prompt.learned is None:
        return []
    rows = prompt.learned.tokens.array
    return [("".join(chr(int(code)) for code in row[1:] if code), bool(row[0] > 0)) for row in rows]


def _fitting(features: FakeFeatures, prompt: ClickPrompt) -> list[tuple[tuple[float, int], Candidate]]:
    """Every registered mask that fits the clicks, each once, with what it is sorted by."""
    box = None if prompt.box is None else clip_box(prompt.box, features.width, features.height)
    registered = [c for answer in features.answers.values() for c in (*answer.kept, *answer.near_misses)]
    known = {c.rle: c for c in sorted(registered, key=lambda c: c.object_score)}  # of twins, the surer one
    fitting: list[tuple[tuple[float, int], Candidate]] = []
    for rle, candidate in known.items():
        if any(_holds_point(rle, point) != label for point, label in zip(prompt.points, prompt.labels, strict=True)):
            continue
        overlaps = [_iou(box, masks.box(rle))] if box is not None else []
        overlaps += [float(masks.iou([rle], [prompt.mask])[0, 0])] if prompt.mask is not None else []
        if all(overlap > 0.1 for overlap in overlaps):
            fitting.append(((-sum(overlaps), masks.area(rle)), candidate))
    return fitting


def _holds_point(rle: masks.Rle, point: tuple[float, float]) -> bool:
    row, column = (min(int(v), limit - 1) for v, limit in zip(point[::-1], rle.size, strict=True))
    return bool(masks.sample(rle, np.array([row]), np.array([column]))[0, 0])


def _check_inside(box: Box, features: FakeFeatures) -> None:
    if box[0] < 0 or box[1] < 0 or box[2] > features.width or box[3] > features.height:
        raise InputError(f"exemplar box {list(box)} lies outside the {features.width}x{features.height} image")


def _kind(features: FakeFeatures, exemplar: Exemplar) -> str | None:
    """The registered phrase with the fewest objects that has one under the box."""
    having = [p for p, d in features.answers.items() if _under(exemplar.box, (*d.kept, *d.near_misses)) is not None]
    return min(having, key=lambda p: len(features.answers[p].kept), default=None)


def _under(box: Box, candidates: Sequence[Candidate]) -> Candidate | None:
    best = max(candidates, key=lambda c: _iou(box, c.box), default=None)
    return best if best is not None and _iou(box, best.box) >= 0.5 else None


def _remove_kind(
    features: FakeFeatures, exemplar: Exemplar, wanted: Sequence[str], found: dict[masks.Rle, Candidate]
) -> None:
    """Drop the object under a negative box, and its whole kind unless that kind itself is wanted."""
    target = _under(exemplar.box, tuple(found.values()))
    kind = _kind(features, exemplar)
    if kind is not None and kind not in wanted:
        answer = features.answers[kind]
        for candidate in (*answer.kept, *answer.near_misses):
            found.pop(candidate.rle, None)
    if target is not None:
        found.pop(target.rle, None)


def _iou(first: Box, second: Box) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = (first[2] - first[0]) * (first[3] - first[1]) + (second[2] - second[0]) * (second[3] - second[1])
    return width * height / (both - width * height)


def split(answer: Detection, options: DetectOptions) -> Detection:
    """Kept above the threshold, the rest near misses; both best first."""
    ranked = sorted((*answer.kept, *answer.near_misses), key=lambda c: -c.object_score)
    belief = 1.0 if options.assume_present else answer.presence
    kept = tuple(c for c in ranked if belief * c.object_score > options.threshold)
    missed = tuple(c for c in ranked if belief * c.object_score <= options.threshold)
    return Detection(answer.presence, kept, missed[: options.near_misses])


OBJECT = "#"
"""A registered phrase that begins so names one object, which is then followed by its name wherever it goes."""
SAME = 0.1
"""IoU from one frame to the next at which a mask is taken for the same object."""
NAMED = 0.5
"""IoU with a named object at which a mask is that object's."""
SURE = 10.0


@dataclass(frozen=True, slots=True)
class FakeMemory:
    """The last place of an object, and its name if it has one."""

    last: Rle
    name: str = ""
    reverse: bool = False

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return len(self.last.counts)

    def to_arrays(self) -> Mapping[str, NDArray[Any]]:
        """One array of bytes."""
        document = {"last": self.last.to_json(), "name": self.name, "reverse": self.reverse}
        return {"fake": np.frombuffer(json.dumps(document).encode(), dtype=np.uint8).copy()}

    def after(self, frame: int) -> Self:
        """It holds one place, however long ago that was."""
        return self


def track_one(answers: Mapping[str, Detection], size: tuple[int, int], request: TrackRequest) -> TrackedMask:
    """Find an object on a frame of (height, width), by what is registered for that frame."""
    if request.mask is not None:
        if request.mask.size != size:
            raise InputError(f"the mask is of size {request.mask.size}, the frame of {size}")
        return _seen(request.mask, 1.0)
    memory = request.memory
    if not isinstance(memory, FakeMemory):
        raise TypeError(f"this memory is not of this model but {type(memory).__name__}")
    if memory.name:
        named = answers.get(memory.name)
        return _seen(named.kept[0].rle, named.kept[0].object_score) if named and named.kept else _absent(size)
    known = {c.rle: c for answer in answers.values() for c in answer.kept}
    if not known or memory.last.size != size or not masks.area(memory.last):
        return _absent(size)
    overlap = masks.iou([memory.last], list(known))[0]
    best = int(np.argmax(overlap))
    found = list(known.values())[best]
    return _seen(found.rle, found.object_score) if overlap[best] >= SAME else _absent(size)


def clicked_mask(found: Sequence[tuple[Rle, float]], size: tuple[int, int]) -> TrackedMask:
    """The best of the masks that fit some clicks."""
    return _seen(*found[0]) if found else _absent(size)


def remember_one(answers: Mapping[str, Detection], sighting: Sighting, *, reverse: bool) -> TrackMemory:
    """The memory after a frame: the last mask that was seen, and the name of the object that it fits."""
    rle = masks.encode(np.asarray(sighting.mask.logits > 0))
    before = sighting.memory
    if isinstance(before, FakeMemory) and not sighting.given:
        return FakeMemory(rle if sighting.mask.present else before.last, before.name, reverse)
    named = [(name, answer.kept) for name, answer in answers.items() if name.startswith(OBJECT) and answer.kept]
    fitting = [name for name, kept in named if masks.iou([rle], [kept[0].rle])[0, 0] >= NAMED]
    return FakeMemory(rle, fitting[0] if fitting else "", reverse)


def restore_memory(arrays: Mapping[str, NDArray[Any]]) -> FakeMemory:
    """The memory that `FakeMemory.to_arrays` wrote."""
    document = json.loads(arrays["fake"].tobytes())
    return FakeMemory(masks.from_json(document["last"]), document["name"], document["reverse"])


def _seen(rle: Rle, quality: float) -> TrackedMask:
    inside = masks.decode(rle)
    there = bool(inside.any())
    logits = np.where(inside, np.float32(SURE), np.float32(-SURE))
    return TrackedMask(logits, SURE if there else -SURE, quality, np.zeros(1, dtype=np.float32), logits)


def _absent(size: tuple[int, int]) -> TrackedMask:
    return TrackedMask(np.full(size, -SURE, dtype=np.float32), -SURE, 0.0, np.zeros(1, dtype=np.float32))
