"""Check of what taught tokens find: objects and false findings seen close by (`workspace.close_ups`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.masks import Box, Rle
from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.teaching.looks import best_threshold, f1_of, look_of
from sam3_agent.training.teaching.views import TeachingImage
from sam3_agent.types import CloseUps, ConceptPrompt, DetectOptions
from sam3_agent.workspace.close_ups import (
    LEAST_IMAGES,
    MOST_KEPT,
    VERSIONS,
    Seen,
    belief,
    calibrated,
    likeness_left_out,
    read_close_ups,
)
from sam3_agent.workspace.concept_trials import OTHER_WORDS, other_words, scored
from sam3_agent.workspace.negative_examples import distinct_boxes
from sam3_agent.workspace.nms import Suppression
from sam3_agent.workspace.query import ONCE
from sam3_agent.workspace.sampling import evenly

STRICT = (0.1,)
"""Shares of the objects that the second look may refuse: the first, or another one by which F1 rises by MARGIN. Gears
taught from ten images in five draws, when it only dropped: F1 .861 (median) and absent refused .97 on average, with LAX
.905 and .94."""
LAX = (0.05, 0.1, 0.02, 0.0)
"""For a model that was trained to refuse: one fine-tuned gear had F1 .918 and absent refused 1.00; with examples and
other things in one version each .902, then with STRICT .767. Without what everyday words name (ENOUGH) .784."""
MARGIN = 0.02
"""Of F1 on twenty images: about one object."""
ENOUGH = 20
"""False findings; where a model that was trained to refuse makes fewer, things that everyday words name join them.
Taught tokens are left alone with their own: with such things absent was refused .90 in one of two draws, not 1.00."""
PART = 0.3
"""Of a finding's area: with more of it on marked objects it is a part of one, or of several."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Presence and findings, each with its score, of one prompt on one image."""

    presence: float
    found: tuple[tuple[float, Rle], ...]
    """The best first."""


def answers_of(
    segmenter: Sam3, image: TeachingImage, prompts: Sequence[ConceptPrompt], threshold: float
) -> list[Answer]:
    """Ask about an image down to a score; each object is told once."""
    found = segmenter.detect(segmenter.encode(image.pixels), prompts, DetectOptions(threshold))
    return [told_once(a.presence, [(a.presence * each.object_score, each.rle) for each in a.kept]) for a in found]


def told_once(presence: float, found: Sequence[tuple[float, Rle]]) -> Answer:
    """Answer of findings, the best first, without those that repeat a better one."""
    return Answer(presence, tuple(found[place] for place in Suppression(ONCE).keep([rle for _, rle in found])))


def checked_closely(
    segmenter: Sam3,
    images: Sequence[TeachingImage],
    ways: Sequence[Sequence[Answer]],
    shares: Sequence[float] = STRICT,
    *,
    soft: bool = True,
) -> tuple[CloseUps | None, list[list[Answer]]]:
    """Learn to tell objects from false findings close by, and lower what is unlike the objects of other images.

    Gives None, and the answers as they are, where it cannot tell them apart. Every object must be marked.

    Args:
        segmenter: the model that answered.
        images: all of them.
        ways: answers about each image, of each way to ask.
        shares: of the objects that may be refused; see STRICT.
        soft: whether doubt lowers scores; otherwise what is too unlike is dropped, for a model with shifted scores.
    """
    pixels = {str(place): image.pixels for place, image in enumerate(images)}
    see_all = partial(read_close_ups, segmenter, pixels_of=pixels.__getitem__)
    objects = [(str(p), masks.box(rle)) for p, image in enumerate(images) for rle in image.objects]
    if len({owner for owner, _ in objects}) < LEAST_IMAGES:
        return None, [list(answers) for answers in ways]
    other = _other_things(images, ways, None if soft else segmenter)
    examples, others = (see_all(evenly(boxes, MOST_KEPT), versions=VERSIONS) for boxes in (objects, other))
    alike = [
        _likeness(answers, partial(likeness_left_out, examples=examples, others=others), see_all) for answers in ways
    ]
    best: tuple[float, CloseUps | None, list[list[Answer]]] = (-1.0, None, [])
    for share in shares:
        known = calibrated(examples, others, share)
        if known is None:  # which no share changes
            return None, [list(answers) for answers in ways]
        known = known if soft else replace(known, spread=0.0)
        checked = [_lowered(answers, like, known) for answers, like in zip(ways, alike, strict=True)]
        figure = max(_f1(images, answers) for answers in checked)
        if figure >= best[0] + (MARGIN if best[1] else 0):
            best = (figure, known, checked)
    return best[1], best[2]


