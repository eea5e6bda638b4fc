"""Trials of the ways to ask for a concept, on the very images that its examples are of.

One image at a time is left out: the concept of the other images is asked on it. Objects that the model finds under
other words stand in for the truth about what the concept must not find.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sam3_agent.masks import Box
from sam3_agent.model.segmenter import Features, Segmenter
from sam3_agent.scenes.vocabulary import NOUNS
from sam3_agent.types import CanvasExample, Concept, ConceptPrompt, Detection, DetectOptions, ExemplarTokens
from sam3_agent.workspace.canvas import canvas_of, examples_of, in_image
from sam3_agent.workspace.k_means import k_centers
from sam3_agent.workspace.negative_examples import SAME, box_ious
from sam3_agent.workspace.sampling import evenly

ConceptMode = Literal["auto", "tokens", "canvas"]
"""Tokens are read from the examples; a canvas shows them beside each image; auto measures which finds more of them."""
OTHER_WORDS = NOUNS
"""Everyday words that are asked beside the concept, to see what else is on the images of the examples."""
MOST_CENTERS = 3
"""More tokens than the 1 to 3 of its training make a model blind: star F1 .94 with 2, .73 with 12, 0 with 20."""
EXAMPLES_PER_CENTER = 4
"""A center of fewer examples is one example's look and place rather than a kind of look."""
BEST = (3,)
"""Examples of which the mean is tried beside that of all: those that find most on the images of the others. A single
one finds as many objects and more of what is none (absent refused .75 at any threshold, of three .81 to .94 at .5)."""
MOST_CANDIDATES = 10
"""Examples that are asked one by one, evenly chosen; each costs a prompt an image."""
BEST_IMAGES = 3
"""Images that it takes: an example is judged by others' images, and so once more with one of them left out."""
MOST_TRIAL_IMAGES = 12
"""Images that are asked again, evenly chosen; each costs about 30 prompts."""
SLOW_SIDE = 1008
"""Input side from which on a prompt costs some 2 s on a CPU (bfloat16): a whole trial would last ten minutes."""
SLOW_IMAGES = 3
SLOW_WORDS = 6
"""So many images and other words make a trial of less than a minute there."""
THRESHOLDS = (0.5, 0.45, 0.4, 0.55, 0.6)
"""Tried in this order, so that of equals the one nearest to the usual 0.5 is taken. A thing whose word the model does
not know has a lower presence. Not under 0.4, as examples say nothing of images without the thing: ten images of a gear
absent refused .75 with what was chosen from 0.3 on, .90 from 0.4 on, .95 at 0.5; thirty F1 .72, .77 and .64."""
CLOSE_THRESHOLDS = (0.3, 0.25, 0.35, 0.4)
"""Tried in their place where each finding is looked at once more (`close_ups`), which lowers its score: what the usual
ones let in holds half of the gears of unseen images, .3 two thirds and .2 four fifths. With .2 among them, absent was
refused .90 where it was chosen; without .25, gears of thirty images had F1 .78 (with it .83, absent refused .95)."""
NAMED = 1 / 3
"""Share of the examples found under another word from which on that word is taken for a name of the concept itself."""


@dataclass(frozen=True, slots=True)
class ExampleImage:
    """Examples on one image, and the tokens read from them."""

    image_id: str
    positive: tuple[Box, ...]
    negative: tuple[Box, ...]
    positive_tokens: NDArray[np.float32]
    """(P, C)"""
    negative_tokens: NDArray[np.float32]
    """(N, C)"""
    segmenter: str
    """Fingerprint of the weights that read them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to ask for a concept."""

    centers: int = 1
    phrase: str | None = None
    negatives: bool = False
    canvas: bool = False
    """With the examples beside the image, not with tokens."""
    best: int = 0
    """With the mean of so many examples, the best ones, rather than of all; 0 for all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Findings of one choice on the examples' images at one threshold."""

    found: int
    """Positive examples that were found."""
    false: int
    """Findings on negative examples, or on what another word names."""
    unexplained: int
    """Findings on what nobody has named."""
    examples: int

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return 2 * self.found / max(1, self.found + self.false + self.examples)

    @property
    def cautious_f1(self) -> float:
        """The same where what is unexplained is false too: for thresholds, which it rises with.

        People do not mark everything, and a phrase that finds what was not marked is as likely right; but what nobody
        explains is what is found where the concept is absent (at half its weight, ten images of a gear, refused .75).
        """
        return 2 * self.found / max(1, self.found + self.false + self.unexplained + self.examples)


