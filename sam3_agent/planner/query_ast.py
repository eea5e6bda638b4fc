"""Syntax tree of a query: frozen values from the parser to the chooser."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sam3_agent.errors import LLMError

Side = Literal["left", "right", "top", "bottom", "center", "top left", "top right", "bottom left", "bottom right"]
PickKey = Literal["largest", "smallest", "tallest", "shortest", "widest", "narrowest", "surest"] | Side
RelationKind = Literal[
    "left of",
    "right of",
    "above",
    "below",
    "inside",
    "containing",
    "on",
    "next to",
    "nearest to",
    "farthest from",
    "between",
    "larger than",
    "smaller than",
]


class BeyondRules(LLMError):
    """Refusal of an expression that the rules planner does not handle; the message names the part."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the rules planner does not handle {what}; use an LLM for this query")


@dataclass(frozen=True, slots=True)
class Amount:
    """Number of objects there must be: at_least <= n <= at_most (None: any number)."""

    at_least: int = 0
    at_most: int | None = None

    def holds(self, count: int) -> bool:
        """Tell whether `count` objects satisfy it."""
        return self.at_least <= count and (self.at_most is None or count <= self.at_most)

    @property
    def exact(self) -> int | None:
        """Number that alone satisfies it, or None."""
        return self.at_least if self.at_least == self.at_most else None

    def __str__(self) -> str:
        """Say the bounds in words."""
        if self.at_most is None:
            return f"at least {self.at_least}"
        if self.at_least == 0:
            return f"at most {self.at_most}"
        return f"exactly {self.at_least}" if self.exact is not None else f"{self.at_least} to {self.at_most}"


@dataclass(frozen=True, slots=True)
class Pick:
    """Superlative or ordinal: `count` objects from place `first` in the order of `key`; -1 is the last place.

    The key "surest" is for "two of the stars", which any two would answer: it takes those of the best score.
    """

    key: PickKey
    first: int = 1
    count: int = 1


@dataclass(frozen=True, slots=True)
class Relation:
    """Relation of the wanted objects to others; it must hold for every one of `references`."""

    kind: RelationKind
    references: tuple["Selection", ...]
    count: int = 1
    """Number wanted of nearest to and farthest from."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Set of objects: all that `phrases` name, less the excluded, related so, on those sides, then picked.

    `amount` is how many the query says that there are before the pick; another number is a false premise.
    """

    phrases: tuple[str, ...]
    plural: bool = False
    sides: tuple[Side, ...] = ()
    relations: tuple[Relation, ...] = ()
    excluded: tuple["Selection", ...] = ()
    pick: Pick | None = None
    amount: Amount | None = None

    @property
    def name(self) -> str:
        """Phrases as a reason quotes them."""
        return " / ".join(f"'{phrase}'" for phrase in self.phrases)

    @property
    def is_plain(self) -> bool:
        """Whether finding the phrases is all there is to do."""
        return not (self.sides or self.relations or self.excluded or self.pick)

    def walk(self) -> Iterator["Selection"]:
        """Yield this selection and all that it refers to, itself first."""
        yield self
        for relation in self.relations:
            for reference in relation.references:
                yield from reference.walk()
        for other in self.excluded:
            yield from other.walk()


@dataclass(frozen=True, slots=True)
class Condition:
    """Number of objects of a selection there must be for the query to hold."""

    selection: Selection
    amount: Amount


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of a query: the union of its parts, if the condition holds."""

    parts: tuple[Selection, ...]
    condition: Condition | None = None

    @property
    def phrases(self) -> tuple[str, ...]:
        """Phrases that must be asked, the targets first, none twice."""
        selections = [s for part in self.parts for s in part.walk()]
        if self.condition is not None:
            selections += self.condition.selection.walk()
        targets = [p for part in self.parts for p in part.phrases]
        return tuple(dict.fromkeys(targets + [p for s in selections for p in s.phrases]))
