"""LabelMe's shapes as polygons: what the points of each shape type mean."""

import math
from collections.abc import Sequence

from sam3_agent.errors import InputError

Points = Sequence[tuple[float, float]]
AREAS = ("polygon", "rectangle", "circle")
"""Shape types that enclose an area by their points alone."""
_CORNERS = 64
"""Of the polygon of a circle: within 0.2 % of its area."""


def outline(shape_type: str | None, points: Points) -> Points:
    """Give the corners of a shape; x, y in pixels.

    A file without shape types, as those before LabelMe 3.5, has polygons.

    Raises:
        InputError: the type encloses no area, or has another number of points.
    """
    kind = shape_type or "polygon"
    if kind == "polygon":
        if len(points) < 3:
            raise InputError(f"a polygon needs 3 points, got {len(points)} (shape_type: polygon)")
        return points
    if kind not in AREAS:
        raise InputError(f"a shape of shape_type {kind!r:.40} encloses no area that can be filled")
    if kind == "rectangle" and len(points) == 4:  # LabelMe 6 writes all corners
        return points
    if len(points) != 2:
        raise InputError(f"a {kind} needs 2 points, got {len(points)} (shape_type: {kind})")
    (x0, y0), (x1, y1) = points
    if kind == "rectangle":
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    radius = math.hypot(x1 - x0, y1 - y0)  # the first point is the center, the second lies on the circle
    angles = [2 * math.pi * number / _CORNERS for number in range(_CORNERS)]
    return [(x0 + radius * math.cos(angle), y0 + radius * math.sin(angle)) for angle in angles]
