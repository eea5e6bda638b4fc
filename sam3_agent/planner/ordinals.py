"""Which of several: the superlative, ordinal and sides marked in the head of a phrase."""

import re

from sam3_agent.planner.lexicon import NUMBER, ORDINAL, number, ordinal
from sam3_agent.planner.query_ast import BeyondRules, Pick, PickKey, Side

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
