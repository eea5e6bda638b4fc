"""One noun phrase, with all that hangs on it, read into a Selection."""

import re
from dataclasses import replace

from sam3_agent.planner.lexicon import (
    ADJECTIVES,
    ANAPHORS,
    COLORS,
    GENERIC,
    NUMBER,
    ORDINAL,
    PATTERN_NOUNS,
    PERSONS,
    number,
    ordinal,
    word_set,
)
from sam3_agent.planner.purposes import nouns_for_purpose, speaks_of_purpose
from sam3_agent.planner.query_ast import BeyondRules, Pick, PickKey, Relation, RelationKind, Selection, Side
from sam3_agent.planner.relations_parse import mark_relations

_PICKS: dict[str, PickKey] = {
    "largest": "largest", "smallest": "smallest", "tallest": "tallest", "shortest": "shortest", "widest": "widest",
    "narrowest": "narrowest", "leftmost": "left", "rightmost": "right", "topmost": "top", "bottommost": "bottom",
    "centremost": "centre",
}  # fmt: skip
_SIDES: dict[str, Side] = {
    "left": "left", "right": "right", "top": "top", "bottom": "bottom", "centre": "centre", "top left": "top left",
    "top right": "top right", "bottom left": "bottom left", "bottom right": "bottom right",
}  # fmt: skip


def read_pick(head: str, *, plural: bool) -> tuple[tuple[Side, ...], Pick | None]:
    """("the second cup <from left>") -> no sides, Pick("left", 2).

    "On the left" picks the leftmost of a singular and keeps the left half of a plural.

    Raises:
        BeyondRules: two superlatives in one phrase.
    """
    markers = [str(marker) for marker in re.findall(r"<([^>]+)>", head)]
    keys: list[PickKey] = list(dict.fromkeys(_PICKS[marker] for marker in markers if marker in _PICKS))
    if len(keys) > 1:
        raise BeyondRules(f"two superlatives at once ({' and '.join(keys)})")
    sides: tuple[Side, ...] = tuple(_SIDES[marker[3:]] for marker in markers if marker.startswith("at "))
    counted: tuple[Side, ...] = tuple(_SIDES[marker[5:]] for marker in markers if marker.startswith("from "))
    words = re.sub(r"<[^>]+>", "<>", head)
    place = _place(words)
    if not (keys or counted or place):
        return ((), Pick(sides[0])) if sides and not plural else (sides, None)
    key: PickKey = (*keys, *counted, *sides, "left")[0]
    by_side = bool(sides) and not keys and not counted
    if by_side and place == -1:  # "the last one on the right" is the one furthest to the right
        place = 1
    count = re.search(rf"\b({NUMBER}) <>", words)
    return () if by_side else sides, Pick(key, place or 1, number(count[1]) if count else 1)


def _place(words: str) -> int:
    """The place that an ordinal or "number two" names; 0 when there is none."""
    if found := re.search(rf"\b{ORDINAL}\b", words):
        return ordinal(found[0])
    found = re.search(rf"\bnumber ({NUMBER})\b", words)
    return number(found[1]) if found else 0


IRREGULAR = {
    "people": "person", "persons": "person", "men": "man", "women": "woman", "children": "child", "kids": "kid",
    "mice": "mouse", "geese": "goose", "feet": "foot", "teeth": "tooth", "oxen": "ox", "cacti": "cactus",
    "fungi": "fungus", "leaves": "leaf", "knives": "knife", "wolves": "wolf", "lives": "life", "wives": "wife",
    "shelves": "shelf", "bookshelves": "bookshelf", "loaves": "loaf", "halves": "half", "scarves": "scarf",
    "calves": "calf", "thieves": "thief", "elves": "elf", "hooves": "hoof", "buses": "bus", "gases": "gas",
    "lenses": "lens", "quizzes": "quiz", "axes": "axe", "ties": "tie", "pies": "pie", "movies": "movie",
    "cookies": "cookie", "brownies": "brownie", "hoodies": "hoodie", "zombies": "zombie", "selfies": "selfie",
    "smoothies": "smoothie", "shoes": "shoe", "horseshoes": "horseshoe", "toes": "toe", "canoes": "canoe",
    "photos": "photo", "caches": "cache", "headaches": "headache", "moustaches": "moustache", "octopi": "octopus",
}  # fmt: skip
INVARIANT = word_set("""
    fish sheep deer moose bison elk aircraft spacecraft hovercraft series species salmon trout squid cod shrimp scissors
    pants trousers jeans shorts tights leggings pajamas pyjamas sunglasses eyeglasses goggles binoculars pliers tweezers
    tongs headphones earphones dice cattle furniture luggage clothes stairs
    bus gas lens iris canvas atlas pancreas bias christmas tennis chess grass glass dress cross
""")
"""Words that stay as they are; singular words that end in s stand here too."""

