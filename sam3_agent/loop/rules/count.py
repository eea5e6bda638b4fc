"""Carries out a census: who is how often there, who is unlike all others."""

from collections import Counter

from sam3_agent.loop.rules.census import By, Census
from sam3_agent.loop.rules.choose import NoMatch
from sam3_agent.loop.rules.plan import BeyondRules
from sam3_agent.loop.rules.things import Evidence, Thing, distinct
from sam3_agent.loop.rules.words import NAMED_COLOURS

EVERYTHING = "object"
PRESENT = 0.5
MOST_NOUNS = 20

_COLOUR_OF = {f"{colour} {EVERYTHING}": colour for colour in NAMED_COLOURS}


def phrases_of_census(census: Census, presence: dict[str, float]) -> tuple[str, ...]:
    """What to segment: every object; it again in each colour; the nouns that seem to be there, surest first."""
    colours = tuple(_COLOUR_OF) if census.by != "kind" else ()
    present = sorted((noun for noun, value in presence.items() if value >= PRESENT), key=lambda n: -presence[n])
    return (EVERYTHING, *present[:MOST_NOUNS], *colours)


def take_census(census: Census, evidence: Evidence) -> tuple[list[Thing], str]:
    """The group that the query means, and why.

    Raises:
        NoMatch: no group is of that size, or several are.
        BeyondRules: two things stand out, each in its way.
    """
    things = distinct(thing for found in evidence.things.values() for thing in found)
    if census.by == "look":
        return _odd_one(things, evidence)
    values = [_value(thing, census.by, evidence) for thing in things]
    counts = Counter(value for value in values if value)
    said = ", ".join(f"{value} {count}" for value, count in counts.most_common()) or "nothing found"
    sizes = sorted(counts.values())
    size = {"most": sizes[-1:], "least": sizes[:1]}[census.often] if isinstance(census.often, str) else [census.often]
    chosen = [value for value, count in counts.items() if [count] == size]
    often = f"{census.often} times" if isinstance(census.often, int) else f"the {census.often}"
    if len(chosen) != 1:
        raise NoMatch(f"{len(chosen)} {census.by}s are there {often}: {said}")
    group = [thing for thing, value in zip(things, values, strict=True) if value == chosen[0]]
    return group, f"the {census.by} that is there {often} is {chosen[0]} ({said})"


def _odd_one(things: list[Thing], evidence: Evidence) -> tuple[list[Thing], str]:
    """The one thing whose kind or colour nobody shares while all others share theirs."""
    odd: dict[str, str] = {}
    for by in ("kind", "colour"):
        values = [_value(thing, by, evidence) for thing in things]
        counts = Counter(values)
        if len(things) > 2 and sorted(counts.values()) == [1, len(things) - 1]:
            rare = min(counts, key=lambda value: counts[value])
            odd.setdefault(
                things[values.index(rare)].id, f"the only {rare or f'unknown {by}'} among {len(things)} objects"
            )
    if len(odd) > 1:
        raise BeyondRules(f"an odd one out by kind and by colour at once ({', '.join(odd)})")
    if not odd:
        raise NoMatch(f"none of {len(things)} objects is alone in its kind or colour")
    chosen, reason = next(iter(odd.items()))
    return [thing for thing in things if thing.id == chosen], reason


def _value(thing: Thing, by: By, evidence: Evidence) -> str:
    """The colour or noun, of those looked for, under which the thing scores best; empty when none fits."""
    asked = [
        phrase for phrase in evidence.looked if phrase != EVERYTHING and (phrase in _COLOUR_OF) == (by == "colour")
    ]
    fitting = [phrase for phrase in asked if phrase in thing.scores]
    best = max(fitting, key=lambda phrase: thing.scores[phrase], default="")
    return _COLOUR_OF.get(best, best)
