"""The arguments that several tools share, with the words a model reads about them."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from sam3_agent.errors import InputError
from sam3_agent.masks import Box
from sam3_agent.workspace import TileMode

ImageId = Annotated[str, Field(description="Image id from open_image, such as 'img1'.")]
MaskIds = Annotated[
    Sequence[str], Field(description="Mask ids such as ['m1', 'm4']; near misses have ids as good as any.")
]
Concepts = Annotated[
    Sequence[str],
    Field(
        min_length=1,
        max_length=16,
        description="Short singular noun phrases, attributes allowed: ['striped cup', 'dog']. No relations "
        "('left of'), superlatives ('largest'), numbers or negations: find the things first, then compare them.",
    ),
]
Threshold = Annotated[
    float, Field(ge=0, le=1, description="Masks with score (presence x object score) above this are kept; 0-1.")
]
Region = Annotated[
    Sequence[float],
    Field(description="Part to look at as [x0, y0, x1, y1] in pixels of the whole image; [] for the whole image."),
]
Tiles = Annotated[
    TileMode,
    Field(
        description="Look closer, tile by tile: 'auto' where what is found is small or very many, 'always' everywhere "
        "(slow on big pictures, but finds what is too small to be seen in the whole), 'never'."
    ),
]
AssumePresent = Annotated[
    bool, Field(description="True when the concept is known to be there: masks are kept by object_score alone.")
]
Boxes = Annotated[
    Sequence[Sequence[float]], Field(description="Boxes as [[x0, y0, x1, y1], ...] in pixels of the whole image.")
]
Reason = Annotated[str, Field(description="One or two sentences on why.")]


def box_of(values: Sequence[float], name: str) -> Box:
    """Four numbers as a box.

    Raises:
        InputError: there are not four.
    """
    if len(values) != 4:
        raise InputError(f"{name} needs four numbers [x0, y0, x1, y1] in pixels, got {list(values)}")
    x0, y0, x1, y1 = values
    return (x0, y0, x1, y1)


def region_of(values: Sequence[float]) -> Box | None:
    """A region, or None for the empty list."""
    return box_of(values, "region") if values else None
