"""Prompts of a training step about a scene: phrases that hold, phrases that nearly hold, exemplars of either sign."""

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sam3_agent.scenes.scene import SceneObject
from sam3_agent.scenes.unnamed_shapes import is_unnamed
from sam3_agent.scenes.vocabulary import (
    COLORS,
    NOUNS,
    PATTERNS,
    PLURAL,
    SUPERCATEGORIES,
    SUPERCATEGORY_PHRASE,
    UNKNOWN_WORDS,
)
from sam3_agent.training.config import Stage

HELD_OUT_PAIRS = frozenset(
    {
        ("circle", "purple"),
        ("star", "green"),
        ("ring", "orange"),
        ("heart", "blue"),
        ("arrow", "pink"),
        ("square", "yellow"),
        ("house", "purple"),
        ("car", "yellow"),
        ("bird", "green"),
        ("cup", "orange"),
        ("umbrella", "black"),
        ("key", "blue"),
    }
)
"""(noun, color) pairs that training never draws and never asks for; the benchmark asks for them."""

MOST_POOLED = 8
"""Examples whose mean a prompt asks with."""
EVERYTHING = ("object", "thing")
_PHRASE_PLURALS = PLURAL | {"object": "objects", "thing": "things", "household item": "household items"}


def vocabulary_words() -> list[str]:
    """Every word that training uses on purpose, each one token of the tiny tokenizer."""
    phrases = [*NOUNS, *COLORS, *PATTERNS, *SUPERCATEGORY_PHRASE.values(), *_PHRASE_PLURALS, *_PHRASE_PLURALS.values()]
    return sorted({word for phrase in phrases for word in phrase.split()} | {"a", "an", "the", "visual"})


@dataclass(frozen=True, slots=True)
class TrainingPrompt:
    """One question about a scene with its truth."""

    phrase: str | None
    exemplars: tuple[tuple[int, bool], ...]
    """(object index, positive)"""
    targets: tuple[int, ...]
    """Indices of the objects that should be found."""
    kind: str
    source: int | None = None
    """Scene of the batch that the exemplars are from; None: the scene that is asked about."""
    pooled: tuple[tuple[int, int], ...] = ()
    """(scene of the batch, object) of positive examples whose tokens' mean takes the place of the one exemplar."""


@dataclass(frozen=True, slots=True)
class Description:
    """A conjunction of attributes; None leaves one open."""

    noun: str | None = None
    color: str | None = None
    pattern: str | None = None
    supercategory: str | None = None

    def matches(self, thing: SceneObject) -> bool:
        """Whether all given attributes hold for the object."""
        return (
            self.noun in (None, thing.noun)
            and self.color in (None, thing.color)
            and self.pattern in (None, thing.pattern)
            and self.supercategory in (None, thing.supercategory)
        )

    def phrase(self, rng: np.random.Generator) -> str:
        """One of the ways to say it."""
        adjectives = [a for a in (self.color, self.pattern) if a is not None]
        if rng.random() < 0.5:
            adjectives.reverse()
        if self.noun is not None:
            head = self.noun
        elif self.supercategory is not None:
            head = SUPERCATEGORY_PHRASE[self.supercategory]
        elif adjectives and rng.random() < 0.3:
            return " ".join(adjectives)
        else:
            head = EVERYTHING[int(rng.integers(2))]
        return _inflect(adjectives, head, rng)


def sample_prompts(
    objects: Sequence[SceneObject], count: int, rng: np.random.Generator, worn: float = 0.0
) -> list[TrainingPrompt]:
    """Draw prompts about one scene; objects must not be empty.

    Args:
        objects: of the scene.
        count: of prompts.
        rng: draws.
        worn: share of the prompts that ask for a noun in a pattern.
    """
    forms = [form for form, _ in _FORMS]
    weights = np.array([weight for _, weight in _FORMS])
    drawn = rng.choice(len(forms), size=count, p=weights / weights.sum())
    return [(_worn if worn and rng.random() < worn else forms[int(i)])(objects, rng) for i in drawn]


def _worn(objects: Sequence[SceneObject], rng: np.random.Generator) -> TrainingPrompt:
    """A noun of the scene in a pattern of the scene, worn or not: nothing but the two together can tell."""
    named = [o for o in objects if not is_unnamed(o.noun)]
    if not named:
        return _text_positive(objects, rng)
    there = {(o.noun, o.pattern) for o in named}
    patterns = sorted({o.pattern for o in objects}) if rng.random() < 0.7 else PATTERNS
    missing = [(n, p) for n in sorted({o.noun for o in named}) for p in patterns if (n, p) not in there]
    pairs = missing if missing and rng.random() < 0.5 else sorted(there)
    noun, pattern = pairs[int(rng.integers(len(pairs)))]
    asked = _ask(objects, Description(noun=noun, pattern=pattern), rng, "worn")
    return asked if asked.targets else replace(asked, kind="not worn")


