"""First token of a training: the mean of the examples that find most on the images of the others.

Examples differ widely (one of a gear alone finds F1 .08 of others, the next .72), and the mean of all is no better than
most of them (.59); that of the best three is (.74).
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.teaching.looks import THRESHOLDS, Look, best_threshold, f1_of, look_of
from sam3_agent.training.teaching.views import TeachingImage
from sam3_agent.types import Concept, ConceptPrompt, DetectOptions, ExemplarTokens

MOST_CANDIDATES = 8
"""Examples that are asked, evenly chosen."""
MOST_JUDGES = 8
"""Images with the concept that they are asked on, and half as many without it."""
BEST = 3
Item = TypeVar("Item")


def first_token(
    segmenter: Sam3, images: Sequence[TeachingImage], rows: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """(C,) token to begin with, of the (N, C) tokens of the objects of each image that has some, in their order."""
    having = [image for image in images if image.objects]
    every = [(place, row) for place, tokens in enumerate(rows) for row in tokens]
    asked = _evenly(every, MOST_CANDIDATES)
    judges = _evenly(list(enumerate(having)), MOST_JUDGES)
    judges += [(-1, image) for image in _evenly([each for each in images if not each.objects], MOST_JUDGES // 2)]
    prompts = [_prompt(row, segmenter.fingerprint) for _, row in asked]
    looks: list[list[Look]] = [[] for _ in asked]
    for number, image in judges:
        found = segmenter.detect(segmenter.encode(image.pixels), prompts, DetectOptions(min(THRESHOLDS), near_misses=0))
        for (owner, _), seen, answer in zip(asked, looks, found, strict=True):
            if owner != number:
                scored = [(answer.presence * each.object_score, each.rle) for each in answer.kept]
                seen.append(look_of(scored, image.objects))
    order = sorted(range(len(asked)), key=lambda place: -f1_of(looks[place], best_threshold(looks[place])))
    return np.mean([asked[place][1] for place in order[:BEST]], axis=0, dtype=np.float32)


def _evenly(items: list[Item], most: int) -> list[Item]:
    return [items[place * len(items) // most] for place in range(most)] if len(items) > most else items


def _prompt(row: NDArray[np.float32], reader: str) -> ConceptPrompt:
    tokens = ExemplarTokens(row.astype("<f4").tobytes(), 1, len(row), reader)
    return ConceptPrompt(None, (), Concept("trial", None, tokens))
