"""Noun phrases that hold in a scene, and phrases that nearly hold, with the objects each means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from sam3_agent.scenes.rng import picks, shuffled
from sam3_agent.scenes.scene import Scene, SceneObject
from sam3_agent.scenes.vocabulary import (
    COLORS,
    NOUNS,
    PATTERNS,
    SUPERCATEGORIES,
    SUPERCATEGORY_PHRASE,
    UNKNOWN_WORDS,
    plural_of,
    with_article,
)

ANYTHING = ("object", "thing")
"""The two words that mean every object."""

NEGATIVES_PER_KIND = 6
CONSONANTS = "bcdfghjklmnpqrstvwxz"


@dataclass(frozen=True, slots=True)
class Concept:
    """A phrase and the ids of all objects it means, none for a negative; `kind` says how the phrase is built."""

    phrase: str
    target_ids: tuple[int, ...]
    kind: str


def matches(
    obj: SceneObject,
    noun: str | None = None,
    color: str | None = None,
    pattern: str | None = None,
    supercategory: str | None = None,
) -> bool:
    """Whether `obj` has every attribute given."""
    wanted = ((noun, obj.noun), (color, obj.color), (pattern, obj.pattern), (supercategory, obj.supercategory))
    return all(want is None or want == has for want, has in wanted)


def concepts_of(scene: Scene, rng: np.random.Generator, limit: int | None = None) -> list[Concept]:
    """Every phrase that holds, and about as many that do not, in random order.

    With `limit`, that many of them, the kinds taking turns, so that no kind crowds out the others.
    """
    concepts = positive_concepts(scene, rng) + negative_concepts(scene, rng)
    mixed = shuffled(concepts, rng)
    return mixed if limit is None else _by_turns(mixed)[:limit]


def positive_concepts(scene: Scene, rng: np.random.Generator) -> list[Concept]:
    """Every phrase that means at least one object of `scene`."""
    found: dict[tuple[str, str], list[int]] = {}
    for obj in scene.objects:
        for key in _phrases(obj):
            found.setdefault(key, []).append(obj.id)
    return [Concept(_reworded(kind, phrase, rng), tuple(ids), kind) for (kind, phrase), ids in found.items()]


def _phrases(obj: SceneObject) -> tuple[tuple[str, str], ...]:
    """(kind, phrase) of everything that can be said of `obj`; "thing" stands for any word for an object."""
    group = SUPERCATEGORY_PHRASE[obj.supercategory]
    return (
        ("noun", obj.noun),
        ("color", f"{obj.color} thing"),
        ("pattern", f"{obj.pattern} thing"),
        ("color_noun", f"{obj.color} {obj.noun}"),
        ("pattern_noun", f"{obj.pattern} {obj.noun}"),
        ("color_pattern", f"{obj.color} {obj.pattern} thing"),
        ("color_pattern_noun", f"{obj.color} {obj.pattern} {obj.noun}"),
        ("supercategory", group),
        ("color_supercategory", f"{obj.color} {group}"),
        ("everything", "thing"),
    )


def _reworded(kind: str, phrase: str, rng: np.random.Generator) -> str:
    """`phrase` with "object" or nothing in the place of "thing", as far as its kind allows."""
    if not phrase.endswith("thing"):
        return phrase
    if kind in ("color", "pattern") and rng.random() < 0.34:
        return phrase.removesuffix(" thing")
    return phrase if rng.random() < 0.5 else phrase.removesuffix("thing") + "object"


def negative_concepts(scene: Scene, rng: np.random.Generator) -> list[Concept]:
    """Phrases that mean nothing in `scene`, at most NEGATIVES_PER_KIND of each kind; the nearer misses come first."""
    nouns = _present(NOUNS, (obj.noun for obj in scene.objects))
    colors = _present(tuple(COLORS), (obj.color for obj in scene.objects))
    patterns = _present(PATTERNS, (obj.pattern for obj in scene.objects))
    groups = _present(SUPERCATEGORIES, (obj.supercategory for obj in scene.objects))
    pairs = {(obj.color, obj.noun) for obj in scene.objects}
    worn = {(obj.pattern, obj.noun) for obj in scene.objects}
    painted = {(obj.color, obj.supercategory) for obj in scene.objects}
    absent = shuffled([noun for noun in NOUNS if noun not in nouns], rng)
    other_colors = shuffled([color for color in COLORS if color not in colors], rng)
    other_patterns = [pattern for pattern in PATTERNS if pattern not in patterns]
    near = shuffled([(c, n) for c in colors for n in nouns if (c, n) not in pairs], rng)
    wrong_color = near + shuffled([(c, n) for c in other_colors for n in nouns], rng)
    wrong_noun = near[::-1] + shuffled([(c, n) for c in colors for n in absent], rng)
    wrong_pattern = shuffled([(p, n) for p in patterns for n in nouns if (p, n) not in worn], rng)
    wrong_pattern += shuffled([(p, n) for p in other_patterns for n in nouns], rng)
    wrong_group = [(SUPERCATEGORY_PHRASE[group],) for group in SUPERCATEGORIES if group not in groups]
    wrong_group += [(c, SUPERCATEGORY_PHRASE[g]) for c in colors for g in groups if (c, g) not in painted]
    rows: tuple[tuple[str, Sequence[tuple[str, ...]]], ...] = (
        ("negative_color", _half_near(wrong_color, len(near))),
        ("negative_noun", _half_near(wrong_noun, len(near))),
        ("negative_pattern", wrong_pattern),
        ("negative_absent", [(noun,) for noun in absent]),
        ("negative_supercategory", shuffled(wrong_group, rng)),
        ("negative_unknown", _unknown(tuple(COLORS), rng)),
    )
    return [Concept(" ".join(words), (), kind) for kind, row in rows for words in row[:NEGATIVES_PER_KIND]]


def _half_near(rows: Sequence[tuple[str, ...]], near: int) -> Sequence[tuple[str, ...]]:
    """`rows`, of which the first `near` come first, with at most half of a kind taken from those if others exist."""
    kept = min(near, max(NEGATIVES_PER_KIND // 2, NEGATIVES_PER_KIND - (len(rows) - near)))
    return [*rows[:kept], *rows[near:]]


def _unknown(colors: Sequence[str], rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Words outside the vocabulary: bare, with a color before them, and one string of random letters."""
    words = picks(UNKNOWN_WORDS, 4, rng)
    tints = picks(colors, 2, rng)
    letters = "".join(picks(CONSONANTS, int(rng.integers(4, 9)), rng))
    return [(words[0],), (words[1],), (tints[0], words[2]), (tints[1], words[3]), (letters,)]


def _present(order: Sequence[str], values: Iterable[str]) -> list[str]:
    """The members of `order` that occur in `values`, in that order."""
    seen = set(values)
    return [word for word in order if word in seen]


def _by_turns(concepts: Sequence[Concept]) -> list[Concept]:
    """`concepts` reordered so that the kinds take turns; each kind keeps its own order."""
    by_kind: dict[str, list[Concept]] = {}
    for concept in concepts:
        by_kind.setdefault(concept.kind, []).append(concept)
    return [concept for turn in zip_longest(*by_kind.values()) for concept in turn if concept is not None]


def phrase_variant(phrase: str, rng: np.random.Generator) -> str:
    """`phrase` as it is, in the plural, or after an article; a bare adjective stays as it is."""
    *before, last = phrase.split(" ")
    if last in COLORS or last in PATTERNS:
        return phrase
    choice = int(rng.integers(4))
    if choice == 0:
        return phrase
    if choice == 1:
        return " ".join((*before, plural_of(last)))
    return with_article(phrase) if choice == 2 else f"the {phrase}"
