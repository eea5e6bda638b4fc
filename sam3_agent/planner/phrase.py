"""One noun phrase, with all that hangs on it, read into a Selection."""

import re
from dataclasses import replace

from sam3_agent.planner.head_nouns import read_nouns
from sam3_agent.planner.lexicon import NUMBER, PATTERN_NOUNS, number
from sam3_agent.planner.ordinals import read_pick
from sam3_agent.planner.purposes import nouns_for_purpose
from sam3_agent.planner.query_ast import BeyondRules, Relation, RelationKind, Selection
from sam3_agent.planner.relations_parse import mark_relations

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
