"""The nouns of clicks: one object by points, a box, or a mask to refine."""

import math
from dataclasses import dataclass

from sam3_agent.errors import InputError
from sam3_agent.masks import Box, Rle
from sam3_agent.types import Instance, check_box

Point = tuple[float, float]
"""(x, y) pixels of the original."""


@dataclass(frozen=True, slots=True)
class ClickPrompt:
    """Which one object: points on it or beside it, a box around it, a mask of it to refine, or several of these."""

    points: tuple[Point, ...] = ()
    labels: tuple[bool, ...] = ()
    """True where a point belongs to the object; left empty, all do."""
    box: Box | None = None
    mask: Rle | None = None

    def __post_init__(self) -> None:
        if not self.points and self.box is None and self.mask is None:
            raise InputError("nothing says which object: give a point on it, a box around it, or a mask to refine")
        if not self.labels:
            object.__setattr__(self, "labels", (True,) * len(self.points))
        if len(self.labels) != len(self.points):
            raise InputError(
                f"each point needs one label (1 on the object, 0 beside it): {len(self.points)} points,"
                f" {len(self.labels)} labels"
            )
        for point in self.points:
            if len(point) != 2 or not all(math.isfinite(v) for v in point):
                raise InputError(f"a point is two finite numbers x,y in pixels, got {list(point)}")
        if self.box is not None:
            check_box(self.box)

    @property
    def label(self) -> str:
        """What it is made of, in words: "click", "box + 2 clicks", "mask + click"."""
        count = len(self.points)
        clicks = [] if not count else ["click" if count == 1 else f"{count} clicks"]
        return " + ".join((["mask"] if self.mask else []) + (["box"] if self.box else []) + clicks)


@dataclass(frozen=True, slots=True)
class ClickedMask:
    """One answer to a click prompt before it gets an id."""

    rle: Rle
    box: Box
    """Tight."""
    predicted_iou: float
    """What the eye expects of its own mask, 0-1."""


@dataclass(frozen=True, slots=True)
class ClickSegmentation:
    """The answer to one click prompt on one image: the scores are the IoU that the eye expects of each mask."""

    id: str
    image_id: str
    prompt: ClickPrompt
    instances: tuple[Instance, ...]
    """The best mask; empty where no candidate had a pixel."""
    near_misses: tuple[Instance, ...] = ()
    """Other readings of the same clicks (a part, the whole), best first; their ids are as good as any other."""


def check_points(points: tuple[Point, ...], width: int, height: int) -> None:
    """Raise InputError unless every point lies in the image; its border belongs to it."""
    for x, y in points:
        if not (0 <= x <= width and 0 <= y <= height):
            raise InputError(f"point {[x, y]} lies outside the {width}x{height} image")
