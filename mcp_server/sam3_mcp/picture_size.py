"""Argument `max_side`: how large a picture a host wants in a result, as pictures cost it tokens."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

if TYPE_CHECKING:
    from sam3_agent.tools import ToolSpec

LARGEST = 1024
"""Longest side of every picture that a tool draws."""
ARGUMENT = "max_side"
SMALLEST = 64
"""Less shows nothing."""


def _pixels(value: Any) -> int:
    """Whole pixels of a number in any form (256, 256.0, "256"); more than LARGEST is LARGEST."""
    text = str(value).strip()
    try:
        number = -1.0 if isinstance(value, bool) or len(text) > 10 else float(text)
    except ValueError:
        number = -1.0
    if number != 0 and (number < SMALLEST or not number.is_integer()):
        raise ValueError(f"expected {SMALLEST} to {LARGEST} pixels, or 0")
    return min(int(number), LARGEST)


MaxSide = Annotated[
    int,
    BeforeValidator(_pixels),
    Field(
        ge=0,
        le=LARGEST,
        description=f"Longest side of the picture in the result: {SMALLEST}-{LARGEST} pixels, or 0 for none. Smaller "
        "costs less; for detail call look with a region.",
    ),
]


def with_max_side(spec: "ToolSpec") -> "ToolSpec":
    """The tool with `max_side` among its arguments, where its results hold pictures."""
    return spec.with_argument(ARGUMENT, MaxSide, LARGEST) if spec.has_picture else spec
