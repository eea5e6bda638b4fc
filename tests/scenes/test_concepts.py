from __future__ import annotations

import numpy as np
import pytest

from sam3_agent.scenes import (
    COLORS,
    HELD_OUT_UNKNOWN_WORDS,
    NOUNS,
    PATTERNS,
    SUPERCATEGORY_PHRASE,
    Scene,
    concepts_of,
    matches,
    phrase_variant,
)

POSITIVE_KINDS = {
    "noun",
    "color",
    "pattern",
    "color_noun",
    "pattern_noun",
    "color_pattern",
    "color_pattern_noun",
    "supercategory",
    "color_supercategory",
    "everything",
}
NEGATIVE_KINDS = {
    "negative_color",
    "negative_noun",
    "negative_pattern",
    "negative_absent",
    "negative_supercategory",
    "negative_unknown",
}
GROUPS = {phrase: name for name, phrase in SUPERCATEGORY_PHRASE.items()}


def truth(scene: Scene, phrase: str) -> tuple[int, ...]:
    """The ids that `phrase` means, worked out word by word."""
    ids = {obj.id for obj in scene.objects}
    for word in phrase.replace("household item", "household_item").split(" "):
        if word in COLORS:
            ids &= {obj.id for obj in scene.objects if obj.color == word}
        elif word in PATTERNS:
            ids &= {obj.id for obj in scene.objects if obj.pattern == word}
        elif word in NOUNS:
            ids &= {obj.id for obj in scene.objects if obj.noun == word}
        elif word.replace("_", " ") in GROUPS:
            ids &= {obj.id for obj in scene.objects if obj.supercategory == GROUPS[word.replace("_", " ")]}
        elif word not in ("object", "thing"):
            return ()
    return tuple(sorted(ids))


def test_every_concept_means_exactly_the_objects_it_fits(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    for scene in scenes:
        for concept in concepts_of(scene, rng):
            if concept.phrase not in ("object", "thing") and concept.phrase in SUPERCATEGORY_PHRASE.values():
                assert concept.kind in ("supercategory", "negative_supercategory")
            assert concept.target_ids == truth(scene, concept.phrase), concept


def test_positives_have_objects_and_negatives_have_none(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    for scene in scenes:
        for concept in concepts_of(scene, rng):
            assert concept.kind in (POSITIVE_KINDS if concept.target_ids else NEGATIVE_KINDS)


def test_every_kind_occurs(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    assert {concept.kind for scene in scenes for concept in concepts_of(scene, rng)} == POSITIVE_KINDS | NEGATIVE_KINDS


def test_no_phrase_is_given_twice_for_a_scene(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    for scene in scenes[:50]:
        means: dict[str, tuple[int, ...]] = {}
        for concept in concepts_of(scene, rng):
            assert means.setdefault(concept.phrase, concept.target_ids) == concept.target_ids


def test_held_out_words_are_never_used(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    words = {word for scene in scenes for concept in concepts_of(scene, rng) for word in concept.phrase.split(" ")}
    assert not words & set(HELD_OUT_UNKNOWN_WORDS)


def test_a_limit_keeps_the_kinds_balanced(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    for scene in scenes[:50]:
        concepts = concepts_of(scene, rng, limit=12)
        assert len(concepts) == 12
        assert len({concept.kind for concept in concepts}) >= 10


def test_the_same_generator_gives_the_same_concepts(scenes: list[Scene]) -> None:
    assert concepts_of(scenes[3], np.random.default_rng(4)) == concepts_of(scenes[3], np.random.default_rng(4))


def test_an_object_matches_its_own_attributes_and_no_other(scenes: list[Scene]) -> None:
    obj = scenes[0].objects[0]
    assert matches(obj)
    assert matches(obj, noun=obj.noun, color=obj.color, pattern=obj.pattern, supercategory=obj.supercategory)
    assert not matches(obj, noun=obj.noun, color=next(color for color in COLORS if color != obj.color))


@pytest.mark.parametrize(
    ("phrase", "variants"),
    [
        ("red circle", {"red circle", "red circles", "a red circle", "the red circle"}),
        ("orange cross", {"orange cross", "orange crosses", "an orange cross", "the orange cross"}),
        ("household item", {"household item", "household items", "a household item", "the household item"}),
        ("striped", {"striped"}),
    ],
)
def test_phrases_vary_by_number_and_article(phrase: str, variants: set[str]) -> None:
    rng = np.random.default_rng(0)
    assert {phrase_variant(phrase, rng) for _ in range(60)} == variants
