"""The scope of a model: what it was taught, so that "not found" is read for what it says."""

from sam3_agent.scenes.vocabulary import COLORS, NOUNS, PATTERNS, SUPERCATEGORIES
from sam3_agent.types import ModelInfo

_GENERIC = frozenset({"thing", "object", "item", "stuff", "shape", *SUPERCATEGORIES})
"""Nouns that hold for things of many names; "yellow thing" is no other reading of a yellow house."""
_TINY = "tiny"


def is_generic(phrase: str) -> bool:
    """Whether a phrase's noun is one of a whole class, such as "yellow things"."""
    noun = (phrase.lower().split() or [""])[-1]
    return noun in _GENERIC or noun.removesuffix("s") in _GENERIC


def known_nouns(info: ModelInfo) -> frozenset[str] | None:
    """Every noun that the model was taught; None where nobody can list them."""
    if info.name.partition("+")[0] != _TINY:
        return None
    return frozenset((*NOUNS, *SUPERCATEGORIES, "thing", "household item", *info.own_words))


def scope_hints(info: ModelInfo) -> list[str]:
    """Say on which images the model's answers mean anything, where that is not on all."""
    if known_nouns(info) is None:
        return []
    return [
        f"the {info.name} model knows only drawings: of a photograph it can tell nothing, neither that a thing is there"
        " nor that it is not; that takes --model facebook/sam3"
    ]


def words_hint(info: ModelInfo) -> str:
    """List the words that the model knows; "" where nobody can list them."""
    nouns = known_nouns(info)
    if nouns is None:
        return ""
    return (
        f"the model knows these words: {', '.join(sorted(nouns))}; {', '.join(COLORS)};"
        f" {', '.join(word for word in PATTERNS if word != 'plain')}"
    )


def unknown_word_hint(info: ModelInfo) -> str:
    """Say what to do about a word that the model does not know."""
    return f"{words_hint(info)}. What you see and none of them names, point at (segment_at)"


def standing_hints(info: ModelInfo) -> list[str]:
    """The hints that hold for every call: it is enough to read them once."""
    return [*scope_hints(info), *([unknown_word_hint(info)] if known_nouns(info) is not None else [])]
