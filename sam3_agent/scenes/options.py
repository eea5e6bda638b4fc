"""Options of a procedural scene."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from sam3_agent.scenes.vocabulary import COLORS, NOUNS

Style = Literal["mixed", "flat"]
Pair = tuple[str, str]
"""(noun, color)."""

MOST_OBJECTS = 64
SMALLEST_SIDE = 96
LARGEST_SIDE = 8192
PLAIN_OBJECTS = 0.55
"""Share of the objects that wear no pattern, unless told otherwise."""
UNNAMED_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """The limits within which `generate_scene` draws.

    The longer side, in pixels, is drawn log-uniformly from [min_side, max_side]; width / height log-uniformly from
    [1 / max_aspect, max_aspect]. Style "flat" means flat fills or line art on near white, without lighting or noise;
    "mixed" means everything, some flat scenes included. `excluded_pairs` never appear; of `required_pairs`, if any,
    one to three objects are drawn. Raises ValueError for limits that no scene can keep.
    """

    min_objects: int = 1
    max_objects: int = 20
    min_side: int = 256
    max_side: int = 2048
    max_aspect: float = 2.0
    style: Style = "mixed"
    excluded_pairs: frozenset[Pair] = frozenset()
    required_pairs: tuple[Pair, ...] = ()
    plain_objects: float = PLAIN_OBJECTS
    """Share of the objects that wear no pattern."""
    unnamed: tuple[str, ...] = ()
    """Kinds of unnamed shapes (see `scenes.unnamed_shapes`) that take the place of some objects' nouns."""
    unnamed_share: float = UNNAMED_SHARE
    """Share of the objects that are unnamed shapes, where any kinds are given."""

    def __post_init__(self) -> None:
        """Refuse limits that contradict each other."""
        if not 1 <= self.min_objects <= self.max_objects <= MOST_OBJECTS:
            raise ValueError(
                f"expected 1 <= min_objects <= max_objects <= {MOST_OBJECTS}, "
                f"got min_objects={self.min_objects}, max_objects={self.max_objects}"
            )
        if not SMALLEST_SIDE <= self.min_side <= self.max_side <= LARGEST_SIDE:
            raise ValueError(
                f"expected {SMALLEST_SIDE} <= min_side <= max_side <= {LARGEST_SIDE} pixels, "
                f"got min_side={self.min_side}, max_side={self.max_side}"
            )
        if not 1.0 <= self.max_aspect <= 4.0:
            raise ValueError(f"expected max_aspect from 1 to 4, got {self.max_aspect}")
        if self.style not in get_args(Style):
            raise ValueError(f"expected style 'mixed' or 'flat', got {self.style!r}")
        if not 0.0 <= self.plain_objects <= 1.0:
            raise ValueError(f"expected plain_objects from 0 to 1, got {self.plain_objects}")
        self._check_pairs()

    def _check_pairs(self) -> None:
        """Refuse unknown pairs, pairs both required and excluded, and an exclusion of everything."""
        for noun, color in (*sorted(self.excluded_pairs), *self.required_pairs):
            if noun not in NOUNS or color not in COLORS:
                raise ValueError(f"expected (noun, color) of the vocabulary, got ({noun!r}, {color!r})")
        both = sorted(set(self.required_pairs) & self.excluded_pairs)
        if both:
            raise ValueError(f"expected no pair both required and excluded, got {both}")
        if not allowed_pairs(self.excluded_pairs):
            raise ValueError(f"expected at least one pair not excluded, got all {len(self.excluded_pairs)} excluded")


@cache
def allowed_pairs(excluded: frozenset[Pair]) -> tuple[Pair, ...]:
    """Every (noun, color) that is not excluded, in the order of the vocabulary."""
    return tuple((noun, color) for noun in NOUNS for color in COLORS if (noun, color) not in excluded)
