"""Conditions on numbers: "if there are at least two", "the only one"."""

import re
from dataclasses import dataclass

from sam3_agent.planner.lexicon import NUMBER, number

_IF = r"(?:(?:and |but )?(?:only )?(?:if|when|provided(?: that)?|as long as|in case|given that|assuming(?: that)?))"
_THERE = (
    r"(?:there (?:is|are|exist)|(?:you|we|i) (?:can )?(?:see|count|find|spot|have)|it (?:has|shows|contains)|they are|"
    r"(?:the (?:picture|image) )?(?:shows|has|contains))"
)
_COUNT = (
    r"(?:(?P<bound>at least|no fewer than|no less than|a minimum of|at most|no more than|not more than|up to|more than|"
    r"fewer than|less than|exactly|precisely|just|only) )?"
    rf"(?P<number>{NUMBER}|any|some|several|no|an?)\b(?: (?P<tail>or more|or fewer|or less))?"
)
_FORMS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^{_IF} {_THERE} {_COUNT}(?: (?P<np>[^,]+?))? , (?:then )?(?P<rest>.+)$",
        rf"^(?P<rest>.+?)(?: ,)? {_IF} {_THERE} {_COUNT}(?: (?P<np>.+))?$",
        rf"^(?P<rest>.+?)(?: ,)? (?:of which|of whom|of them) there (?:is|are) {_COUNT}$",
        rf"^there (?:is|are) {_COUNT} (?P<np>[^,]+?) , (?P<rest>.+)$",
    )
)
_UNLESS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^unless {_THERE} {_COUNT}(?: (?P<np>[^,]+?))? , (?P<rest>.+)$",
        rf"^(?P<rest>.+?)(?: ,)? unless {_THERE} {_COUNT}(?: (?P<np>.+))?$",
    )
)
_ELSE = re.compile(r"(?: ,)? (?:otherwise|or else|else|if not)\b.*$")
_ONLY = re.compile(r"^(?:the |which is the |what is the )?(?:only|single|sole|one and only)(?: one)? (?P<rest>\w.*)$")


@dataclass(frozen=True, slots=True)
class NumberClause:
    """A condition taken out of a query: how many `what` there must be; `rest` is what remains of the query."""

    rest: str
    what: str
    """Empty when it is about the very things asked for."""
    at_least: int
    at_most: int | None


def take_condition(text: str) -> NumberClause | None:
    """The condition of a normalised query, or None when it has none."""
    text = _ELSE.sub("", text)
    for form in _FORMS:
        if found := form.match(text):
            low, high = _bounds(found)
            return NumberClause(found["rest"], _what(found), low, high)
    for form in _UNLESS:
        if found := form.match(text):
            low, high = _bounds(found)
            if high is None:
                return NumberClause(found["rest"], _what(found), 0, low - 1)
            if low == 0:
                return NumberClause(found["rest"], _what(found), high + 1, None)
    return None


def take_only(text: str) -> str | None:
    """What follows "the only" ("cup"), or None when the phrase does not say that there is just one."""
    found = _ONLY.match(text)
    return found["rest"] if found else None


def _what(found: re.Match[str]) -> str:
    what = found.groupdict().get("np") or ""
    return (
        "" if re.match(r"^(?:of (?:them|these|those|it)|such|here|there|them)\b", what) else what.removesuffix(" here")
    )


def _bounds(found: re.Match[str]) -> tuple[int, int | None]:
    """(least, most) that the words allow; None for no limit."""
    word, bound, tail = found["number"], found["bound"] or "", found["tail"] or ""
    if word == "no":
        return 0, 0
    if word in ("any", "some", "a", "an"):
        return 1, None
    value = 2 if word == "several" else number(word)
    if tail == "or more" or word == "several" or bound in ("at least", "no fewer than", "no less than", "a minimum of"):
        return value, None
    if tail or bound in ("at most", "no more than", "not more than", "up to"):
        return 0, value
    if bound == "more than":
        return value + 1, None
    if bound in ("fewer than", "less than"):
        return 0, value - 1
    return value, value
