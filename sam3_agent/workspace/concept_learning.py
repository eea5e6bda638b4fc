"""Learning of a concept from examples: pooled tokens, tried on the very images that the examples are of.

A model is trained on one to three example tokens a prompt. Many more make it blind (the presence falls with every
token), so that the tokens of all examples are pooled to their mean, or to two or three centers where that finds more.
Examples differ: one of a gear alone finds F1 .08 of others, the next .72, the mean of ten .59, the mean of the three
that find most of the others .74. What is open (which examples, centers, phrase, negative examples, threshold) is
decided by trials (`concept_trials`). What is found is looked at once more close by (`close_ups`).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from sam3_agent.masks import Box
from sam3_agent.types import CloseUps, Concept, ConceptEstimate, DetectOptions, Exemplar, ExemplarTokens
from sam3_agent.workspace import close_ups
from sam3_agent.workspace.concept_trials import (
    CLOSE_THRESHOLDS,
    MOST_CENTERS,
    THRESHOLDS,
    Choice,
    ConceptMode,
    ExampleImage,
    Finding,
    Outcome,
    Reading,
    Trials,
    asked_with,
    outcome_of,
    shown,
    trial_prompt,
    try_out,
)
from sam3_agent.workspace.k_means import k_centers
from sam3_agent.workspace.negative_examples import distinct_boxes
from sam3_agent.workspace.presence_calibration import LEAST_IMAGES, least_presence
from sam3_agent.workspace.sampling import evenly

THRESHOLD_IMAGES = 5
"""Held-out images below which a threshold is noise and stays at 0.5 (at .4 from 3 images, absent refused .75)."""
MARGIN = 0.03
"""F1 by which a choice must beat the plainer one before it; about one example of twenty."""


def read_examples(
    examples: Sequence[tuple[str, Exemplar]], reading: Reading
) -> tuple[list[ExampleImage], ExemplarTokens]:
    """Read (image id, box) examples image by image; also gives all tokens as one set, positives first."""
    by_image: dict[str, list[Exemplar]] = {}
    for image_id, exemplar in examples:
        by_image.setdefault(image_id, []).append(exemplar)
    images: list[ExampleImage] = []
    for image_id, boxes in by_image.items():
        tokens = reading.segmenter.read_exemplars(reading.features_of(image_id), boxes)
        sign = np.array([e.positive for e in boxes])
        positive, negative = (tuple(e.box for e in boxes if e.positive is s) for s in (True, False))
        images.append(
            ExampleImage(image_id, positive, negative, tokens.array[sign], tokens.array[~sign], tokens.segmenter)
        )
    rows = [*(i.positive_tokens for i in images), *(i.negative_tokens for i in images)]
    return images, ExemplarTokens.of(np.concatenate(rows), images[0].segmenter)


def repooled(concept: Concept) -> Concept:
    """Pool a concept of an older file, which held the tokens of all its examples and asked with every one.

    Only where all are positive, one thumbnail each: such a file does not say which tokens are negative.
    """
    old = concept.examples is None and concept.tokens.count > MOST_CENTERS
    if not old or len(concept.thumbnails) != concept.tokens.count:
        return concept
    mean = ExemplarTokens.of(k_centers(concept.tokens.array, 1), concept.tokens.segmenter)
    return replace(concept, tokens=mean, examples=concept.tokens)


def choose(concept: Concept, images: Sequence[ExampleImage], reading: Reading, mode: ConceptMode = "tokens") -> Concept:
    """Decide how the concept is asked for, by trial on the images of its examples.

    Gives the concept with pooled tokens, the phrase that is kept, a threshold, an estimate and notes about what was
    left out. `concept.tokens` are those of all examples. With a canvas it holds the examples to be shown too.
    """
    trials = try_out(concept.phrase, images, reading, mode)
    thresholds = THRESHOLDS if trials.held_out and len(trials.tried) >= THRESHOLD_IMAGES else THRESHOLDS[:1]
    outcomes = [[outcome_of(found, level, trials.examples) for level in thresholds] for found in trials.findings]
    best = _first_best([max(outcome.f1 for outcome in row) for row in outcomes])
    choice, level = trials.choices[best], _first_best([outcome.cautious_f1 for outcome in outcomes[best]])
    at_once = {c: row[level] for c, row in zip(trials.choices, outcomes, strict=True)}
    close_ups, alike = _checked(choice, trials.findings[best], images, trials, reading)
    if close_ups is not None:
        thresholds = CLOSE_THRESHOLDS if len(thresholds) > 1 else CLOSE_THRESHOLDS[:1]
    checked = [outcome_of(alike, threshold, trials.examples) for threshold in thresholds]
    level = _first_best([outcome.cautious_f1 for outcome in checked])
    outcome = checked[level]
    return replace(
        concept,
        phrase=choice.phrase,
        tokens=asked_with(choice, images, trials),
        canvas=shown(images, reading) if choice.canvas else (),
        examples=concept.tokens,
        threshold=thresholds[level],
        least_presence=_least_presence(choice, images, trials, reading),
        close_ups=close_ups,
        estimate=ConceptEstimate(
            outcome.found, trials.examples, outcome.false, trials.words, len(trials.tried), trials.held_out
        ),
        notes=tuple(_notes(concept, choice, at_once)),
    )


def _checked(
    choice: Choice, findings: Sequence[Finding], images: Sequence[ExampleImage], trials: Trials, reading: Reading
) -> tuple[CloseUps | None, list[Finding]]:
    """Learn to tell the concept close by, and lower what is unlike the examples of other images than its own.

    Where no image can be left out, all findings stay as they are.
    """
    marked = [(image.image_id, box) for image in images for box in image.positive]
    if choice.canvas or trials.slow:
        return None, list(findings)
    beside = [(image.image_id, box) for image in trials.tried for box in _things_beside(image, trials)]
    see = partial(close_ups.read_close_ups, reading.segmenter, pixels_of=reading.pixels_of)
    examples, others = (
        see(evenly(each, close_ups.MOST_KEPT), versions=close_ups.VERSIONS) for each in (marked, beside)
    )
    others = close_ups.without_unmarked(others, examples)
    known = close_ups.calibrated(examples, others)
    if known is None or not trials.held_out:
        return known, list(findings)
    asked = [finding for finding in findings if finding.score > min(CLOSE_THRESHOLDS)]
    seen = see([(finding.image_id, finding.box) for finding in asked])
    beliefs = close_ups.belief(known, close_ups.likeness_left_out(seen, examples, others)).tolist()
    return known, [replace(each, score=each.score * share) for each, share in zip(asked, beliefs, strict=True)]


def _things_beside(image: ExampleImage, trials: Trials) -> list[Box]:
    """Boxes of what is not marked as the concept: negative examples, and what any word names, each once."""
    return distinct_boxes([*image.negative, *trials.seen[image.image_id]], image.positive)


def _least_presence(choice: Choice, images: Sequence[ExampleImage], trials: Trials, reading: Reading) -> float:
    """Ask each image that shows the concept by what the others taught; 0 for a canvas and for too few images."""
    having = [image for image in trials.tried if image.positive]
    if choice.canvas or len(having) < LEAST_IMAGES:
        return 0.0
    presences: list[float] = []
    for image in having:
        prompt = trial_prompt(choice.phrase, asked_with(choice, images, trials, image.image_id))
        (found,) = reading.segmenter.detect(reading.features_of(image.image_id), [prompt], DetectOptions())
        presences.append(found.presence)
    return least_presence(presences)


def _notes(concept: Concept, best: Choice, outcomes: dict[Choice, Outcome]) -> list[str]:
    """Say what was left out of what the caller gave, and the figures that were the reason."""
    notes: list[str] = []
    after = outcomes[best]
    if concept.phrase is not None and best.phrase is None:
        before = outcomes[replace(best, phrase=concept.phrase)]
        notes.append(f"the phrase '{concept.phrase}' is left out: {_compared(before, after)}")
    if best.best:
        by_all = outcomes[Choice(phrase=best.phrase)]
        notes.append(
            f"the {best.best} of your examples that find most of the others {'is' if best.best == 1 else 'are'} asked"
            f" with: so {after.found} of {after.examples} are found and {after.false} false ones, with the mean of all"
            f" {by_all.found} and {by_all.false}"
        )
    kept = replace(best, best=0, negatives=True)
    if not best.negatives and kept in outcomes:
        notes.append(f"the negative examples are left out: {_compared(outcomes[kept], after)}")
    others = [outcome for choice, outcome in outcomes.items() if choice.canvas != best.canvas]
    if others:
        rival = max(others, key=lambda outcome: outcome.f1)
        names = ("shown beside the image", "asked as tokens")[:: 1 if best.canvas else -1]
        notes.append(
            f"the examples are {names[0]}: so {after.found} of {after.examples} are found and {after.false}"
            f" false ones, {names[1]} {rival.found} and {rival.false}"
        )
    return notes


def _compared(before: Outcome, after: Outcome) -> str:
    return (
        f"with it {before.found} of {before.examples} of your examples are found and {before.false} false ones,"
        f" without it {after.found} and {after.false}"
    )


def _first_best(figures: Sequence[float]) -> int:
    """Place of the best figure; a later one must beat an earlier one by MARGIN."""
    best = 0
    for place, figure in enumerate(figures):
        if figure >= figures[best] + MARGIN:
            best = place
    return best