@dataclass(frozen=True, slots=True)
class Finding:
    """One detection of a trial: where it is, its score, the example it is (or None), and whether it is false."""

    image_id: str
    box: Box
    score: float
    example: tuple[str, int] | None
    false: bool


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Examples that were asked one by one."""

    tokens: NDArray[np.float32]
    """(K, C)"""
    owners: tuple[str, ...]
    """Image of each."""
    findings: tuple[dict[str, list[Finding]], ...]
    """Of each, by image."""
    examples: dict[str, int]
    """Positive examples on each image."""

    def mean_of_best(self, count: int, left_out: str = "") -> NDArray[np.float32]:
        """(1, C) mean of the examples that find most on images that are neither their own nor left out."""
        places = [place for place, owner in enumerate(self.owners) if owner != left_out]
        ranked = sorted(places, key=lambda place: -self._f1(place, left_out))
        return self.tokens[ranked[:count]].mean(axis=0, keepdims=True)

    def _f1(self, place: int, left_out: str) -> float:
        judges = [image for image in self.findings[place] if image not in (left_out, self.owners[place])]
        found = [finding for image in judges for finding in self.findings[place][image]]
        examples = sum(self.examples[image] for image in judges)
        return max(outcome_of(found, level, examples).cautious_f1 for level in THRESHOLDS)


@dataclass(frozen=True, slots=True)
class Reading:
    """Access to the images of examples, and the model that reads them."""

    features_of: Callable[[str], Features]
    pixels_of: Callable[[str], NDArray[np.uint8]]
    """(H, W, 3) RGB of an image id."""
    segmenter: Segmenter


def pooled(choice: Choice, images: Sequence[ExampleImage]) -> ExemplarTokens:
    """Pool the tokens of the images as the choice says: centers of the positives, the mean of the negatives."""
    rows = [k_centers(np.concatenate([i.positive_tokens for i in images]), choice.centers)]
    negative = np.concatenate([i.negative_tokens for i in images])
    if choice.negatives and len(negative):
        rows.append(k_centers(negative, 1))
    return ExemplarTokens.of(np.concatenate(rows), images[0].segmenter)


def choices_of(
    phrase: str | None, images: Sequence[ExampleImage], mode: ConceptMode = "tokens", *, held_out: bool = True
) -> list[Choice]:
    """The plainest and most obedient first: one mean, the phrase and the negative examples as they were given.

    The canvas comes last, as it costs most; "auto" tries it only where an image can be left out to measure it.
    """
    count = sum(len(image.positive) for image in images)
    centers = range(1, max(1, min(MOST_CENTERS, count // EXAMPLES_PER_CENTER)) + 1)
    phrases = (None,) if phrase is None else (phrase, None)
    negatives = (True, False) if any(image.negative for image in images) else (False,)
    by_tokens = [Choice(k, words, kept) for k, words, kept in product(centers, phrases, negatives)]
    by_canvas = [Choice(1, words, negatives=False, canvas=True) for words in phrases]
    if mode == "canvas":
        return by_canvas
    return [*by_tokens, *by_canvas] if mode == "auto" and held_out else by_tokens


def _is_plain(choice: Choice) -> bool:
    return choice == Choice(phrase=choice.phrase)


def asked_with(choice: Choice, images: Sequence[ExampleImage], trials: "Trials", left_out: str = "") -> ExemplarTokens:
    """Tokens of a choice, learned from the images but the one left out."""
    if choice.best:
        return ExemplarTokens.of(trials.candidates.mean_of_best(choice.best, left_out), images[0].segmenter)
    return pooled(choice, [image for image in images if image.image_id != left_out])


def _held_out(images: Sequence[ExampleImage]) -> bool:
    return sum(bool(image.positive) for image in images) > 1


@dataclass(frozen=True, slots=True)
class Trials:
    """Findings of every choice, in their order, and the number of other words that they were compared with."""

    choices: tuple[Choice, ...]
    tried: tuple[ExampleImage, ...]
    """Images that were asked."""
    held_out: bool
    """Whether each was asked for what was learned from the others."""
    slow: bool
    """Whether the model is so slow that only a few images and words were tried."""
    findings: list[list[Finding]]
    words: int
    candidates: Candidates
    things: dict[str, list[Box]]
    """Boxes by image of what other words name."""
    seen: dict[str, list[Box]]
    """Boxes by image of what any word names, also one that may be a name of the concept itself."""

    @property
    def examples(self) -> int:
        """Positive examples on the images that were asked."""
        return sum(len(image.positive) for image in self.tried)


def try_out(phrase: str | None, images: Sequence[ExampleImage], reading: Reading, mode: ConceptMode) -> Trials:
    """Ask in every way that may be better, plainest first."""
    segmenter = reading.segmenter
    choices = choices_of(phrase, images, mode, held_out=_held_out(images))
    slow = segmenter.info.device == "cpu" and segmenter.info.input_side >= SLOW_SIDE
    tried = evenly(images, SLOW_IMAGES if slow else MOST_TRIAL_IMAGES)
    words = OTHER_WORDS[:: len(OTHER_WORDS) // SLOW_WORDS] if slow else OTHER_WORDS
    alone = not slow and sum(bool(image.positive) for image in tried) >= BEST_IMAGES and mode != "canvas"
    trials = _first_trials(choices, images, tried, words, reading, MOST_CANDIDATES if alone else 0, slow=slow)
    if not alone:
        return trials
    best = [Choice(1, c.phrase, best=n) for n in BEST for c in choices if _is_plain(c)]
    return _with_best(trials, best, reading)


def _first_trials(
    choices: Sequence[Choice],
    images: Sequence[ExampleImage],
    tried: Sequence[ExampleImage],
    words: Sequence[str],
    reading: Reading,
    most: int,
    *,
    slow: bool,
) -> Trials:
    """Ask every choice, learned from the other images, on each image that is tried; one batch an image, and one more
    for a canvas; and at most `most` examples one by one.
    """
    tokens, owners = _candidates(images, most)
    alone = [trial_prompt(None, ExemplarTokens.of(row[None], images[0].segmenter)) for row in tokens]
    prompts = [*(ConceptPrompt(word) for word in words), *alone]
    answers = [_answered(choices, image, images, prompts, reading) for image in tried]
    first, last = len(choices), len(choices) + len(words)
    different = other_words([a[first:last] for a in answers], [image.positive for image in tried])
    findings: list[list[Finding]] = [[] for _ in choices]
    things: dict[str, list[Box]] = {}
    seen: dict[str, list[Box]] = {}
    by_candidate: tuple[dict[str, list[Finding]], ...] = tuple({} for _ in owners)
    for image, answer in zip(tried, answers, strict=True):
        named = [box for w in different for score, box in answer[first + w] if score > THRESHOLDS[0]]
        things[image.image_id] = named
        seen[image.image_id] = [box for found in answer[first:last] for score, box in found if score > THRESHOLDS[0]]
        for place, found in enumerate(findings):
            found += _judged(answer[place], image, named)
        for place, found in enumerate(answer[last:]):
            by_candidate[place][image.image_id] = _judged(found, image, named)
    examples = {image.image_id: len(image.positive) for image in tried}
    candidates = Candidates(tokens, owners, by_candidate, examples)
    held_out = _held_out(images)
    return Trials(tuple(choices), tuple(tried), held_out, slow, findings, len(different), candidates, things, seen)


def _answered(
    choices: Sequence[Choice],
    image: ExampleImage,
    images: Sequence[ExampleImage],
    prompts: Sequence[ConceptPrompt],
    reading: Reading,
) -> list[list[tuple[float, Box]]]:
    """Answers of an image to the choices, each learned from the other images, then to the prompts."""
    rest = [other for other in images if other is not image]
    lenders = rest if any(other.positive for other in rest) else images
    plain = [choice for choice in choices if not choice.canvas]
    asked = [trial_prompt(choice.phrase, pooled(choice, lenders)) for choice in plain]
    options = DetectOptions(min(CLOSE_THRESHOLDS))
    found = reading.segmenter.detect(reading.features_of(image.image_id), [*asked, *prompts], options)
    if len(plain) < len(choices):
        beside = _beside(image, lenders, [c.phrase for c in choices if c.canvas], reading, options)
        found = [*found[: len(plain)], *beside, *found[len(plain) :]]
    return [scored(each) for each in found]


def _candidates(images: Sequence[ExampleImage], most: int) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Examples to be asked one by one, (K, C), and the image of each."""
    rows = [(row, image.image_id) for image in images for row in image.positive_tokens]
    chosen = evenly(rows, most)
    width = images[0].positive_tokens.shape[1]
    return np.array([row for row, _ in chosen], np.float32).reshape(-1, width), tuple(owner for _, owner in chosen)


