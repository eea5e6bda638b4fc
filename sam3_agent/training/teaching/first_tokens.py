"""First token of a teaching: the mean of the examples that find most of the others."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.teaching.looks import THRESHOLDS, Look, best_threshold, f1_of, look_of
from sam3_agent.training.teaching.views import TeachingImage
from sam3_agent.types import Concept, ConceptPrompt, DetectOptions, ExemplarTokens
from sam3_agent.workspace.sampling import evenly

MOST_CANDIDATES = 8
"""Examples that are asked, evenly chosen."""
MOST_JUDGES = 8
"""Images with the concept that they are asked on, and half as many without it."""
BEST = 3
"""Examples of which the first token is the mean. One gear alone finds F1 .04 to .75 of others, the mean of ten .59 and
.67 (two draws), that of the best three .74."""


class FirstTokens:
    """Examples that were asked one by one on the images of others."""

    def __init__(
        self,
        segmenter: Sam3,
        images: Sequence[TeachingImage],
        rows: Sequence[NDArray[np.float32]],
        folds: Sequence[int],
    ) -> None:
        """Ask them; `rows` are the (N, C) tokens of the objects of each image that has some, in their order."""
        numbered = list(enumerate(images))
        having = [(number, image) for number, image in numbered if image.objects]
        lacking = [(number, image) for number, image in numbered if not image.objects]
        every = [(number, row) for (number, _), tokens in zip(having, rows, strict=True) for row in tokens]
        self._asked = evenly(every, MOST_CANDIDATES)
        self._folds = folds
        reader, options = segmenter.fingerprint, DetectOptions(min(THRESHOLDS), near_misses=0)
        prompts = [
            ConceptPrompt(None, (), Concept("trial", None, ExemplarTokens.of(row[None], reader)))
            for _, row in self._asked
        ]
        self._looks: list[dict[int, Look]] = [{} for _ in self._asked]
        """By image."""
        for number, image in (*evenly(having, MOST_JUDGES), *evenly(lacking, MOST_JUDGES // 2)):
            answers = segmenter.detect(segmenter.encode(image.pixels), prompts, options)
            for seen, answer in zip(self._looks, answers, strict=True):
                scored = [(answer.presence * each.object_score, each.rle) for each in answer.kept]
                seen[number] = look_of(scored, image.objects)

    def without(self, fold: int | None) -> NDArray[np.float32]:
        """(C,) mean of the best, as those say that are not of the fold; None for all.

        Where all that were asked are of the fold, it is that of all.
        """
        free = [place for place, (owner, _) in enumerate(self._asked) if self._folds[owner] != fold]
        order = sorted(free or range(len(self._asked)), key=lambda place: -self._f1(place, fold))
        return np.stack([self._asked[place][1] for place in order[:BEST]]).mean(axis=0)

    def _f1(self, place: int, fold: int | None) -> float:
        owner = self._asked[place][0]
        judges = [look for image, look in self._looks[place].items() if image != owner and self._folds[image] != fold]
        return f1_of(judges, best_threshold(judges))
