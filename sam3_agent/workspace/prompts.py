"""Concepts as a caller gives them -> prompts, each once."""

import math
from collections.abc import Sequence
from dataclasses import replace

from sam3_agent.errors import InputError
from sam3_agent.masks import Box, Rle
from sam3_agent.types import ClickPrompt, ConceptPrompt, Exemplar, Point


def distinct_prompts(concepts: Sequence[str | ConceptPrompt], threshold: float = 0.5) -> list[ConceptPrompt]:
    """Prompts in the order given; phrases that differ only in case or spaces are one concept.

    Raises:
        InputError: there are none, one is empty, or the threshold is no number from 0 to 1.
    """
    if not math.isfinite(threshold) or not 0 <= threshold <= 1:
        raise InputError(f"threshold must be a number from 0 to 1, got {threshold}")
    if isinstance(concepts, str):
        raise InputError(f"concepts must be a list of phrases, got one string; write [{concepts!r}]")
    if not concepts:
        raise InputError("give at least one concept: a short noun phrase such as 'yellow school bus'")
    distinct: dict[ConceptPrompt, ConceptPrompt] = {}
    for concept in concepts:
        prompt = ConceptPrompt(" ".join(concept.split())) if isinstance(concept, str) else concept
        folded = None if prompt.phrase is None else " ".join(prompt.phrase.lower().split())
        distinct.setdefault(ConceptPrompt(folded, prompt.exemplars, prompt.learned), prompt)
    return list(distinct.values())


def prompt_by_example(asked: ConceptPrompt | None, positive: Sequence[Box], negative: Sequence[Box]) -> ConceptPrompt:
    """Build the prompt of a concept with examples.

    Raises:
        InputError: there is no example, or only negative ones and nothing asked.
    """
    if not positive and not negative:
        raise InputError("give at least one example: positive_masks, negative_masks, positive_boxes or negative_boxes")
    if asked is None and not positive:
        raise InputError("negative examples alone say nothing to look for; give a concept or a positive example too")
    exemplars = (*(Exemplar(box, True) for box in positive), *(Exemplar(box, False) for box in negative))
    return ConceptPrompt(None, exemplars) if asked is None else replace(asked, exemplars=exemplars)


def click_prompt(points: Sequence[Point], labels: Sequence[bool], box: Box | None, mask: Rle | None) -> ClickPrompt:
    """Build the prompt that means one object.

    Raises:
        InputError: nothing says which object: there is nothing, or nothing but points beside it.
    """
    prompt = ClickPrompt(tuple(points), tuple(labels), box, mask)
    if not (any(prompt.labels) or box is not None or mask is not None):
        raise InputError("points beside the object alone do not say where it is; add one on it, a box or a mask")
    return prompt
