"""The nouns at the head of a phrase: what the eye is asked for."""

import re

from sam3_agent.planner.lexicon import ADJECTIVES, ANAPHORS, COLOURS, GENERIC, NUMBER, ORDINAL, PATTERN_NOUNS, PERSONS
from sam3_agent.planner.nouns import is_plural, singular_phrase
from sam3_agent.planner.purposes import speaks_of_purpose
from sam3_agent.planner.query_ast import BeyondRules

MAX_WORDS = 7
"""A longer noun phrase is no noun phrase but a sentence that was not understood."""

_DETERMINERS = re.compile(
    r"^(?:(?:the|an?|this|that|these|those|all|every|each|any|some|both|whole|entire|my|your|his|her|its|their|our"
    r"|which|what|whatever|whichever|only|single|exact|of|among|amongst|from|one of|instances? of|pair of"
    rf"|(?:{NUMBER})(?= \w))(?: |$))+"
)
_TRAILERS = re.compile(
    r"(?:(?:^| )(?:that|which|who|is|are|was|were|comes|come|there|here|located|positioned|placed|situated|standing"
    r"|sitting|lying|one|being|of all|of them(?: all)?|and|,|in total|the))+$"
)
_WHICH_IS = re.compile(r"^(?P<noun>.+?) (?:(?:that|which|who) )?(?:is|are) (?P<what>[\w -]+(?: and [\w -]+)?)$")
_COLOURED = re.compile(
    r"^(?P<noun>.+?) (?:(?:that|which) (?:is|are) )?(?:coloured (?:in )?|in |of |painted )(?P<what>[\w-]+)(?: colour)?$"
)
_WITH = re.compile(
    r"^(?P<noun>.+?) (?:(?:that|which|who) (?:has|have)|having|with|has|have)(?: an?| the| some)? "
    r"(?P<what>.+?)(?: on (?:it|them))?$"
)
_TWO_COLOURS = re.compile(rf"^(?P<one>{'|'.join(COLOURS)}) (?:and|or) (?P<other>{'|'.join(COLOURS)}) (?P<noun>.+)$")
_SUPERLATIVE = re.compile(
    r"\b(?!(?:for|ch|n|gu|t|w|v|cr|pri|harv|requ|inter|r|p|qu|bequ|conqu|z|b|j|dig)est\b)\w+est\b|\bmost \w+"
)
_SENTENCE = re.compile(
    r"\b(?:that|which|who|whose|where|when|why|how|because|while|if|is|are|was|does|do|would|could|can|should|you|i|we"
    r"|they|than|most|least|more|less)\b"
)


def read_nouns(text: str, inherited: tuple[str, ...], *, adjectival: bool) -> tuple[tuple[str, ...], bool]:
    """The phrases that a head names, in the singular, and whether it spoke of several."""
    text = " ".join(text.split()).strip(" ,")
    several = bool(re.match(r"(?:all|every|each|any|both|these|those|everything|whatever|whichever)\b", text))
    determined = bool(re.match(r"(?:the|an?|any|every|all)\b", text))
    text = re.sub(rf"\b(?:number {NUMBER}|{ORDINAL})\b", " ", text)
    text = _strip(text)
    if not text:
        return inherited or ("object",), several
    options = [text] if not _names_several(text) else [_strip(part) for part in re.split(r" and | or | ,", text)]
    read = [_read_noun(option, inherited, bare=adjectival and not determined) for option in options if option]
    names = tuple(dict.fromkeys(name for found, _ in read for name in found))
    return names, several or len(options) > 1 or any(plural for _, plural in read)


def _read_noun(text: str, inherited: tuple[str, ...], *, bare: bool) -> tuple[tuple[str, ...], bool]:
    """One noun with its qualities in front of it."""
    behind, noun = _qualities(text)
    words = noun.split()
    several = bool(words) and words[-1] in ("things", "objects", "items", "ones", "everything", "anything")
    before, generic = _stands_for_any(words, inherited, bare=bare)
    if generic is not None:
        bases = (inherited if generic in ANAPHORS else ()) or ("object",)
        return tuple(" ".join((*behind, *before, base)) for base in bases), several
    if words[-1] in PERSONS:
        words = [*words[:-1], "person"]
    one, plural = singular_phrase(" ".join(words))
    if plural and (mixed := _TWO_COLOURS.match(one)) and {mixed["one"], mixed["other"]} != {"black", "white"}:
        return (f"{mixed['one']} {mixed['noun']}", f"{mixed['other']} {mixed['noun']}"), True
    phrase = re.sub(r"\b(?:the|an?) (?=\w)", "", " ".join((*behind, one)))
    _check(phrase, text)
    return (phrase,), plural or several


def _stands_for_any(words: list[str], inherited: tuple[str, ...], *, bare: bool) -> tuple[list[str], str | None]:
    """(["red"], "thing") of "red thing" and of "something red"; (["red"], "one") of a lone quality; else no word."""
    if not words:
        return [], "one"
    for generic, others in ((words[0], words[1:]), (words[-1], words[:-1])):
        if generic in GENERIC and all(word in ADJECTIVES or word == "and" for word in others):
            return [word for word in others if word != "and"], generic
    lone = all(word in ADJECTIVES for word in words) and (inherited or words != ["orange"])  # else it is the fruit
    if lone or (bare and not is_plural(words[-1])):
        return words, "one"
    return words, None


def _qualities(text: str) -> tuple[list[str], str]:
    """What a clause behind the noun says of it, as words to stand before it, and the noun."""
    text = re.sub(r"\b(\w+) coloured\b", r"\1", text)
    for pattern in (_WHICH_IS, _COLOURED):
        found = pattern.match(text)
        if found and all(word in ADJECTIVES or word == "and" for word in found["what"].split()):
            return [word for word in found["what"].split() if word != "and"], _strip(found["noun"])
    if found := _WITH.match(text):
        if found["what"] in PATTERN_NOUNS:
            return [PATTERN_NOUNS[found["what"]]], _strip(found["noun"])
        return [], f"{_strip(found['noun'])} with {found['what']}"
    if found := re.match(r"^(?P<noun>.+?) (?:(?:that|who|which) )?(?:is|are) (?P<what>\w+ing\b.*)$", text):
        return [], f"{_strip(found['noun'])} {found['what']}"
    return [], text


def _check(phrase: str, text: str) -> None:
    """Refuse what is a sentence rather than a noun phrase."""
    if found := _SUPERLATIVE.search(phrase):
        raise BeyondRules(f"the superlative '{found[0]}'")
    if phrase in ("it", "them", "him", "her"):
        raise BeyondRules(f"the pronoun '{phrase}'")
    if speaks_of_purpose(text):
        raise BeyondRules(f"the purpose or behaviour in '{text}'")
    if _SENTENCE.search(phrase) or len(phrase.split()) > MAX_WORDS:
        raise BeyondRules(f"the expression '{text}'")


def _names_several(text: str) -> bool:
    """Whether "and", "or" or a comma in it joins nouns ("cats and dogs") and not adjectives ("black and white cat")."""
    parts = [part.split() for part in re.split(r" and | or | ,", text)]
    if len(parts) < 2 or any(not part for part in parts):
        return False
    return " or " in text or all(is_plural(part[-1]) or part[0] in ("the", "a", "an") for part in parts)


def _strip(text: str) -> str:
    before = None
    while before != text:
        before = text
        text = _TRAILERS.sub("", _DETERMINERS.sub("", text.strip(" ,"))).strip(" ,")
    return text
