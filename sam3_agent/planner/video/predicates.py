"""Predicates about the course of a video: "leaves first", "does not move", "turns red"."""

import re
from dataclasses import dataclass, replace

from sam3_agent.planner.lexicon import COLORS, ORDINAL, ordinal
from sam3_agent.planner.rewrite import any_of
from sam3_agent.planner.video.plan import Happening, Kind, Order, Rank, When

_PIC = r"(?:(?:the |this )?(?:picture|frame|view|scene|image|screen|shot|sight|video|clip))"
_LEAVE = any_of(
    rf"(?:leav(?:e|es|ing)|exit(?:s|ing)?|quit(?:s)?)(?: {_PIC})?",
    r"(?:is|are) (?:gone|away)",
    rf"(?:go|goes|going|move|moves|moving|get|gets|drift|drifts|run|runs|drive|drives|fly|flies|swim|swims|walk|walks)"
    rf" (?:out(?:side)?(?: of {_PIC})?|away|off(?: {_PIC})?)",
    rf"(?:disappear(?:s|ing)?|vanish(?:es|ing)?)(?: from {_PIC})?",
)
_ENTER = any_of(
    rf"(?:enter(?:s|ing)?|appear(?:s|ing)?(?: in)?|arriv(?:e|es|ing)(?: in)?|show(?:s|ing)? up(?: in)?)(?: {_PIC})?",
    rf"(?:come|comes|coming|go|goes|going|move|moves|moving|drift|drifts|run|runs|drive|drives|fly|flies|swim|swims"
    rf"|walk|walks) (?:into {_PIC}|in)",
    r"(?:is|are) not (?:there|seen|visible) (?:at first|at the (?:beginning|start)) and then comes? in",
)
_BACK = any_of(
    rf"return(?:s|ing)?(?: to {_PIC})?",
    rf"(?:come|comes|coming) back(?: in| into {_PIC})?",
    rf"(?:reappear|re-appear|reenter|re-enter)(?:s|ing)?(?: {_PIC}| in {_PIC})?",
    r"(?:is|are) seen again(?: later)?",
)
_HIDDEN = any_of(
    r"(?:completely |fully |entirely |wholly )?(?:hidden|covered|occluded|out of sight)(?: by .+| behind .+)?",
    r"(?:disappear|vanish|hide|go|pass)(?:s|es)? behind .+? and (?:come|comes) (?:out|back) again",
    r"(?:disappear|vanish|hide|go|pass)(?:s|es)? behind (?:something|anything|another object|other objects)",
)
_MOVE = any_of(
    r"mov(?:e|es|ing)", "go(?:es|ing)?", r"travel(?:s|ing|ling)?", "head(?:s|ing)?", "drift(?:s|ing)?", "runs?",
    "running", "walk(?:s|ing)?", r"fl(?:y|ies|ying)", r"swim(?:s|ming)?", r"driv(?:e|es|ing)", r"slid(?:e|es|ing)",
    "float(?:s|ing)?", "sail(?:s|ing)?",
)  # fmt: skip
_SIDES = {
    "left": "left", "leftwards": "left", "leftward": "left", "right": "right", "rightwards": "right",
    "rightward": "right", "up": "up", "upwards": "up", "upward": "up", "top": "up", "down": "down",
    "downwards": "down", "downward": "down", "bottom": "down",
}  # fmt: skip
_FRAME_SIDES = {"left": "left", "right": "right", "top": "top", "bottom": "bottom", "above": "top", "below": "bottom"}
_MOTION = any_of(
    r"(?:do|does) not move", r"(?:is|are) not moving", r"(?:stand|stay|keep|remain|sit|lie)s? (?:\w+ )?still",
    r"(?:stay|remain)s? in (?:its|their|the same) (?:place|places|position|spot)",
    r"(?:is|are|stay|stays|remain|remains) (?:still|stationary|motionless|unmoving|static)", r"never moves?",
)  # fmt: skip
_LARGER, _SMALLER = r"(?:larger|bigger)(?: and (?:larger|bigger))?", r"smaller(?: and smaller)?"
_ITS_COLOR = r"(?:(?:its|their|the) )?colors?"
_BECOME = r"(?:turn|become|go|get)(?:s|es)?|(?:is|are) turning|turning|becoming"
_SEEN = (
    r"(?:(?:is|are|can be) (?:seen|visible|shown|there|present)"
    rf"|(?:stay|remain)s?(?: visible)?(?: (?:in|on) {_PIC})?)"
)
_WHEN = (
    r"(?: (?:(?:at|in) the (?P<when>beginning|start|end)(?: of (?:the|this) (?:video|clip))?"
    r"|in the (?P<frame>first|last) frame(?: of (?:the|this) (?:video|clip))?))"
)
_TAILS = re.compile(
    r"(?: , )?(?: (?:in|over|during) the course(?: of (?:the|this) (?:video|clip))?| before the (?:video|clip) ends"
    r"| before the end(?: of the (?:video|clip))?| for a while| for good| all the time| at some point"
    r"| while the others? (?:move|do|does)s?| of all| in the video| over time| later(?: on)?)$"
)
_OTHERS = r"(?:any|every|all|each)(?: of)?(?: the)? others?(?: \w+){0,3}|the others?|the rest|everything else"
EXTREMES: dict[str, tuple[Order, bool]] = {
    "leftmost": ("left", False), "rightmost": ("right", True), "topmost": ("top", False), "uppermost": ("top", False),
    "highest": ("top", False), "lowest": ("bottom", True), "bottommost": ("bottom", True), "largest": ("size", True),
    "biggest": ("size", True), "smallest": ("size", False), "fastest": ("speed", True), "quickest": ("speed", True),
    "slowest": ("speed", False),
}  # fmt: skip
"""Superlative -> (order, greatest)."""
_EXTREME = any_of(*EXTREMES)
_FURTHEST = r"(?:furthest|farthest) (?:to the )?(?P<far>left|right|up|down|top|bottom)"
_FAR: dict[str, str] = {"up": "topmost", "top": "topmost", "down": "lowest", "bottom": "lowest"}