def lend_exemplars(
    scenes: Sequence[Sequence[SceneObject]],
    prompts: Sequence[Sequence[TrainingPrompt]],
    rng: np.random.Generator,
    stage: Stage,
) -> list[list[TrainingPrompt]]:
    """Some of a batch's prompts replaced by exemplars out of another of its scenes: everything of their noun.

    Args:
        scenes: the objects of each.
        prompts: of each scene.
        rng: draws.
        stage: says how many (`lent`), of what (`lent_present`) and with how many examples (`pooled`).
    """

    def lent(number: int) -> TrainingPrompt:
        drawn = _lent(scenes, number, rng, stage.lent_present)
        pools = bool(stage.pooled) and rng.random() < stage.pooled
        return _pooled(drawn, scenes, number, rng) if pools else drawn

    return [
        [lent(number) if len(scenes) > 1 and rng.random() < stage.lent else p for p in group]
        for number, group in enumerate(prompts)
    ]


def _pooled(
    lent: TrainingPrompt, scenes: Sequence[Sequence[SceneObject]], number: int, rng: np.random.Generator
) -> TrainingPrompt:
    """The lent prompt with examples of its noun out of all scenes but the one asked about."""
    assert lent.source is not None
    first = (lent.source, lent.exemplars[0][0])
    noun = scenes[first[0]][first[1]].noun
    more = [
        (s, i)
        for s, objects in enumerate(scenes)
        for i, o in enumerate(objects)
        if s != number and o.noun == noun and (s, i) != first
    ]
    chosen = [more[int(k)] for k in rng.permutation(len(more))[: int(rng.integers(0, MOST_POOLED))]]
    return replace(lent, exemplars=lent.exemplars[:1], kind="pooled", pooled=(first, *chosen))


def _lent(
    scenes: Sequence[Sequence[SceneObject]], number: int, rng: np.random.Generator, present: float
) -> TrainingPrompt:
    """An exemplar from another scene, most often of a noun that the scene asked about has too."""
    there = {o.noun for o in scenes[number]}
    pool = [(s, i) for s, objects in enumerate(scenes) if s != number for i in range(len(objects))]
    shared = [(s, i) for s, i in pool if scenes[s][i].noun in there]
    chosen = shared if shared and rng.random() < present else pool
    source, example = chosen[int(rng.integers(len(chosen)))]
    noun = scenes[source][example].noun
    more = [i for i, o in enumerate(scenes[source]) if o.noun == noun and i != example and rng.random() < 0.3][:2]
    phrase = Description(noun=noun).phrase(rng) if rng.random() < 0.2 and not is_unnamed(noun) else None
    targets = tuple(i for i, o in enumerate(scenes[number]) if o.noun == noun)
    return TrainingPrompt(phrase, tuple((i, True) for i in (example, *more)), targets, "lent", source)


def _text_positive(objects: Sequence[SceneObject], rng: np.random.Generator) -> TrainingPrompt:
    description = _describe(objects[int(rng.integers(len(objects)))], rng)
    return _ask(objects, description, rng, "text")


def _text_negative(objects: Sequence[SceneObject], rng: np.random.Generator) -> TrainingPrompt:
    if rng.random() < 0.3:
        return TrainingPrompt(_unknown_phrase(rng), (), (), "unknown")
    for _ in range(20):
        description = _disturb(_describe(objects[int(rng.integers(len(objects)))], rng), rng)
        if (description.noun, description.color) in HELD_OUT_PAIRS:
            continue
        if not any(description.matches(o) for o in objects):
            return TrainingPrompt(description.phrase(rng), (), (), "negative")
    return TrainingPrompt(_unknown_phrase(rng), (), (), "unknown")


def _exemplar_only(objects: Sequence[SceneObject], rng: np.random.Generator) -> TrainingPrompt:
    """A box alone means: everything of that noun."""
    example = int(rng.integers(len(objects)))
    same = [i for i, o in enumerate(objects) if o.noun == objects[example].noun]
    chosen = [example, *[i for i in same if i != example and rng.random() < 0.2][:2]]
    return TrainingPrompt(None, tuple((i, True) for i in chosen), tuple(same), "exemplar")


def _text_and_positive(objects: Sequence[SceneObject], rng: np.random.Generator) -> TrainingPrompt:
    asked = _text_positive(objects, rng)
    chosen = rng.permutation(asked.targets)[: 1 + int(rng.random() < 0.25)]
    return TrainingPrompt(asked.phrase, tuple((int(i), True) for i in chosen), asked.targets, "text+positive")


def _text_and_negative(objects: Sequence[SceneObject], rng: np.random.Generator) -> TrainingPrompt:
    """A phrase minus the kind that a negative box marks (see `kind_of_negative`)."""
    for _ in range(8):
        description = _broad(objects[int(rng.integers(len(objects)))], rng)
        found = [i for i, o in enumerate(objects) if description.matches(o)]
        marked = int(rng.choice(found))
        left = tuple(i for i in found if not kind_of_negative(description, objects[marked]).matches(objects[i]))
        if left or rng.random() < 0.1:
            return TrainingPrompt(description.phrase(rng), ((marked, False),), left, "text+negative")
    return _text_positive(objects, rng)


