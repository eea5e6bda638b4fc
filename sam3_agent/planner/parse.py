"""A query in English -> a Plan or a Census; no look at any picture."""

import re

from sam3_agent.planner.aggregate_queries import Census, read_census
from sam3_agent.planner.conditions import NumberClause, take_condition, take_only
from sam3_agent.planner.normalize import merge_clauses, normalise, unwrap
from sam3_agent.planner.phrase import read_selection
from sam3_agent.planner.purposes import nouns_for_purpose
from sam3_agent.planner.query_ast import BeyondRules, Condition, Plan, Selection
from sam3_agent.planner.relations_parse import mark_exclusions
from sam3_agent.planner.superlatives import mark_superlatives

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
    text = normalise(query)
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
