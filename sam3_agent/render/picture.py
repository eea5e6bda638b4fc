"""A picture for a reader: an image with the words that keep it honest."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from PIL import Image

from sam3_agent import masks
from sam3_agent.masks import Box, Rle

Style = Literal["marks", "outline", "fill", "cutout", "contact_sheet", "grid", "plain"]
STYLES: tuple[Style, ...] = get_args(Style)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image to show; `scale` is picture pixels per image pixel, and the caption says how to convert.

    It may be drawn only when `image` is first asked for: whoever reads only words pays for no pictures.
    """

    drawing: Image.Image | Callable[[], Image.Image]
    """The image, or what draws it."""
    caption: str
    scale: float
    known_size: tuple[int, int] | None = None
    """Of what is not drawn yet, (width, height)."""

    def __repr__(self) -> str:
        width, height = self.size
        return f"Picture({width}x{height}, scale={self.scale:.3g}, {self.caption[:80]!r})"

    def _repr_png_(self) -> bytes:
        """Show it in a notebook."""
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG")
        return buffer.getvalue()

    @cached_property
    def image(self) -> Image.Image:
        """The image, the same object every time."""
        return self.drawing if isinstance(self.drawing, Image.Image) else self.drawing()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image; where they were given, without drawing it."""
        return self.known_size or self.image.size


@dataclass(frozen=True, slots=True)
class Mark:
    """One mask to draw."""

    label: str
    """"m7", or "m2=m7" for one object found twice."""
    rle: Rle
    box: Box
    dashed: bool = False
    """Drawn dashed: a near miss, below the threshold."""
    faint: bool = False
    """Drawn by a thin line without a label: found earlier, not what the picture is about."""

    @property
    def main_box(self) -> Box:
        """Tight xyxy box of the largest part of the mask within its box: a mask may leak onto something larger.

        Of the largest part of all where nothing lies in the box.
        """
        parts = masks.parts_of(self.rle)
        x0, y0, x1, y1 = self.box
        left, top, right, bottom = parts.main_box
        if len(parts.areas) < 2 or (left >= x0 - 1 and top >= y0 - 1 and right <= x1 + 1 and bottom <= y1 + 1):
            return parts.main_box
        window = (math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1))
        inside = masks.area_in(self.rle, window) > 0
        return masks.parts_of(masks.clipped(self.rle, window)).main_box if inside else parts.main_box
