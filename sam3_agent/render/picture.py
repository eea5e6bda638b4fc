"""A picture for a reader: an image with the words that keep it honest."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from PIL import Image

from sam3_agent.masks import Box, Rle

Style = Literal["marks", "outline", "fill", "cutout", "contact_sheet", "plain"]
STYLES: tuple[Style, ...] = get_args(Style)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image to show; `scale` is picture pixels per image pixel, and the caption says how to convert.

    It is drawn when `image` is first asked for: whoever reads only words pays for no pictures.
    """

    draw: Callable[[], Image.Image]
    caption: str
    scale: float
    size: tuple[int, int]
    """Width and height of what `draw` returns."""

    @classmethod
    def of(cls, image: Image.Image, caption: str, scale: float = 1.0) -> "Picture":
        """A picture that is drawn already."""
        return cls(lambda: image, caption, scale, image.size)

    @cached_property
    def image(self) -> Image.Image:
        """The drawing, the same object every time."""
        return self.draw()


@dataclass(frozen=True, slots=True)
class Mark:
    """One mask to draw."""

    label: str
    """"m7", or "m2=m7" for one object found twice."""
    rle: Rle
    box: Box
    dashed: bool = False
    """Drawn dashed: a near miss, below the threshold."""
