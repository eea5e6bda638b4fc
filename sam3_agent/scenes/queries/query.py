"""A query: words that a person could ask about a scene, with the exact answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sam3_agent.scenes.rng import pick
from sam3_agent.scenes.scene import SceneObject


@dataclass(frozen=True, slots=True)
class Query:
    """Question and the ids of all objects meant, in rising order; `is_sentence` tells it from a short phrase."""

    text: str
    kind: str
    target_ids: tuple[int, ...]
    is_sentence: bool


@dataclass(frozen=True, slots=True)
class Wording:
    """The ways to ask one thing: `short` phrases and whole sentences (`long`), with {names} to fill in."""

    short: tuple[str, ...]
    long: tuple[str, ...]

    def ask(self, kind: str, targets: Sequence[SceneObject], rng: np.random.Generator, **words: str) -> Query:
        """A query in a random wording, about as often short as long; `words` fill the names in."""
        is_sentence = rng.random() < 0.5
        templates = self.long if is_sentence else self.short
        text = pick(templates, rng).format(**words)
        return Query(text, kind, tuple(sorted(obj.id for obj in targets)), is_sentence)