def _with_best(trials: Trials, fresh: Sequence[Choice], reading: Reading) -> Trials:
    """Ask the choices of best examples too, on each image those that are best on the others."""
    findings: list[list[Finding]] = [[] for _ in fresh]
    for image in trials.tried:
        prompts = [
            trial_prompt(
                each.phrase,
                ExemplarTokens.of(trials.candidates.mean_of_best(each.best, image.image_id), image.segmenter),
            )
            for each in fresh
        ]
        options = DetectOptions(min(CLOSE_THRESHOLDS))
        answers = reading.segmenter.detect(reading.features_of(image.image_id), prompts, options)
        for found, answer in zip(findings, answers, strict=True):
            found += _judged(scored(answer), image, trials.things[image.image_id])
    return replace(trials, choices=(*trials.choices, *fresh), findings=[*trials.findings, *findings])


def trial_prompt(phrase: str | None, tokens: ExemplarTokens) -> ConceptPrompt:
    """Build the prompt of a concept that is only tried."""
    return ConceptPrompt(phrase, (), Concept("trial", phrase, tokens))


def scored(found: Detection) -> list[tuple[float, Box]]:
    """List findings, the best first: how sure each is, presence included, and where."""
    return [(found.presence * each.object_score, each.box) for each in found.kept]


