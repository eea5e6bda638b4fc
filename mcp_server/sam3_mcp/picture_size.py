"""The argument `max_side`: how large a picture a host wants in a result, as pictures cost it tokens."""

from collections.abc import Mapping
from typing import Any

from sam3_agent.errors import ToolError

LARGEST = 1024
"""Longest side of every picture that a tool draws."""
SMALLEST = 64
ARGUMENT = "max_side"
PICTURE_TOOLS = frozenset(
    {
        "open_image",
        "segment_concepts",
        "refine_with_exemplars",
        "segment_at",
        "combine_masks",
        "look",
        "ask_image",
        "get_job",
    }
)
"""Tools whose results hold pictures."""
_WORDS = (
    f"Longest side of the picture in the result: {SMALLEST}-{LARGEST} pixels, or 0 for none. Smaller costs less; for "
    f"detail call look with a region."
)
_PROPERTY = {"type": "integer", "default": LARGEST, "minimum": 0, "maximum": LARGEST, "description": _WORDS}


def with_argument(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The input schema of a tool, with max_side where it sends pictures."""
    if name not in PICTURE_TOOLS:
        return schema
    return schema | {"properties": schema["properties"] | {ARGUMENT: _PROPERTY}}


def take(name: str, raw: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """The other arguments of a call, and its max_side in pixels; 0 for no picture.

    Raises:
        ToolError: max_side is not 0 and not 64 to 1024.
    """
    rest = dict(raw)
    if name not in PICTURE_TOOLS:
        return rest, LARGEST
    given = rest.pop(ARGUMENT, None)
    if given is None:
        return rest, LARGEST
    text = str(given).strip()
    side = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if isinstance(given, bool) or (side != 0 and side < SMALLEST):
        raise ToolError(
            f"{name}: {ARGUMENT} = {text[:40]!r} is not usable: expected {SMALLEST} to {LARGEST} pixels, or 0"
        )
    return rest, min(side, LARGEST)
