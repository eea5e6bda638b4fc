"""Parser of queries: English -> Plan or Census, without a look at any image."""

import re
from dataclasses import dataclass
from itertools import dropwhile

from sam3_agent.planner.aggregate_queries import Census, read_census
from sam3_agent.planner.coordination import join_adjectives, split_parts
from sam3_agent.planner.language import require_english
from sam3_agent.planner.lexicon import ADJECTIVES, NUMBER, ORDINAL
from sam3_agent.planner.normalize import merge_clauses, normalize, unwrap
from sam3_agent.planner.phrase import read_selection
from sam3_agent.planner.purposes import nouns_for_purpose
from sam3_agent.planner.quantities import BOUNDED, read_amount
from sam3_agent.planner.query_ast import Amount, BeyondRules, Condition, Plan, Selection
from sam3_agent.planner.relations_parse import mark_exclusions
from sam3_agent.planner.superlatives import mark_superlatives

_IF = r"(?:(?:and |but )?(?:only )?(?:if|when|provided(?: that)?|as long as|in case|given that|assuming(?: that)?))"
_THERE = (
    r"(?:there (?:is|are|exist)|(?:you|we|i) (?:can )?(?:see|count|find|spot|have)|it (?:has|shows|contains)|they are|"
    r"(?:the (?:picture|image) )?(?:shows|has|contains))"
)
_FORMS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^{_IF} {_THERE} {BOUNDED}(?: (?P<np>[^,]+?))? , (?:then )?(?P<rest>.+)$",
        rf"^(?P<rest>.+?)(?: ,)? {_IF} {_THERE} {BOUNDED}(?: (?P<np>.+))?$",
        rf"^(?P<rest>.+?)(?: ,)? (?:of which|of whom|of them) there (?:is|are) {BOUNDED}$",
        rf"^there (?:is|are) {BOUNDED} (?P<np>[^,]+?) , (?P<rest>.+)$",
    )
)
_UNLESS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^unless {_THERE} {BOUNDED}(?: (?P<np>[^,]+?))? , (?P<rest>.+)$",
        rf"^(?P<rest>.+?)(?: ,)? unless {_THERE} {BOUNDED}(?: (?P<np>.+))?$",
    )
)
_ELSE = re.compile(r"(?: ,)? (?:otherwise|or else|else|if not)\b.*$")
_ONLY = re.compile(r"^(?:the |which is the |what is the )?(?:only|single|sole|one and only)(?: one)? (?P<rest>\w.*)$")


@dataclass(frozen=True, slots=True)
class NumberClause:
    """Condition taken out of a query: how many `what` there must be; `rest` is what remains of the query."""

    rest: str
    what: str
    """Empty when it is about the very things asked for."""
    amount: Amount


def take_condition(text: str) -> NumberClause | None:
    """Take the condition out of a normalized query; None when it has none."""
    text = _ELSE.sub("", text)
    for form in _FORMS:
        if found := form.match(text):
            return NumberClause(found["rest"], _what(found), _amount(found))
    for form in _UNLESS:
        if found := form.match(text):
            amount = _amount(found)
            if amount.at_most is None:
                return NumberClause(found["rest"], _what(found), Amount(0, amount.at_least - 1))
            if amount.at_least == 0:
                return NumberClause(found["rest"], _what(found), Amount(amount.at_most + 1))
    return None


def take_only(text: str) -> str | None:
    """Return what follows "the only" ("cup"); None when the phrase does not say so."""
    found = _ONLY.match(text)
    return found["rest"] if found else None


def _what(found: re.Match[str]) -> str:
    what = found.groupdict().get("np") or ""
    return (
        "" if re.match(r"^(?:of (?:them|these|those|it)|such|here|there|them)\b", what) else what.removesuffix(" here")
    )


def _amount(found: re.Match[str]) -> Amount:
    return read_amount(found["number"], found["bound"] or "", found["tail"] or "")


_PRONOUN = re.compile(
    r"^(?:(?:where|which|what) (?:is|are) )?(?:all (?:of )?)?"
    r"(?:it|them|those|these|they|both|each(?: of them)?|that one|all)?$"
)
_OPEN = re.compile(
    r"\bneither\b(?!.*\bnor\b)|(?<!than )\bevery (?:other|second|third|fourth|fifth)\b"
    r"|^not (?:one|any)\b"
)
"""Words that leave open what is meant, or mean nothing at all ("not any star")."""
MAX_CHARACTERS = 300


def parse_query(query: str) -> Plan | Census:
    """Understand a query.

    Raises:
        BeyondRules: it needs more than these rules; the message names the part.
    """
    text = normalize(query)
    require_english(text)
    if not re.search(r"\w", text):
        raise BeyondRules(f"the expression {query!r}")
    if found := _OPEN.search(text):
        raise BeyondRules(f"'{found[0]}'")
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
    return Plan(parts, Condition(counted, clause.amount))


def _plan(text: str) -> Plan:
    only = take_only(text)
    if only is not None:
        parts = _parts(only)
        single = not (parts[0].plural or parts[0].amount)  # "the only three stars" are three, "the only stars" all
        return Plan(parts, Condition(parts[0], Amount(1, 1)) if single else None)
    return Plan(_parts(text))


def _parts(text: str, inherited: tuple[str, ...] = ()) -> tuple[Selection, ...]:
    """Read the selections that a query joins ("the star, two keys and a cup")."""
    text = re.sub(r" , (?=(?:that|which|who) (?:is|are)\b)", " ", text)
    marked = unwrap(merge_clauses(mark_superlatives(join_adjectives(unwrap(text)))))
    *others, last = split_parts(unwrap(mark_exclusions(marked)))
    read = read_selection(last, inherited)
    return (*(_read_part(part, last, read.phrases, inherited) for part in others), read)


_NO_NOUN = re.compile(rf"(?:the |<[^>]+> ?|{ORDINAL}(?: |$)|{NUMBER} )+")


def _read_part(part: str, last: str, phrases: tuple[str, ...], inherited: tuple[str, ...]) -> Selection:
    """Read one of several parts; "the largest" of "the largest and the smallest cup" takes the noun of the last."""
    words = re.sub(rf"^(?:(?:the|all|both|an?|{NUMBER}) )+", "", part).split()
    if words and ADJECTIVES.issuperset(words):  # "the two red" of "the two red and the three blue stars"
        noun = next(" ".join(dropwhile(ADJECTIVES.__contains__, phrase.split())) for phrase in phrases)
        return read_selection(f"{part} ones", (noun,))
    if not _NO_NOUN.fullmatch(part):
        return read_selection(part, inherited)
    direction = re.search(r"<from \w+>", last)
    return read_selection(f"{part} {direction[0]}" if direction and "<from" not in part else part, phrases)
