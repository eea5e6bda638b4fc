"""Concepts learned from examples, by name."""

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent.errors import InputError, UnknownHandle
from sam3_agent.masks import Box
from sam3_agent.model.segmenter import BringsConcepts, Segmenter
from sam3_agent.types import Concept, ConceptPrompt, Exemplar, ExemplarTokens
from sam3_agent.workspace.concept_learning import choose, read_examples, repooled
from sam3_agent.workspace.concept_trials import ConceptMode, Reading

MARK = "@"
"""A phrase that begins so names a learned concept."""
MOST_EXAMPLES = 256
"""Examples of one concept; they are pooled, so that only reading them costs."""
MOST_THUMBNAILS = 32
"""Of 3 kB each, kept for people."""
_THUMBNAIL = 96
_MARGIN = 0.15


class Concepts:
    """The learned concepts of a workspace. Safe to call from several threads."""

    def __init__(self, segmenter: Segmenter) -> None:
        """Begin with those that the model brings along."""
        self._bringer = segmenter if isinstance(segmenter, BringsConcepts) else None
        brought = self._bringer.concepts if self._bringer is not None else ()
        self._known: dict[str, Concept] = {concept.name: concept for concept in brought}
        self._lock = threading.Lock()

    def add(self, concept: Concept) -> None:
        """Keep a concept, pooled if it is of an older file; one of the same name is replaced."""
        with self._lock:
            self._known[concept.name] = repooled(concept)

    def get(self, name: str) -> Concept:
        """The concept of a name, with or without "@".

        Raises:
            UnknownHandle: no concept has this name.
        """
        with self._lock:
            concept = self._known.get(name.removeprefix(MARK))
            if concept is None:
                raise UnknownHandle("concept", name, [MARK + known for known in self._known])
            return concept

    def all(self) -> list[Concept]:
        """Every concept, in the order in which they were first added."""
        with self._lock:
            return list(self._known.values())

    def prompt(self, phrase: str) -> ConceptPrompt:
        """A phrase as a prompt; "@name" becomes the concept of that name with the phrase it was learned with."""
        name = phrase.strip()
        if not name.startswith(MARK):
            return ConceptPrompt(phrase)
        concept = self.get(name)
        return ConceptPrompt(concept.phrase, (), concept)

    def meant(self, prompt: ConceptPrompt) -> ConceptPrompt:
        """The prompt that the model really asks, which may be that of a concept that it brought along."""
        return prompt if self._bringer is None else self._bringer.named(prompt)

    def named(self, concepts: Sequence[str | ConceptPrompt]) -> Sequence[str | ConceptPrompt]:
        """The same concepts with every "@name" replaced by what it names."""
        if isinstance(concepts, str):
            return concepts  # which is refused where phrases are read
        return [self.prompt(c) if isinstance(c, str) and c.strip().startswith(MARK) else c for c in concepts]


def joined(parts: Sequence[ExemplarTokens]) -> ExemplarTokens:
    """Tokens of several images as one set; all must come from the same model."""
    first = parts[0]
    return ExemplarTokens(b"".join(p.values for p in parts), sum(p.count for p in parts), first.width, first.segmenter)


def by_threshold(prompts: Sequence[ConceptPrompt], asked: float) -> dict[float, list[ConceptPrompt]]:
    """Group prompts by the threshold that each is to be asked with; phrases take the one asked for."""
    groups: dict[float, list[ConceptPrompt]] = {}
    for prompt in prompts:
        own = asked if prompt.learned is None else prompt.learned.threshold_at(asked)
        groups.setdefault(own, []).append(prompt)
    return groups


def thumbnail(pixels: NDArray[np.uint8], box: Box) -> bytes:
    """A small JPEG of what is in the box, with a little around it; `pixels` is (H, W, 3) RGB."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box
    dx, dy = _MARGIN * (x1 - x0), _MARGIN * (y1 - y0)
    left, top = int(max(0, x0 - dx)), int(max(0, y0 - dy))
    right, bottom = max(left + 1, int(min(width, x1 + dx))), max(top + 1, int(min(height, y1 + dy)))
    image = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Example:
    """A box on an open image that shows the concept, or what it must not be."""

    image_id: str
    exemplar: Exemplar


def learn_concept(
    name: str,
    phrase: str | None,
    examples: Sequence[Example],
    reading: Reading,
    mode: ConceptMode = "tokens",
) -> Concept:
    """Read the examples image by image, and choose by trial on them how the concept is asked for.

    Raises:
        InputError: no positive example, too many examples, or an unknown mode.
    """
    if mode not in get_args(ConceptMode):
        raise InputError(f"mode must be one of {', '.join(get_args(ConceptMode))}; got {mode!r}")
    if not any(example.exemplar.positive for example in examples):
        raise InputError("give at least one positive example to learn from: positive_masks or positive_boxes")
    if len(examples) > MOST_EXAMPLES:
        raise InputError(f"a concept is learned from at most {MOST_EXAMPLES} examples, got {len(examples)}")
    images, tokens = read_examples([(e.image_id, e.exemplar) for e in examples], reading)
    positive = [example for example in examples if example.exemplar.positive]
    pictures = [thumbnail(reading.pixels_of(e.image_id), e.exemplar.box) for e in positive[:MOST_THUMBNAILS]]
    concept = Concept(name, phrase.strip() or None if phrase is not None else None, tokens, tuple(pictures))
    return choose(concept, images, reading, mode)