def _beside(
    image: ExampleImage,
    lenders: Sequence[ExampleImage],
    phrases: Sequence[str | None],
    reading: Reading,
    options: DetectOptions,
) -> list[Detection]:
    """Ask with the lenders' examples beside the image."""
    canvas = canvas_of(reading.pixels_of(image.image_id), shown(lenders, reading))
    prompts = [ConceptPrompt(phrase, canvas.exemplars) for phrase in phrases]
    found = reading.segmenter.detect(reading.segmenter.encode(canvas.pixels), prompts, options)
    return [in_image(each, canvas) for each in found]


def shown(images: Sequence[ExampleImage], reading: Reading) -> tuple[CanvasExample, ...]:
    """Cut out the examples that a canvas shows."""
    return examples_of([(reading.pixels_of(image.image_id), box) for image in images for box in image.positive])


def other_words(
    answers: Sequence[Sequence[Sequence[tuple[float, Box]]]], objects: Sequence[Sequence[Box]]
) -> list[int]:
    """Places of the words that are not themselves names of the concept.

    Args:
        answers: of each image to each word.
        objects: boxes of the concept on each image.
    """
    named = np.zeros(len(answers[0]))
    for answer, boxes in zip(answers, objects, strict=True):
        for word, found in enumerate(answer):
            named[word] += (box_ious(boxes, [box for _, box in found]).max(axis=1, initial=0) >= SAME).sum()
    examples = sum(len(boxes) for boxes in objects)
    return [word for word in range(len(named)) if named[word] < NAMED * max(1, examples)]


def _judged(found: Sequence[tuple[float, Box]], image: ExampleImage, things: Sequence[Box]) -> list[Finding]:
    boxes = [box for _, box in found]
    own, wrong = box_ious(boxes, image.positive), box_ious(boxes, [*image.negative, *things])
    findings: list[Finding] = []
    for place, (score, box) in enumerate(found):
        liked, disliked = own[place].max(initial=0), wrong[place].max(initial=0)
        example = (image.image_id, int(own[place].argmax())) if liked >= SAME else None
        findings.append(Finding(image.image_id, box, score, example, example is None and disliked >= SAME))
    return findings


def outcome_of(findings: Sequence[Finding], threshold: float, examples: int) -> Outcome:
    """Count what scores over a threshold."""
    kept = [finding for finding in findings if finding.score > threshold]
    false = sum(bool(f.false) for f in kept)  # a plain number: the estimate goes into JSON
    unexplained = sum(f.example is None and not f.false for f in kept)
    return Outcome(len({f.example for f in kept} - {None}), false, unexplained, examples)
