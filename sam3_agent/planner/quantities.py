"""Quantities in a noun phrase: "the three", "exactly two", "a couple of", "two of the five"."""

import re
from dataclasses import dataclass

from sam3_agent.planner.lexicon import ADJECTIVES, NUMBER, PAIRED, number
from sam3_agent.planner.nouns import INVARIANT, is_plural, split_head
from sam3_agent.planner.query_ast import Amount, BeyondRules

BOUNDED = (
    r"(?:(?P<bound>at least|no fewer than|no less than|a minimum of|at most|no more than|not more than|a maximum of"
    r"|up to|more than|over|fewer than|less than|under|exactly|precisely|just|only) )?"
    rf"(?P<number>{NUMBER}|any|some|several|no|an?)\b(?: (?P<tail>or more|or fewer|or less))?"
)
"""A number with its bounds, as `read_amount` takes them."""
MANY = 2
""""Several" and "a few" have no agreed number: they deny a single one, and nothing else is held against them."""

_SEVERAL = r"(?:several|many|multiple|various|numerous|a few|few|a number of|lots of|a lot of|plenty of)"
_THE = r"(?:(?:all|the|these|those|of|my|your|our|his|her|their) )*"
_COUNTED = r"(?=[a-z])(?!(?:of|that|which|who|on|in|at|with|without|is|are|closest|nearest|furthest|farthest|to|and)\b)"
_FORMS = tuple(
    (re.compile(pattern), form)
    for pattern, form in (
        (
            rf"^(?:all |the |all the |any |only |just )?(?P<number>{NUMBER}) (?:out )?of (?:all )?"
            rf"(?:the |these |those |my |your )(?:(?P<base>{NUMBER}) )?{_COUNTED}",
            "part",
        ),
        (rf"^any (?P<number>{NUMBER}) {_COUNTED}", "part"),
        (rf"^(?:(?:all|each|every one|any|the) )?of (?:the |these |those )(?P<base>{NUMBER}) {_COUNTED}", "base"),
        (rf"^{_THE}(?P<low>\d+)-(?P<high>\d+) {_COUNTED}", "range"),
        (rf"^{_THE}both (?:of )?(?:the |these |those |my |your )?{_COUNTED}", "two"),
        (
            r"^(?:the |these |those |exactly |only |just )?(?:a |one )?(?P<pair>couple|pair)(?: of)? (?:the )?"
            rf"{_COUNTED}",
            "two",
        ),
        (rf"^(?:{_THE}|some |any ){_SEVERAL} {_COUNTED}", "several"),
        (rf"^{_THE}{BOUNDED.replace('|any|some|several|no|an?', '')} {_COUNTED}", "exact"),
        (rf"^{_THE}(?P<number>(?!one\b){NUMBER})$", "bare"),
    )
)
_VAGUE = re.compile(
    r"^(?:the |about |around )?(?P<what>(?:half|most|none|an? (?:third|quarter|fifth|part|fraction)|the majority|some"
    r"|many|several|a few|few|a lot|lots|dozens|scores|hundreds|thousands|plenty|either|neither) of"
    r"(?: the| these| those)?"
    rf"|(?:about|around|roughly|approximately|nearly|almost|some) {NUMBER}|half|zero|no|nothing|none|nobody|neither"
    r"|dozens|hundreds|thousands|enough|every (?:other|second|third)|most|0|\d+(?:\.\d+)? ?%|\d+ percent)(?= |$)"
)
_MEASURE = re.compile(r"(?:liter|litre|inch|foot|door|seat|story|storey|piece|way|d|up|wheel|year|man)\b(?!s)")
"""Units after a number that is part of a name: "2 liter bottle", "12 inch ruler"."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """Quantity of a noun phrase.

    `amount` is how many are wanted and said to be there ("the three dogs"); `part` is how many are wanted, any of them,
    `whole` how many there are said to be to choose from ("two of the five dogs", "the largest of the three dogs").
    """

    amount: Amount | None = None
    part: int | None = None
    whole: Amount | None = None


def take_quantity(text: str) -> tuple[Quantity, str]:
    """Take off the quantity that a noun phrase begins with; return it and the rest.

    Raises:
        BeyondRules: it asks for a share, for about so many, or for none ("half of the stars", "no stars").
    """
    text = text.strip()
    for form, kind in _FORMS:
        found = form.match(text)
        if found is None:
            continue
        rest = text[found.end() :]
        if kind == "exact" and number(found["number"]) > 1 and (_MEASURE.match(rest) or _names_one(rest)):
            continue
        if kind == "two" and found.groupdict().get("pair") == "pair" and PAIRED & set(rest.split()):
            return Quantity(), rest
        return _quantity(found, kind), rest
    if found := _VAGUE.match(text):
        raise BeyondRules(f"the quantity '{found['what']}'")
    return Quantity(), text


def _names_one(rest: str) -> bool:
    """Tell whether the noun after a number is a singular: the number is part of a name ("7 segment display")."""
    head = split_head(re.sub(r" (?:that|which|who|and|or|,)\b.*| ,.*", "", rest))[1]
    return not (is_plural(head) or head in INVARIANT or head in ADJECTIVES)


def _quantity(found: re.Match[str], kind: str) -> Quantity:
    if kind == "bare":
        return Quantity(_exactly(found["number"]))
    if kind == "part":
        base = found.groupdict().get("base")
        return Quantity(part=number(found["number"]), whole=_exactly(base) if base else None)
    if kind == "base":
        return Quantity(whole=_exactly(found["base"]))
    if kind == "range":
        return Quantity(Amount(number(found["low"]), number(found["high"])))
    if kind == "exact":
        return Quantity(read_amount(found["number"], found["bound"] or "", found["tail"] or ""))
    return Quantity(Amount(2, 2) if kind == "two" else Amount(MANY))


def _exactly(word: str) -> Amount:
    return Amount(number(word), number(word))


def read_amount(word: str, bound: str = "", tail: str = "") -> Amount:
    """Read the amount that a number word and the words beside it ("at least", "or more") allow."""
    if word == "no":
        return Amount(0, 0)
    if word in ("any", "some", "a", "an"):
        return Amount(1)
    value = MANY if word == "several" else number(word)
    at_least = ("at least", "no fewer than", "no less than", "a minimum of")
    if tail == "or more" or word == "several" or bound in at_least:
        return Amount(value)
    if tail or bound in ("at most", "no more than", "not more than", "up to", "a maximum of"):
        return Amount(0, value)
    if bound in ("more than", "over"):
        return Amount(value + 1)
    if bound in ("fewer than", "less than", "under"):
        return Amount(0, value - 1)
    return Amount(value, value)