@dataclass(frozen=True, slots=True)
class Predicate:
    """Predicate of a query: what happens, and the place in an order."""

    happenings: tuple[Happening, ...] = ()
    rank: Rank | None = None

    def joined(self, other: "Predicate") -> "Predicate | None":
        """Join two predicates; None where both rank."""
        if self.rank is not None and other.rank is not None:
            return None
        both = tuple(dict.fromkeys((*self.happenings, *other.happenings)))
        return Predicate(both, self.rank or other.rank)


_LEAVES_TO = (
    r"(?: (?:to|on|at|through|over|by|toward|towards) the (?P<side>left|right|top|bottom)(?: side| edge| border)?)?"
)
_ENTERS_FROM = (
    r"(?: (?:from|on|at|through|over) (?:the )?(?P<side>left|right|top|bottom|above|below)(?: side| edge| border)?)?"
)
_WAY = rf"(?:(?:to|toward|towards) the )?(?P<way>{any_of(*_SIDES)})(?: side)?"
_COLOR = rf"(?P<color>{any_of(*sorted(COLORS), 'grey')})"
_EACH_OTHER = r"(?: each other| one another)"
_KINDS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("returns", (rf"{_LEAVE}(?: and then| and)? {_BACK}", _BACK)),
    ("hides", (rf"(?:is|are|gets|get|becomes?) {_HIDDEN}", _HIDDEN)),
    ("leaves", (rf"{_LEAVE}{_LEAVES_TO}",)),
    ("enters", (rf"{_ENTER}{_ENTERS_FROM}",)),
    ("moves", (rf"(?:(?:is|are) )?{_MOVE} {_WAY}",)),
    ("still", (_MOTION,)),
    ("grows", (r"grow(?:s|ing)?", rf"(?:get|become|grow)s? {_LARGER}", r"increases? in size", r"(?:is|are) growing")),
    (
        "shrinks",
        (r"shrink(?:s|ing)?", rf"(?:get|become|grow)s? {_SMALLER}", r"decreases? in size", r"(?:is|are) shrinking"),
    ),
    (
        "recolors",
        (rf"(?:change|switch)(?:s|es)? {_ITS_COLOR}", rf"(?:do|does) not keep {_ITS_COLOR}", r"(?:is|are) recolored"),
    ),
    (
        "turns",
        (
            rf"(?:(?:is|are) of another color at first and then )?(?:{_BECOME}) {_COLOR}",
            rf"changes? (?:{_ITS_COLOR} )?(?:in)?to {_COLOR}",
        ),
    ),
    (
        "meets",
        (
            rf"meets?{_EACH_OTHER}?",
            r"(?:come|get)s? together",
            rf"(?:touch|bump into|collide with|run into){_EACH_OTHER}",
            r"collide",
        ),
    ),
)
"""Event -> the ways to say it; the first that fits counts."""
_TABLE: tuple[tuple[re.Pattern[str], Kind], ...] = tuple(
    (re.compile(pattern), kind) for kind, patterns in _KINDS for pattern in patterns
)
_MOVES = re.compile(r"moves?|moving|(?:is|are) moving|(?:is|are) in motion")
_DENIED = re.compile(r"(?:(?:do|does|did) not|never) (?P<rest>.+)")
_TO_DO = re.compile(rf"(?:is|are) the (?P<place>{ORDINAL})(?: ones?)?(?: of them)? (?:to|that|which) (?P<rest>.+)")
_DONE = re.compile(rf"(?P<rest>.+?)(?: the)? (?P<place>{ORDINAL})")
_BEFORE_OTHERS = re.compile(
    rf"(?P<rest>.+?) (?P<how>before|after|earlier than|later than) (?:{_OTHERS})(?: do(?:es)?)?"
)
_RANKINGS: tuple[tuple[Order, bool, tuple[str, ...]], ...] = (
    ("seen", True, (rf"{_SEEN} (?:for )?(?:the longest(?: time)?|longest|longer than (?:{_OTHERS}))",)),
    ("seen", False, (rf"{_SEEN} (?:for )?(?:the shortest(?: time)?|shortest|shorter than (?:{_OTHERS}))",)),
    (
        "speed",
        True,
        (
            rf"{_MOVE} (?:the )?(?:fastest|quickest)",
            rf"{_MOVE} faster than (?:{_OTHERS})",
            r"(?:is|are) (?:the )?fastest",
        ),
    ),
    (
        "speed",
        False,
        (
            rf"{_MOVE} (?:the )?(?:slowest|slowliest)",
            rf"{_MOVE} (?:slower|more slowly) than (?:{_OTHERS})",
            r"(?:is|are) (?:the )?slowest",
        ),
    ),
)
"""(order, greatest, ways to say it)."""
_RANKS: tuple[tuple[re.Pattern[str], Order, bool], ...] = tuple(
    (re.compile(words), order, greatest) for order, greatest, ways in _RANKINGS for words in ways
)
_PLACED = re.compile(rf"(?:(?:is|are) )?(?:the )?(?:(?P<word>{_EXTREME})|{_FURTHEST}){_WHEN}?")


