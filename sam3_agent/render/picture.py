"""A picture for a reader: an image with the words that keep it honest."""

from dataclasses import dataclass
from typing import Literal, get_args

from PIL import Image

from sam3_agent.masks import Box, Rle

Style = Literal["marks", "outline", "fill", "cutout", "contact_sheet", "plain"]
STYLES: tuple[Style, ...] = get_args(Style)


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn image; `scale` is picture pixels per image pixel, and the caption says how to convert."""

    image: Image.Image
    caption: str
    scale: float


@dataclass(frozen=True, slots=True)
class Mark:
    """One mask to draw."""

    label: str
    """"m7", or "m2=m7" for one object found twice."""
    rle: Rle
    box: Box
    dashed: bool = False
    """Drawn dashed: a near miss, below the threshold."""
