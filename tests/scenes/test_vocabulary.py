from __future__ import annotations

import pytest

from sam3_agent.scenes import (
    COLORS,
    HELD_OUT_UNKNOWN_WORDS,
    NOUNS,
    PATTERNS,
    PLURAL,
    SUPERCATEGORIES,
    SUPERCATEGORY,
    SUPERCATEGORY_PHRASE,
    UNKNOWN_WORDS,
)
from sam3_agent.scenes.vocabulary import plural_of, with_article


def test_every_noun_has_one_supercategory_and_every_supercategory_a_noun() -> None:
    assert set(SUPERCATEGORY) == set(NOUNS)
    assert set(SUPERCATEGORY.values()) == set(SUPERCATEGORIES)


def test_every_noun_and_supercategory_has_a_plural() -> None:
    assert set(PLURAL) >= set(NOUNS) | set(SUPERCATEGORIES) | set(SUPERCATEGORY_PHRASE.values())


def test_unknown_words_are_many_distinct_and_none_of_ours() -> None:
    ours = set(NOUNS) | set(COLORS) | set(PATTERNS) | set(SUPERCATEGORIES) | set(PLURAL.values())
    assert len(UNKNOWN_WORDS) == len(set(UNKNOWN_WORDS)) >= 150
    assert len(HELD_OUT_UNKNOWN_WORDS) == len(set(HELD_OUT_UNKNOWN_WORDS)) == 30
    assert {"dog", "spaceship"} <= set(HELD_OUT_UNKNOWN_WORDS)
    assert not set(UNKNOWN_WORDS) & set(HELD_OUT_UNKNOWN_WORDS)
    assert not (set(UNKNOWN_WORDS) | set(HELD_OUT_UNKNOWN_WORDS)) & ours


@pytest.mark.parametrize(
    ("one", "many"),
    [("cross", "crosses"), ("fish", "fish"), ("cherry", "cherries"), ("key", "keys"), ("knife", "knives")],
)
def test_plurals_are_spelled_as_in_english(one: str, many: str) -> None:
    assert plural_of(one) == many


def test_the_article_follows_the_first_letter() -> None:
    assert with_article("orange cup") == "an orange cup"
    assert with_article("red umbrella") == "a red umbrella"