def read_predicate(text: str) -> Predicate | None:
    """Understand a predicate of a normalized query; None where it is none."""
    before = ""
    while before != text:
        before = text
        if (found := _simple(text)) is not None:
            return found
        text = _TAILS.sub("", text).strip(" ,")
    for joint in re.finditer(r" (?:and then|and|, then|then|but) ", text):
        one, other = read_predicate(text[: joint.start()]), read_predicate(text[joint.end() :])
        if one is not None and other is not None:
            return one.joined(other)
    return None


def _simple(text: str) -> Predicate | None:
    """Read one predicate without "and"."""
    for pattern, kind in _TABLE:
        if found := pattern.fullmatch(text):
            return Predicate((_happening(kind, found),))
    if _MOVES.fullmatch(text):
        return Predicate((Happening("still", negated=True),))
    for pattern, order, greatest in _RANKS:
        if pattern.fullmatch(text):
            return Predicate((), Rank(order, greatest))
    if found := _PLACED.fullmatch(text):
        return Predicate((), rank_of(_word(found), found))
    if found := _TO_DO.fullmatch(text) or _DONE.fullmatch(text):
        return _in_order(found["rest"], ordinal(found["place"]))
    if found := _BEFORE_OTHERS.fullmatch(text):
        return _in_order(found["rest"], 1 if found["how"] in ("before", "earlier than") else -1)
    if found := _DENIED.fullmatch(text):
        inner = _simple(found["rest"])
        if inner is not None and inner.rank is None and len(inner.happenings) == 1:
            return Predicate((replace(inner.happenings[0], negated=True),))
    return None


def ranked(text: str, place: int) -> Predicate | None:
    """Read what "the first one to ..." does, as a rank; None where it is nothing that has an order."""
    return _in_order(text, place)


def _in_order(text: str, place: int) -> Predicate | None:
    if text in ("come", "comes", "coming", "start", "starts"):
        text = "enters"
    inner = _simple(_TAILS.sub("", text))
    if inner is None or inner.rank is not None or inner.happenings[0].negated:
        return None
    orders: dict[Kind, Order] = {"leaves": "leaving", "enters": "entering"}
    order = orders.get(inner.happenings[0].kind)
    return None if order is None else Predicate(inner.happenings, Rank(order, place < 0, abs(place)))


def rank_of(word: str, found: re.Match[str]) -> Rank:
    """Rank of a superlative; the frame is what the match's groups `when` or `frame` say."""
    order, greatest = EXTREMES[word]
    said = found["when"] or found["frame"] or ""
    when: When = "" if not said else "end" if said in ("end", "last") else "start"
    return Rank(order, greatest, when=when)


def _word(found: re.Match[str]) -> str:
    far = found["far"]
    return found["word"] if not far else _FAR.get(far, f"{far}most")


def _happening(kind: Kind, found: re.Match[str]) -> Happening:
    groups = found.groupdict()
    if kind == "moves":
        return Happening(kind, side=_SIDES[groups["way"]])
    side = groups.get("side") or ""
    color = (groups.get("color") or "").replace("gray", "grey")
    return Happening(kind, side=_FRAME_SIDES.get(side, ""), color=color)


SUPERLATIVE = re.compile(
    rf"(?P<det>(?:(?:the|all|both) )*)(?:(?P<number>two|three|four|five|\d+) )?(?P<word>{_EXTREME}) (?P<np>.+?){_WHEN}?"
)
""""the fastest fish", "the two leftmost cups at the end of the video"."""