_TAIL = re.compile(r"\s+(?:with|without|of|in|on|at|for|from|wearing|holding|made|to)\b.*$|\s+\w+ing\b(?=\s).*$")


def singular(word: str) -> str:
    """The singular of one lower-case English noun; a word that is singular already comes back as it is."""
    if word in INVARIANT or word in IRREGULAR.values() or (not word.endswith("s") and word not in IRREGULAR):
        return word
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) <= 3 or word.endswith(("ss", "us", "is")):
        return word
    for ending, stem in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("oes", "o")):
        if word.endswith(ending):
            return word[: -len(ending)] + stem
    return word[:-1]


def is_plural(word: str) -> bool:
    """Whether a lower-case noun is plainly a plural ("fish" is not)."""
    return singular(word) != word


def split_head(phrase: str) -> tuple[str, str, str]:
    """("red", "bottles", " of wine") of "red bottles of wine": what stands before the head noun, it, what follows."""
    found = _TAIL.search(phrase)
    core, tail = (phrase[: found.start()], phrase[found.start() :]) if found else (phrase, "")
    before, _, head = core.rpartition(" ")
    return before, head, tail


def singular_phrase(phrase: str) -> tuple[str, bool]:
    """The phrase with its head noun in the singular, and whether it was a plural."""
    before, head, tail = split_head(phrase)
    one = singular(head)
    return f"{before} {one}{tail}".strip(), one != head


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
_COLORED = re.compile(
    r"^(?P<noun>.+?) (?:(?:that|which) (?:is|are) )?(?:coloured (?:in )?|in |of |painted )(?P<what>[\w-]+)(?: colour)?$"
)
_WITH = re.compile(
    r"^(?P<noun>.+?) (?:(?:that|which|who) (?:has|have)|having|with|has|have)(?: an?| the| some)? "
    r"(?P<what>.+?)(?: on (?:it|them))?$"
)
_TWO_COLORS = re.compile(rf"^(?P<one>{'|'.join(COLORS)}) (?:and|or) (?P<other>{'|'.join(COLORS)}) (?P<noun>.+)$")
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
    if plural and (mixed := _TWO_COLORS.match(one)) and {mixed["one"], mixed["other"]} != {"black", "white"}:
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
    for pattern in (_WHICH_IS, _COLORED):
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


_RELATIONS: tuple[RelationKind, ...] = (
    "left of", "right of", "above", "below", "inside", "containing", "on", "next to", "nearest to", "farthest from",
    "between", "larger than", "smaller than",
)  # fmt: skip
_KINDS: dict[str, RelationKind] = {kind: kind for kind in _RELATIONS}
_TURN = re.compile(rf"<(?P<marker>{'|'.join(_RELATIONS)}|not|lacks)>")
_CHAIN = re.compile(rf" and (?=<(?:{'|'.join(_RELATIONS)})>)")
_DEPTH = re.compile(
    r"\b(?:behind|in front of|in the (?:background|foreground)"
    r"|(?:closest|nearest|closer|nearer) to (?:us|me|you|the (?:camera|viewer)))\b"
    r"|^(?:the )?(?:closest|nearest|closer) (?!.* (?:to|from) )[\w ]+$"
)


