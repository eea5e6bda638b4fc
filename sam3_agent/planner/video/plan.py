"""Plan of a query about a video: a noun phrase, what happens to those that are meant, and their place in an order."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "leaves", "enters", "returns", "hides", "moves", "still", "grows", "shrinks", "recolors", "turns", "meets",
]  # fmt: skip
Order = Literal["leaving", "entering", "seen", "speed", "left", "right", "top", "bottom", "size"]
"""Last and first sight, frames of sight, speed; place or size in one frame."""
When = Literal["start", "end", ""]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happens to an object in the course of a video, or does not."""

    kind: Kind
    side: str = ""
    """Left, right, up or down for "moves"; left, right, top or bottom for "enters" and "leaves"; "" for any."""
    color: str = ""
    """Of "turns"."""
    negated: bool = False

    def __str__(self) -> str:
        """Say it as a reason quotes it."""
        words = " ".join(word for word in (self.kind, self.side, self.color) if word)
        return f"not {words}" if self.negated else words


@dataclass(frozen=True, slots=True)
class Rank:
    """Place in an order: `count` objects from the least on, or from the greatest."""

    order: Order
    greatest: bool = False
    place: int = 1
    when: When = ""
    """The frame for orders of place and size."""

    def __str__(self) -> str:
        """Say it as a reason quotes it."""
        end = "greatest" if self.greatest else "least"
        place = f"number {self.place} from the {end}" if self.place > 1 else end
        return f"{place} in {self.order}" + (f" at the {self.when}" if self.when else "")


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """Selection of tracks: those of the phrase to which all of it happens, then the ranked ones."""

    phrase: str
    plural: bool = False
    amount: int | None = None
    """Number of tracks that are meant, where it is said."""
    happenings: tuple[Happening, ...] = ()
    rank: Rank | None = None

    @property
    def needs_colors(self) -> bool:
        """Whether pixels have to be looked at."""
        return any(each.kind in ("recolors", "turns") for each in self.happenings)
