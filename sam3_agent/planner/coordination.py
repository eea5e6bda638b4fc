"""Coordination: "red or blue bolts", "stars, keys and cups", "neither red nor blue"."""

import re

from sam3_agent.planner.lexicon import ADJECTIVES, FAMILIES, NUMBER, number
from sam3_agent.planner.nouns import is_plural, split_head
from sam3_agent.planner.query_ast import BeyondRules

OR = "_or_"
"""Joins alternatives in one word: "red_or_blue bolts" are red bolts and blue bolts."""

_ADJECTIVE = rf"(?:non-\w+|{'|'.join(sorted(ADJECTIVES, key=len, reverse=True))})"
_JOINT = r"(?: ,(?: and| or)?| and| or)(?: also)?(?: the| an?)? "
_ROW = rf"(?P<row>{_ADJECTIVE}(?:{_JOINT}{_ADJECTIVE})+)"
_BEFORE = re.compile(rf"(?:\beither )?(?:\b(?:the|an?) )?(?<![\w-]){_ROW}(?= (?!(?:and|or|,)\b)[a-z<])(?! ones?\b)")
_BEHIND = re.compile(
    rf"(?P<noun>[a-z][\w-]*)(?:(?: ,)? (?:that|which) (?:is|are)| ,| in| colored| painted) (?:either )?{_ROW}"
    r"(?=$| [<,])"
)
_ALONE = re.compile(rf"^(?:the )?{_ROW}$")
_NEITHER = re.compile(rf"\bneither (?:the )?(?P<one>{_ADJECTIVE}) nor (?:the )?(?P<other>{_ADJECTIVE})(?= [a-z])")
_DETERMINED = rf"(?=(?:the|all|every|each|an?|any|both|{NUMBER}|\d+-\d+) )"
_MARKED = r"(?=<(?!from|at|but|not|lacks))"
_PARTS = re.compile(
    rf"(?: ,)? and(?: also)? {_DETERMINED}| , {_DETERMINED}|(?: ,)? or (?={NUMBER} )"
    rf"| (?:,(?: and)?|and(?: also)?|or) {_MARKED}"
)
_RANGE = re.compile(
    rf"\bbetween ({NUMBER}) and ({NUMBER})(?= [a-z])|(?<![\w-])({NUMBER}) (?:or|to) ({NUMBER})(?= [a-z])"
)
_RELATION = re.compile(
    r"\bbetween\b|<but>|<not>|\b(?:of|to|above|below|under|inside|outside|within|beside|near|from|than|around)\b"
    r"(?! (?:these|those)\b)"
)
_ASIDE = re.compile(r" , (?:the )?ones?\b| , (?:that|which|who|with|without|in|on|at|not|but|and not)\b")
_NAMES = re.compile(r" and | or |(?: ,)+(?: and | or )? ?")
_GOVERNED = re.compile(r"\b(?:with|wearing|holding|carrying|in|of|for|made)\b")


def join_adjectives(text: str) -> str:
    """Rewrite rows of adjectives before or behind one noun in normalized text: alternatives become one word, by OR.

    Adjectives of one family (colors, patterns) that "or", a second article, or "and" before a plural joins, are
    alternatives; all others hold at once ("the big, red star", "red and striped bolts", "a black and white cow").
    """
    text = _RANGE.sub(lambda found: "-".join(str(number(word)) for word in found.groups() if word), text)
    text = _NEITHER.sub(r"non-\g<one> non-\g<other>", text)
    if found := _ALONE.match(text):
        return OR.join(re.findall(rf"(?<![\w-]){_ADJECTIVE}(?![\w-])", found["row"])) + " objects"
    text = _BEFORE.sub(lambda found: _before(found, text), text)
    return _BEHIND.sub(lambda found: f"{_joined(found, ' ' + found['noun'])} {found['noun']}", text)


def _before(found: re.Match[str], text: str) -> str:
    """Join the row before a noun, unless it tells what another thing has ("with red and blue stripes")."""
    return found[0] if _HAVING.search(text[: found.start()]) else _joined(found, text[found.end() :])


_HAVING = re.compile(r"\b(?:with|wearing|holding|carrying|having|has|have)(?: an?| the| some)? ?$")


def _joined(found: re.Match[str], noun_phrase: str) -> str:
    row = found["row"]
    words = re.findall(rf"(?<![\w-]){_ADJECTIVE}(?![\w-])", row)
    article = re.match(r"(?:either )?(the |an? )?", found[0]) if "noun" not in found.groupdict() else None
    before = (article[1] or "") if article else ""
    if any(word.startswith("non-") for word in words):
        if " or " in row:
            raise BeyondRules(f"'or' between qualities of which one is denied ('{row}')")
        return before + " ".join(words)
    one_family = any(family.issuperset(words) for family in FAMILIES)
    core = re.split(
        r" [<,]| (?:and|or|that|which|who|with|on|in|at|of|left|right|next|near|above|below)\b", noun_phrase
    )[0]
    several = is_plural(split_head(core.strip())[1]) if core.strip() else False
    both = set(words) == {"black", "white"}
    alternative = " or " in row or re.search(r" (?:the|an?) ", row) is not None
    if alternative or (one_family and several and not both):
        return before + OR.join(words)
    return before + (" and " if one_family else " ").join(words)


def split_parts(text: str) -> list[str]:
    """Split marked text into the noun phrases wanted beside each other ("the star, two keys and a cup").

    What follows "left of", "between" and the like belongs to the reference and is no part of its own.
    """
    if _ASIDE.search(text):
        return [text]
    pieces = [piece.strip(" ,") for piece in _PARTS.split(text)]
    if len(pieces) > 1 and any(_RELATION.search(piece) for piece in pieces[:-1]):
        return [text]
    return [piece for piece in pieces if piece]


def split_names(text: str) -> list[str]:
    """Split a noun phrase without markers where nouns are joined ("stars, keys and cups")."""
    pieces = [piece.strip() for piece in _NAMES.split(text)]
    if len(pieces) < 2 or any(not piece for piece in pieces):
        return [text]
    governed = _GOVERNED.search(pieces[0]) is not None
    if " or " not in text and (governed or all(word in ADJECTIVES for word in pieces[0].split())):
        return [text]  # "man with hat and coat", "black and white cow"
    return pieces


def alternatives(phrase: str) -> tuple[str, ...]:
    """List the phrases that one with alternatives in it stands for; itself where it has none."""
    found = re.search(rf"[\w-]*{OR}[\w-]*", phrase)
    if found is None:
        return (phrase,)
    return tuple(phrase[: found.start()] + word + phrase[found.end() :] for word in found[0].split(OR))
