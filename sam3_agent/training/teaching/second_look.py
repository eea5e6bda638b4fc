"""Second look at what taught tokens find: examples and false findings seen close by (`workspace.close_ups`)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from sam3_agent import masks
from sam3_agent.masks import Box, Rle
from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.teaching.looks import SAME
from sam3_agent.training.teaching.views import TeachingImage
from sam3_agent.types import CloseUps, ConceptPrompt, DetectOptions
from sam3_agent.workspace.close_ups import (
    MOST_KEPT,
    calibrated,
    likeness_left_out,
    see,
)
from sam3_agent.workspace.negative_examples import box_ious
from sam3_agent.workspace.nms import Suppression
from sam3_agent.workspace.query import ONCE
from sam3_agent.workspace.sampling import evenly


@dataclass(frozen=True, slots=True)
class Answer:
    """Presence and findings, each with its score, of one prompt on one image."""

    presence: float
    found: tuple[tuple[float, Rle], ...]


def answers_of(
    segmenter: Sam3, image: TeachingImage, prompts: Sequence[ConceptPrompt], threshold: float
) -> list[Answer]:
    """Ask about an image down to a score; each object is told once."""
    found = segmenter.detect(segmenter.encode(image.pixels), prompts, DetectOptions(threshold))
    distinct = [[a.kept[place] for place in Suppression(ONCE).keep([each.rle for each in a.kept])] for a in found]
    return [
        Answer(a.presence, tuple((a.presence * each.object_score, each.rle) for each in kept))
        for a, kept in zip(found, distinct, strict=True)
    ]


def checked_closely(
    segmenter: Sam3, images: Sequence[TeachingImage], ways: Sequence[Sequence[Answer]]
) -> tuple[CloseUps | None, list[list[Answer]]]:
    """Learn to tell objects from false findings close by, and drop what is unlike the objects of other images.

    Gives None, and the answers as they are, where it cannot tell them apart. Every object must be marked.

    Args:
        segmenter: the model that answered.
        images: all of them.
        ways: answers about each image, of each way to ask.
    """
    pixels = {str(place): image.pixels for place, image in enumerate(images)}
    see_all = partial(see, segmenter, pixels_of=pixels.__getitem__)
    objects = [(str(p), masks.box(rle)) for p, image in enumerate(images) for rle in image.objects]
    false = [
        (str(p), box)
        for p, (image, *answers) in enumerate(zip(images, *ways, strict=True))
        for box in _distinct([*map(masks.box, image.lookalikes), *(b for a in answers for b in _false(image, a))])
    ]
    examples, others = (see_all(evenly(boxes, MOST_KEPT)) for boxes in (objects, false))
    known = calibrated(examples, others)
    if known is None:
        return None, [list(answers) for answers in ways]
    checked: list[list[Answer]] = []
    for answers in ways:
        asked = [(str(p), masks.box(rle)) for p, answer in enumerate(answers) for _, rle in answer.found]
        alike = iter(likeness_left_out(see_all(asked), examples, others) >= known.least)
        checked.append([replace(a, found=tuple(each for each in a.found if next(alike))) for a in answers])
    return known, checked


def _false(image: TeachingImage, answer: Answer) -> list[Box]:
    """Boxes of what was found and is no object."""
    found = [rle for _, rle in answer.found]
    if found and image.objects:
        best = masks.iou(found, image.objects).max(axis=1)  # (found,)
        found = [rle for rle, share in zip(found, best, strict=True) if share < SAME]
    return [masks.box(rle) for rle in found]


def _distinct(boxes: Sequence[Box]) -> list[Box]:
    """Each thing once."""
    chosen: list[Box] = []
    for box in boxes:
        if not (box_ious([box], chosen) >= SAME).any():
            chosen.append(box)
    return chosen
