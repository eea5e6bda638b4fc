"""Noun phrases: one, with all that hangs on it, becomes a Selection."""

import re
from dataclasses import replace

from sam3_agent.planner.coordination import OR, alternatives, split_names
from sam3_agent.planner.lexicon import (
    ADJECTIVES,
    ANAPHORS,
    CHROMATIC,
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
from sam3_agent.planner.nouns import is_plural, singular, singular_phrase
from sam3_agent.planner.purposes import nouns_for_purpose, speaks_of_purpose
from sam3_agent.planner.quantities import Quantity, take_quantity
from sam3_agent.planner.query_ast import Amount, BeyondRules, Pick, PickKey, Relation, RelationKind, Selection, Side
from sam3_agent.planner.relations_parse import mark_relations

_PICKS: dict[str, PickKey] = {
    "largest": "largest", "smallest": "smallest", "tallest": "tallest", "shortest": "shortest", "widest": "widest",
    "narrowest": "narrowest", "leftmost": "left", "rightmost": "right", "topmost": "top", "bottommost": "bottom",
    "centermost": "center",
}  # fmt: skip
_SIDES: dict[str, Side] = {
    "left": "left", "right": "right", "top": "top", "bottom": "bottom", "center": "center", "top left": "top left",
    "top right": "top right", "bottom left": "bottom left", "bottom right": "bottom right",
}  # fmt: skip


def read_pick(head: str, quantity: Quantity, *, plural: bool) -> tuple[tuple[Side, ...], Pick | None, Amount | None]:
    """Read sides, pick and amount: "the second cup <from left>" -> (), Pick("left", 2), None.

    "On the left" picks the leftmost of a singular, as many as said ("the two cups on the left"), and keeps the left
    half of a plural without a number. "The three largest" counts what is picked, "of the three" what it is picked from.

    Raises:
        BeyondRules: two superlatives or ordinals in one phrase, or a quantity beside them that they do not go with.
    """
    markers = [str(marker) for marker in re.findall(r"<([^>]+)>", head)]
    keys: list[PickKey] = list(dict.fromkeys(_PICKS[marker] for marker in markers if marker in _PICKS))
    if len(keys) > 1:
        raise BeyondRules(f"two superlatives at once ({' and '.join(keys)})")
    sides: tuple[Side, ...] = tuple(_SIDES[marker[3:]] for marker in markers if marker.startswith("at "))
    counted: tuple[Side, ...] = tuple(_SIDES[marker[5:]] for marker in markers if marker.startswith("from "))
    place = _place(re.sub(r"<[^>]+>", "<>", head))
    ranked = bool(keys or counted or place)
    many = quantity.amount.exact if quantity.amount else None
    if quantity.part is not None or (quantity.amount and many is None):
        if ranked:
            raise BeyondRules("a superlative or ordinal with such a quantity")
        pick = Pick("surest", count=quantity.part) if quantity.part is not None else None
        return sides, pick, quantity.whole or quantity.amount
    if not ranked:
        if sides and (many or not plural):
            return (), Pick(sides[0], count=many or 1), quantity.whole
        return sides, None, quantity.amount or quantity.whole
    key: PickKey = (*keys, *counted, *sides, "left")[0]
    by_side = bool(sides) and not keys and not counted
    if by_side and place == -1:  # "the last one on the right" is the one furthest to the right
        place = 1
    return () if by_side else sides, _placed(key, place, many or 1), quantity.whole


def _placed(key: PickKey, place: int, many: int) -> Pick:
    """Pick `many` objects from a place; "the last two" begin one before the last."""
    if many > 1 and place not in (-1, 0, 1):
        raise BeyondRules(f"{many} objects from place {place}")
    return Pick(key, place - many + 1 if place < 0 else place or 1, many)


def _place(words: str) -> int:
    """Read the place that an ordinal or "number two" names; 0 when there is none."""
    places = [ordinal(found) for found in re.findall(rf"\b{ORDINAL}\b", words)]
    if len(places) > 1:
        raise BeyondRules("two ordinals at once")
    if places:
        return places[0]
    found = re.search(rf"\bnumber ({NUMBER})\b", words)
    return number(found[1]) if found else 0


MAX_WORDS = 7
"""A longer noun phrase is no noun phrase but a sentence that was not understood."""

_DETERMINERS = re.compile(
    r"^(?:(?:the|an?|this|that|these|those|all|every|each|any|some|both|whole|entire|my|your|his|her|its|their|our"
    r"|which|what|whatever|whichever|only|just|single|exact|of|among|amongst|from|one of|instances? of|either|very"
    r"|really|quite)(?: |$))+"
)
_TRAILERS = re.compile(
    r"(?:(?:^| )(?:that|which|who|is|are|was|were|comes|come|there|here|located|positioned|placed|situated|standing"
    r"|sitting|lying|one|being|of all|of them(?: all)?|and|,|in total|the))+$"
)
_WHICH_IS = re.compile(r"^(?P<noun>.+?) (?:(?:that|which|who) )?(?:is|are) (?P<what>[\w -]+(?: and [\w -]+)?)$")
_COLORED = re.compile(
    r"^(?P<noun>.+?) (?:(?:that|which) (?:is|are) )?(?:colored (?:in )?|in |of |painted )(?P<what>[\w-]+)(?: color)?$"
)
_WITH = re.compile(
    r"^(?P<noun>.+?) (?:(?:that|which|who) (?:has|have)|having|with|has|have)(?: an?| the| some)? "
    r"(?P<what>.+?)(?: on (?:it|them))?$"
)
_SUPERLATIVE = re.compile(
    r"\b(?!(?:for|ch|n|gu|t|w|v|cr|pri|harv|requ|inter|r|p|qu|bequ|conqu|z|b|j|dig)est\b)\w+est\b|\bmost \w+"
)
_SENTENCE = re.compile(
    r"\b(?:that|which|who|whose|where|when|why|how|because|while|if|is|are|was|does|do|would|could|can|should|you|i|we"
    r"|they|than|most|least|more|less|did|has|have|had|me|us)\b"
)
_LEFTOVER = re.compile(
    r"[^\w\s'.-]|(?<![\w-])(?:or|but|nor|not|no|none|nothing|nobody|neither|either|both|except|exactly|about|each|every|all"
    r"|any|some|few|several|many|much|couple|half|other|others|another|next|same|different|enough|mostly|almost|nearly"
    r"|partly|left|right|above|below|under|near|beside|behind|inside|outside|to|the|a|an|be|please|find|show|first|last|colors?"
    rf"|hundred|thousand|million|{NUMBER})(?![\w'-])|(?<!\w)-|\b\d+-\d"
)
"""Signs and words (how many, which, where) that an understood noun phrase does not hold any more."""
_GOVERNS = re.compile(r"\b(?:with|wearing|holding|carrying|in|of|for)\b.* and ")
""""Man with hat and coat": the last "and" belongs to what the noun has."""
_NO_NOUN = word_set("hi hello hey thanks yes no ok okay help test find show segment please it this that them him her")


def read_nouns(text: str, inherited: tuple[str, ...], *, adjectival: bool) -> tuple[tuple[str, ...], bool]:
    """Read the phrases that a head names, in the singular, and whether it spoke of several."""
    text = " ".join(text.split()).strip(" ,")
    several = bool(re.match(r"(?:all|every|each|any|both|these|those|everything|whatever|whichever)\b", text))
    determined = bool(re.match(r"(?:the|an?|any|every|all)\b", text))
    text = _strip(text)
    if not text:
        return inherited or ("object",), several
    options = [_strip(name) for name in split_names(text)]
    read = [_read_noun(option, inherited, bare=adjectival and not determined) for option in options if option]
    names = tuple(dict.fromkeys(name for found, _ in read for name in found))
    joined = len(options) > 1 and " or " not in text
    return names, several or joined or any(plural for _, plural in read)


def _read_noun(text: str, inherited: tuple[str, ...], *, bare: bool) -> tuple[tuple[str, ...], bool]:
    """Read one noun, with its qualities put in front of it."""
    behind, noun = _qualities(text)
    words = noun.split()
    several = bool(words) and words[-1] in ("things", "objects", "items", "ones", "everything", "anything")
    before, generic = _stands_for_any(words, inherited, bare=bare)
    if generic is not None:
        bases = (inherited if generic in ANAPHORS else ()) or ("object",)
        names = [" ".join((*behind, *before, base)) for base in bases]
        return tuple(one for name in names for one in alternatives(name)), several
    if words[-1] in PERSONS:
        words = [*words[:-1], "person"]
    if len(words) > 1 and _is_quality(words[-1]) and words[-1] != "orange" and not _is_quality(words[-2]):
        words = [words[-1], *words[:-1]]  # "the house red"
    one, plural = singular_phrase(" ".join(words))
    phrase = re.sub(r"\b(?:the|an?) (?=\w)", "", " ".join((*behind, one)))
    _check(phrase, text)
    return alternatives(phrase), plural or several


def _is_quality(word: str) -> bool:
    """Tell whether a word, or each of the alternatives in it, is an adjective."""
    return all(each in ADJECTIVES for each in word.split(OR))


def _stands_for_any(words: list[str], inherited: tuple[str, ...], *, bare: bool) -> tuple[list[str], str | None]:
    """Find the word for any object: (["red"], "thing") of "something red", (["red"], "one") of "red"; else None."""
    if not words:
        return [], "one"
    for generic, others in ((words[0], words[1:]), (words[-1], words[:-1])):
        if generic in GENERIC and all(_is_quality(word) or word == "and" for word in others):
            return [word for word in others if word != "and"], generic
    lone = all(_is_quality(word) for word in words) and (inherited or words != ["orange"])  # else it is the fruit
    if lone or (bare and not is_plural(words[-1])):
        return words, "one"
    return words, None


def _qualities(text: str) -> tuple[list[str], str]:
    """Move what a clause behind the noun says of it before it: the qualities, and the noun."""
    text = re.sub(r"\b(\w+) colored\b", r"\1", text)
    for pattern in (_WHICH_IS, _COLORED):
        found = pattern.match(text)
        if found and all(_is_quality(word) or word == "and" for word in found["what"].split()):
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
    if phrase in _NO_NOUN:
        raise BeyondRules(f"'{phrase}', which names nothing to look for")
    if speaks_of_purpose(text):
        raise BeyondRules(f"the purpose or behavior in '{text}'")
    if found := _LEFTOVER.search(phrase):
        raise BeyondRules(f"'{found[0]}' in '{text}'")
    if re.search(rf"(?<!\w)(?!(?:{'|'.join(sorted(COLORS))})\b)[\w-]+ and \b", phrase) and not _GOVERNS.search(phrase):
        raise BeyondRules(f"'and' in '{text}'")
    if _SENTENCE.search(phrase) or len(phrase.split()) > MAX_WORDS:
        raise BeyondRules(f"the expression '{text}'")


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
    quantity, unnumbered = (
        take_quantity(_ORDINALS.sub(" ", bare)) if _SPEAKS_OF_SOME.match(bare) else (Quantity(), bare)
    )
    if purpose := nouns_for_purpose(unnumbered):
        sides, pick, amount = read_pick(whole, quantity, plural=True)
        purpose = tuple(noun for each in purpose for noun in alternatives(each))
        selection = Selection(purpose, True, sides, pick=pick, amount=amount)
    else:
        selection = _related(mark_relations(whole), inherited, adjectival=adjectival)
    extra = tuple(other for part in excepted for other in _read_excluded(part, selection.phrases))
    if bare == "all" and any(other.pick for other in extra):  # "all but the largest star" are stars
        selection = replace(selection, phrases=extra[0].phrases)
    return replace(selection, excluded=(*selection.excluded, *extra))


_ORDINALS = re.compile(rf"\b(?:number {NUMBER}|{ORDINAL})\b")
_SPEAKS_OF_SOME = re.compile(rf"^(?:the |these |those |all )*{NUMBER} ")
_DENIED = re.compile(r"(?<![\w-])non-(?P<what>\w+)(?: ?,)?(?P<more>(?: and| or)?(?= non-))?")
_EMPTY = word_set(
    "the a an of one ones this that these those which what whatever whichever either both just only and , ."
)


def _related(text: str, inherited: tuple[str, ...], *, adjectival: bool) -> Selection:
    """Read what stands before the first relation or negation, restricted by what follows it."""
    turn = _TURN.search(text)
    head = text[: turn.start()] if turn else text
    selection, exact = _read_head(head, inherited, adjectival=adjectival, alone=turn is None)
    if turn is None:
        return selection
    phrases = selection.phrases
    if turn["marker"] not in ("lacks", "not"):
        return _with_relations(selection, _read_relations(text[turn.start() :], phrases, exact))
    what, related = _split_denial(text[turn.end() :].strip(" ,"))
    relations = _read_relations(related, phrases, exact) if related else ()
    excluded = (_having(what, phrases),) if turn["marker"] == "lacks" else _denied(what, phrases)
    return replace(_with_relations(selection, relations), excluded=(*selection.excluded, *excluded))


def _read_head(head: str, inherited: tuple[str, ...], *, adjectival: bool, alone: bool) -> tuple[Selection, int | None]:
    """Read the selection that a noun phrase without relations means, and the number it names."""
    words = " ".join(_ORDINALS.sub(" ", re.sub(r"<[^>]+>", " ", head)).split())
    denied = [found["what"] for found in _DENIED.finditer(words)]
    last = re.search(r"non-\w+(?: (?:ones?|things?|objects?|items?))?$", words) is not None
    quantity, words = take_quantity(" ".join(_DENIED.sub(" ", words).split()))
    named = inherited or denied or "<" in head or _ORDINALS.search(head) or not _EMPTY.issuperset(words.split())
    if alone and not named:
        raise BeyondRules(f"'{head.strip()}', which names nothing to look for")
    phrases, plural = read_nouns(words, inherited, adjectival=adjectival)
    exact = quantity.amount.exact if quantity.amount else None
    plural = plural or (quantity.amount is not None and exact != 1)
    sides, pick, amount = read_pick(head, quantity, plural=plural)
    joined = pick is not None and pick.key != "surest" and len(phrases) > 1 and " and " in words
    if joined and pick is not None and OR not in words:
        raise BeyondRules(f"one superlative or place for several kinds ('{words}')")
    if pick is not None and re.search(r"\w's \w", words):
        raise BeyondRules(f"a superlative or place beside a possessive ('{words}')")
    excluded = tuple(_without(what, phrases, noun=last and what == denied[-1]) for what in denied)
    return Selection(phrases, plural, sides, excluded=excluded, pick=pick, amount=amount), exact


def _without(what: str, phrases: tuple[str, ...], *, noun: bool) -> Selection:
    """Read what "non-red" or, where a `noun` may follow "non", "non-animals" takes away from `phrases`."""
    if noun and what not in ADJECTIVES and what not in _NO_QUALITY:
        return Selection((singular(what),), plural=True)
    return Selection(
        tuple(f"{quality} {phrase}" for quality in _NO_QUALITY.get(what, (what,)) for phrase in phrases), True
    )


_NO_QUALITY = {"colored": CHROMATIC, "patterned": ("striped", "dotted", "checkered", "patterned")}
"""Qualities that stand for several which a model knows better."""


def _with_relations(selection: Selection, relations: tuple[Relation, ...]) -> Selection:
    """Add relations; the number in "the two cups nearest to" says how many to take, and is no claim."""
    ranked = any(relation.kind in ("nearest to", "farthest from") for relation in relations)
    return replace(selection, relations=relations, amount=None if ranked else selection.amount)


def _split_denial(text: str) -> tuple[str, str]:
    """Split what follows "not": ("red", "<next to> the lamp"); a denied place ("not left of ...") stays whole."""
    turn = None if text.startswith("<") else _TURN.search(text)
    if turn is None or turn["marker"] in ("lacks", "not"):
        return text, ""
    return text[: turn.start()].strip(" ,"), text[turn.start() :]


def _having(what: str, phrases: tuple[str, ...]) -> Selection:
    """Select those of `phrases` that have something: "striped cup" for stripes, "cup with handle" for a handle."""
    what = re.sub(r"^(?:the|any|an?) | on (?:it|them)$", "", what)
    if not re.fullmatch(r"[^<>]*\w[^<>]*", what):
        raise BeyondRules(f"the expression 'without {what}'")
    if what in ("color", "colors", "pattern", "patterns"):
        return _without("colored" if "color" in what else "patterned", phrases, noun=False)
    quality = what if what in ADJECTIVES else PATTERN_NOUNS.get(what)
    names = (f"{quality} {phrase}" if quality else f"{phrase} with {what}" for phrase in phrases)
    return Selection(tuple(names), plural=True)


def _denied(what: str, phrases: tuple[str, ...]) -> tuple[Selection, ...]:
    """Read what "not ..." takes away from `phrases`: a place, an action, a quality or a kind."""
    if what.startswith("<"):
        return (Selection(phrases, plural=True, relations=_read_relations(what, phrases, None)),)
    if re.match(r"\w+ing\b", what):
        names = (re.sub(r"\b(?:the|an?|any) ", "", f"{phrase} {what}") for phrase in phrases)
        return (Selection(tuple(names), plural=True),)
    return _read_excluded(what, phrases, adjectival=True)


def _read_relations(text: str, phrases: tuple[str, ...], count: int | None) -> tuple[Relation, ...]:
    return tuple(_read_relation(part, phrases, count or 1) for part in _CHAIN.split(text))


_REFERENCES = re.compile(r"(?: ,)? and (?=the |an? |<|\w+ <)| , (?=the |an? )")


def _read_relation(text: str, phrases: tuple[str, ...], count: int) -> Relation:
    marker, _, reference = text.strip(" ,").removeprefix("<").partition("> ")
    kind = _KINDS.get(marker)
    if kind is None or not reference:
        raise BeyondRules(f"a relation without anything to relate to ('{text}')")
    parts = [reference] if "<not>" in reference else _REFERENCES.split(reference)
    return Relation(kind, tuple(read_selection(part, phrases) for part in parts), count)


def _read_excluded(text: str, phrases: tuple[str, ...], *, adjectival: bool = False) -> tuple[Selection, ...]:
    """Read the selections that "not ..." and "except ..." list.

    Raises:
        BeyondRules: it is said how many they are, but not which ("all but two stars").
    """
    if re.match(
        rf"(?:any |exactly |just )?{NUMBER}\b(?! (?:on|in|with|that|left|right|next|near|closest)\b|.*<)", text
    ):
        raise BeyondRules(f"leaving out '{text}' (it does not say which)")
    pieces = re.split(r" nor | or | and |,", re.sub(r"<not>", " , ", text))
    parts = [part for part in pieces if part.strip()]
    return tuple(read_selection(part.strip(), phrases, adjectival=adjectival) for part in parts)