def read_selection(text: str, inherited: tuple[str, ...] = (), *, adjectival: bool = False) -> Selection:
    """Read marked text ("the third cup <from left>"); a phrase without a noun ("the red ones") takes `inherited`.

    `adjectival` reads a bare word as a quality ("red") where it could be a noun.

    Raises:
        BeyondRules: some part of it is not understood.
    """
    if found := _DEPTH.search(text):
        raise BeyondRules(f"depth ('{found[0]}')")
    whole, *excepted = (part.strip(" ,") for part in text.split("<but>"))
    bare = " ".join(re.sub(r"<[^>]+>", " ", whole).split())
    if purpose := nouns_for_purpose(bare):
        sides, pick = read_pick(whole, plural=True)
        selection = Selection(purpose, True, sides, pick=pick)
    else:
        selection = _related(mark_relations(whole), inherited, adjectival=adjectival)
    extra = tuple(other for part in excepted for other in _read_excluded(part, selection.phrases))
    return replace(selection, excluded=(*selection.excluded, *extra))


def _related(text: str, inherited: tuple[str, ...], *, adjectival: bool) -> Selection:
    """What stands before the first relation or negation, restricted by what follows it."""
    turn = _TURN.search(text)
    head = text[: turn.start()] if turn else text
    phrases, plural = read_nouns(re.sub(r"<[^>]+>", " ", head), inherited, adjectival=adjectival)
    sides, pick = read_pick(head, plural=plural)
    selection = Selection(phrases, plural, sides, pick=pick)
    if turn is None:
        return selection
    counted = re.match(rf"(?:the )?({NUMBER}) \w", head)
    count = counted[1] if counted else "one"
    if turn["marker"] not in ("lacks", "not"):
        return replace(selection, relations=_read_relations(text[turn.start() :], phrases, count))
    what, related = _split_denial(text[turn.end() :].strip(" ,"))
    relations = _read_relations(related, phrases, count) if related else ()
    excluded = (_having(what, phrases),) if turn["marker"] == "lacks" else _denied(what, phrases)
    return replace(selection, relations=relations, excluded=excluded)


def _split_denial(text: str) -> tuple[str, str]:
    """("red", "<next to> the lamp") of what follows "not"; a denied place ("not left of ...") stays whole."""
    turn = None if text.startswith("<") else _TURN.search(text)
    if turn is None or turn["marker"] in ("lacks", "not"):
        return text, ""
    return text[: turn.start()].strip(" ,"), text[turn.start() :]


def _having(what: str, phrases: tuple[str, ...]) -> Selection:
    """Those of `phrases` that have something: "striped cup" for stripes, "cup with handle" for a handle."""
    what = re.sub(r"^(?:the|any|an?) | on (?:it|them)$", "", what)
    if not re.fullmatch(r"[^<>]*\w[^<>]*", what):
        raise BeyondRules(f"the expression 'without {what}'")
    quality = PATTERN_NOUNS.get(what)
    names = (f"{quality} {phrase}" if quality else f"{phrase} with {what}" for phrase in phrases)
    return Selection(tuple(names), plural=True)


def _denied(what: str, phrases: tuple[str, ...]) -> tuple[Selection, ...]:
    """What "not ..." takes away from `phrases`: a place, a doing, a quality or a kind."""
    if what.startswith("<"):
        return (Selection(phrases, plural=True, relations=_read_relations(what, phrases, "one")),)
    if re.match(r"\w+ing\b", what):
        names = (re.sub(r"\b(?:the|an?|any) ", "", f"{phrase} {what}") for phrase in phrases)
        return (Selection(tuple(names), plural=True),)
    return _read_excluded(what, phrases, adjectival=True)


def _read_relations(text: str, phrases: tuple[str, ...], count: str) -> tuple[Relation, ...]:
    return tuple(_read_relation(part, phrases, number(count)) for part in _CHAIN.split(text))


def _read_relation(text: str, phrases: tuple[str, ...], count: int) -> Relation:
    marker, _, reference = text.strip(" ,").removeprefix("<").partition("> ")
    kind = _KINDS.get(marker)
    if kind is None or not reference:
        raise BeyondRules(f"a relation without anything to relate to ('{text}')")
    parts = [reference] if "<not>" in reference else re.split(r" and (?=the |an? |<|\w+ <)", reference)
    return Relation(kind, tuple(read_selection(part, phrases) for part in parts), count)


def _read_excluded(text: str, phrases: tuple[str, ...], *, adjectival: bool = False) -> tuple[Selection, ...]:
    parts = [part for part in re.split(r" nor | or | and |,", text) if part.strip()]
    return tuple(read_selection(part.strip(), phrases, adjectival=adjectival) for part in parts)