def _both_signs(objects: Sequence[SceneObject], rng: np.random.Generator) -> TrainingPrompt:
    """Boxes of both signs without a phrase: the positive's noun, without the negative's color where nouns agree."""
    example = int(rng.integers(len(objects)))
    noun = objects[example].noun
    same = [i for i, o in enumerate(objects) if o.noun == noun]
    others = [i for i in same if objects[i].color != objects[example].color]
    pool = others if others else [i for i in range(len(objects)) if objects[i].noun != noun]
    if not pool:
        return _exemplar_only(objects, rng)
    against = int(rng.choice(pool))
    left = [i for i in same if not (others and objects[i].color == objects[against].color)]
    return TrainingPrompt(None, ((example, True), (against, False)), tuple(left), "both")


_FORMS: tuple[tuple[Callable[[Sequence[SceneObject], np.random.Generator], TrainingPrompt], float], ...] = (
    (_text_positive, 0.42),
    (_text_negative, 0.24),
    (_exemplar_only, 0.12),
    (_text_and_positive, 0.06),
    (_text_and_negative, 0.13),
    (_both_signs, 0.03),
)


def kind_of_negative(description: Description, marked: SceneObject) -> Description:
    """Return what a negative box takes away: its noun; where the phrase names the noun already, its color of that
    noun.
    """
    if description.noun is not None:
        return Description(noun=marked.noun, color=marked.color)
    return Description(noun=marked.noun)


def _ask(
    objects: Sequence[SceneObject], description: Description, rng: np.random.Generator, kind: str
) -> TrainingPrompt:
    targets = tuple(i for i, o in enumerate(objects) if description.matches(o))
    return TrainingPrompt(description.phrase(rng), (), targets, kind)


_KINDS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("noun",), 0.22),
    (("color",), 0.10),
    (("pattern",), 0.18),
    (("noun", "color"), 0.24),
    (("noun", "pattern"), 0.12),
    (("color", "pattern"), 0.05),
    (("noun", "color", "pattern"), 0.05),
    (("supercategory",), 0.05),
    (("supercategory", "color"), 0.03),
    ((), 0.03),
)
_KIND_WEIGHTS = np.array([w for _, w in _KINDS]) / sum(w for _, w in _KINDS)


def _describe(thing: SceneObject, rng: np.random.Generator) -> Description:
    names = _KINDS[int(rng.choice(len(_KINDS), p=_KIND_WEIGHTS))][0]
    if "pattern" in names and thing.pattern == "plain" and rng.random() < 0.6:
        names = tuple(n for n in names if n != "pattern") or ("noun",)
    return _described(thing, names)


def _described(thing: SceneObject, names: Sequence[str]) -> Description:
    """Describe by those attributes; an unnamed shape, which has no supercategory either, by the others or its color."""
    if is_unnamed(thing.noun):
        names = [name for name in names if name in ("color", "pattern")] or (["color"] if names else [])
    return Description(**{name: getattr(thing, name) for name in names})


def _broad(thing: SceneObject, rng: np.random.Generator) -> Description:
    names = (("color",), ("pattern",), ("supercategory",), (), ("noun",))[
        int(rng.choice(5, p=[0.2, 0.1, 0.2, 0.2, 0.3]))
    ]
    return _described(thing, names)


def _disturb(description: Description, rng: np.random.Generator) -> Description:
    """Change one attribute at random (or name a noun where the description has none)."""
    given = {n: v for n in ("noun", "color", "pattern", "supercategory") if (v := getattr(description, n)) is not None}
    if not given:
        given = {"noun": ""}
    name = str(rng.choice(list(given)))
    pool = {"noun": NOUNS, "color": tuple(COLORS), "pattern": PATTERNS, "supercategory": SUPERCATEGORIES}[name]
    return Description(**(given | {name: str(rng.choice(pool))}))


def _unknown_phrase(rng: np.random.Generator) -> str:
    if rng.random() < 0.25:
        letters = "".join(rng.choice(list(string.ascii_lowercase), size=int(rng.integers(3, 11))))
        word = letters
    else:
        word = str(rng.choice(UNKNOWN_WORDS))
    if rng.random() < 0.2:
        word += "s"
    adjectives = [str(rng.choice(list(COLORS)))] if rng.random() < 0.35 else []
    if rng.random() < 0.1:
        adjectives.append(str(rng.choice(PATTERNS)))
    article = ["the"] if rng.random() < 0.1 else []
    return " ".join([*article, *adjectives, word])


def _inflect(adjectives: list[str], head: str, rng: np.random.Generator) -> str:
    draw = rng.random()
    if draw < 0.15:
        return " ".join([*adjectives, _PHRASE_PLURALS[head]])
    words = [*adjectives, head]
    if draw < 0.21:
        words.insert(0, "an" if words[0][0] in "aeiou" else "a")
    elif draw < 0.27:
        words.insert(0, "the")
    return " ".join(words)
