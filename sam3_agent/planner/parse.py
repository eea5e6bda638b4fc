"""A query in English -> a Plan or a Census; no look at any picture."""

import re
from dataclasses import dataclass

from sam3_agent.planner.aggregate_queries import Census, read_census
from sam3_agent.planner.lexicon import NUMBER, number
from sam3_agent.planner.normalize import merge_clauses, normalize, unwrap
from sam3_agent.planner.phrase import read_selection
from sam3_agent.planner.purposes import nouns_for_purpose
from sam3_agent.planner.query_ast import BeyondRules, Condition, Plan, Selection
from sam3_agent.planner.relations_parse import mark_exclusions
from sam3_agent.planner.superlatives import mark_superlatives

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
    """The condition of a normalized query, or None when it has none."""
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


_PRONOUN = re.compile(
    r"^(?:(?:where|which|what) (?:is|are) )?(?:all (?:of )?)?"
    r"(?:it|them|those|these|they|both|each(?: of them)?|that one|all)?$"
)
_AND = re.compile(r"(?: ,)? and (?:also )?(?=(?:the|all|every|each|an?|any) |<(?!from|at|but|not|lacks))")
MAX_CHARACTERS = 300


def parse_query(query: str) -> Plan | Census:
    """Understand a query.

    Raises:
        BeyondRules: it needs more than these rules; the message names the part.
    """
    text = normalize(query)
    if not re.search(r"\w", text):
        raise BeyondRules(f"the expression {query!r}")
    if len(text) > MAX_CHARACTERS:
        raise BeyondRules(f"a query of {len(text)} characters")
    census = read_census(text)
    if census is not None:
        return census
    clause = take_condition(text)
    if clause is not None:
        return _conditional(clause)
    sentences = [unwrap(sentence) for sentence in text.split(" . ") if sentence.strip()]
    if len(sentences) > 1 or "," in text:  # "It is raining: find what keeps me dry."
        for clause_text in reversed(re.split(r" [.,] ", text)):
            if purpose := nouns_for_purpose(unwrap(clause_text)):
                return Plan((Selection(purpose, plural=True),))
    return _plan(sentences[-1] if sentences else text)


def _conditional(clause: NumberClause) -> Plan:
    rest = unwrap(clause.rest)
    what = _parts(clause.what) if clause.what else None
    if _PRONOUN.match(rest):
        if what is None:
            raise BeyondRules(f"the expression '{clause.rest}'")
        parts = what
    else:
        parts = _parts(rest, what[0].phrases if what else ())
    counted = (what or parts)[0]
    return Plan(parts, Condition(counted, clause.at_least, clause.at_most))


def _plan(text: str) -> Plan:
    only = take_only(text)
    if only is not None:
        parts = _parts(only)
        return Plan(parts, Condition(parts[0], 1, 1))
    return Plan(_parts(text))


def _parts(text: str, inherited: tuple[str, ...] = ()) -> tuple[Selection, ...]:
    """The selections that "and the ..." joins."""
    marked = unwrap(merge_clauses(mark_superlatives(unwrap(text))))
    marked = unwrap(mark_exclusions(marked))
    pieces = _AND.split(marked)
    if len(pieces) > 1 and re.search(
        r"\bbetween\b|<but>|<not>|\b(?:of|to|above|below|under|inside|beside|near|from|than) [^,]*$", pieces[0]
    ):
        pieces = [marked]  # "left of the house and the tree": the and is within the reference
    last = read_selection(pieces[-1], inherited)
    bare = re.compile(r"(?:the |<[^>]+> ?)+")  # "the largest" of "the largest and the smallest cup"
    first = (
        read_selection(piece, last.phrases if bare.fullmatch(piece.strip()) else inherited) for piece in pieces[:-1]
    )
    return (*first, last)
