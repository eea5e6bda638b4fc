"""From examples on open images to a concept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.masks import Box
from sam3_agent.model.segmenter import Features, Segmenter
from sam3_agent.types import Concept, Exemplar
from sam3_agent.workspace.concepts import MOST_EXAMPLES, joined, thumbnail
from sam3_agent.workspace.mask_store import Record


@dataclass(frozen=True, slots=True)
class Example:
    """A box on an open image that shows the concept, or what it must not be."""

    image_id: str
    exemplar: Exemplar


def gather_examples(
    record_of: Callable[[str], Record],
    masks: tuple[Sequence[str], Sequence[str]],
    boxes: tuple[Sequence[tuple[str, Box]], Sequence[tuple[str, Box]]],
) -> list[Example]:
    """Positive examples first; masks speak by their boxes. Both arguments are (positive, negative)."""
    examples: list[Example] = []
    for positive, mask_ids, given in zip((True, False), masks, boxes, strict=True):
        records = [record_of(mask_id) for mask_id in dict.fromkeys(mask_ids)]
        examples += [Example(record.image_id, Exemplar(record.instance.box, positive)) for record in records]
        examples += [Example(image_id, Exemplar(box, positive)) for image_id, box in given]
    return examples


def learn_concept(
    name: str,
    phrase: str | None,
    examples: Sequence[Example],
    features_of: Callable[[str], Features],
    pixels_of: Callable[[str], NDArray[np.uint8]],
    segmenter: Segmenter,
) -> Concept:
    """Read the examples image by image.

    Raises:
        InputError: a bad name, no positive example, or too many examples.
    """
    if not any(example.exemplar.positive for example in examples):
        raise InputError("give at least one positive example to learn from: positive_masks or positive_boxes")
    if len(examples) > MOST_EXAMPLES:
        raise InputError(f"a concept is learnt from at most {MOST_EXAMPLES} examples, got {len(examples)}")
    by_image: dict[str, list[Exemplar]] = {}
    for example in examples:
        by_image.setdefault(example.image_id, []).append(example.exemplar)
    tokens = joined([segmenter.read_exemplars(features_of(i), boxes) for i, boxes in by_image.items()])
    pictures = [thumbnail(pixels_of(e.image_id), e.exemplar.box) for e in examples if e.exemplar.positive]
    return Concept(name, phrase.strip() or None if phrase is not None else None, tokens, tuple(pictures))