def _other_things(
    images: Sequence[TeachingImage], ways: Sequence[Sequence[Answer]], asked: Sam3 | None
) -> list[tuple[str, Box]]:
    """List look-alikes and false findings, each with its image.

    Where they are fewer than ENOUGH, what everyday words find joins them, if a model is given to be asked.
    """
    things = [
        (str(place), box)
        for place, (image, *answers) in enumerate(zip(images, *ways, strict=True))
        for box in distinct_boxes([masks.box(rle) for rle in (*image.lookalikes, *_false(image, answers))])
    ]
    if asked and len(things) < ENOUGH:
        things += evenly(_named_things(asked, images, things), ENOUGH - len(things))
    return things


def _named_things(
    segmenter: Sam3, images: Sequence[TeachingImage], known: Sequence[tuple[str, Box]]
) -> list[tuple[str, Box]]:
    """List what everyday words find that is neither an object nor known, each with its image."""
    prompts, options = [ConceptPrompt(word) for word in OTHER_WORDS], DetectOptions(near_misses=0)
    encoded = (segmenter.encode(image.pixels) for image in images)
    answers = [[scored(found) for found in segmenter.detect(each, prompts, options)] for each in encoded]
    objects = [[masks.box(rle) for rle in image.objects] for image in images]
    words = other_words(answers, objects)
    things: list[tuple[str, Box]] = []
    for place, (answer, own) in enumerate(zip(answers, objects, strict=True)):
        named = [box for word in words for _, box in answer[word]]
        taken = [*own, *(box for owner, box in known if owner == str(place))]
        things += [(str(place), box) for box in distinct_boxes(named, taken)]
    return things


def _likeness(
    answers: Sequence[Answer],
    likeness_of: Callable[[Seen], NDArray[np.float64]],
    see_all: Callable[[Sequence[tuple[str, Box]]], Seen],
) -> list[float]:
    """Likeness of every finding, in the order of the answers."""
    asked = [(str(place), masks.box(rle)) for place, answer in enumerate(answers) for _, rle in answer.found]
    return likeness_of(see_all(asked)).tolist()


def _lowered(answers: Sequence[Answer], like: Sequence[float], known: CloseUps) -> list[Answer]:
    """The answers with scores lowered by how unlike the objects each finding is, without those of no belief at all."""
    shares = iter(belief(known, np.array(like)).tolist())
    lowered: list[Answer] = []
    for answer in answers:
        found = [(score * share, rle) for (score, rle), share in zip(answer.found, shares, strict=False) if share]
        lowered.append(replace(answer, found=tuple(sorted(found, key=lambda each: -each[0]))))
    return lowered


def _f1(images: Sequence[TeachingImage], answers: Sequence[Answer]) -> float:
    """F1 at the threshold that is best for it."""
    looks = [look_of(answer.found, image.objects) for answer, image in zip(answers, images, strict=True)]
    return f1_of(looks, best_threshold(looks))


def _false(image: TeachingImage, answers: Sequence[Answer]) -> list[Rle]:
    """Findings that are no object; of what lies on one, as a part of it does, nothing is said."""
    found = [rle for answer in answers for _, rle in answer.found]
    if not found or not image.objects:
        return found
    marked = masks.containment(found, [masks.union(image.objects)])[:, 0]  # (found,)
    return [rle for rle, share in zip(found, marked, strict=True) if share < PART]
