"""Regions of Label Studio, whose coordinates are percent of the image."""

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.label_studio import brush_rle
from sam3_agent.formats.polygons_reduced import outline_of
from sam3_agent.labeling.label_studio.labeling_config import ConfigLabel, Control
from sam3_agent.masks import Box
from sam3_agent.types import Instance, Point

Size = tuple[int, int]
"""(height, width) of the image in pixels."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Point or box that a person has drawn."""

    control: str
    """Name of the control it was drawn with."""
    value: str
    """Label it was given; "" for none."""
    positive: bool
    point: Point | None = None
    """(x, y) pixels."""
    box: Box | None = None
    """xyxy pixels."""


def read_drawn(region: Mapping[str, Any], size: Size) -> Drawn | None:
    """Read a region of points or boxes; None for any other, such as a mask.

    Raises:
        InputError: a coordinate is missing or no number.
    """
    value: object = region.get("value")
    kind = region.get("type")
    if not isinstance(value, dict) or kind not in ("keypointlabels", "rectanglelabels", "keypoint", "rectangle"):
        return None
    known = cast(dict[str, Any], value)
    named: object = known.get(str(kind))
    label = str(cast(list[object], named)[0]) if isinstance(named, list) and named else ""
    marked = known.get("is_positive", region.get("is_positive", True))  # newer versions tell it beside the value
    name, positive = str(region.get("from_name", "")), bool(marked)
    if str(kind).startswith("keypoint"):
        return Drawn(name, label, positive, point=_point(known, size))
    return Drawn(name, label, positive, box=_box(known, size))


def regions_of(
    instances: Sequence[Instance], control: Control, label: ConfigLabel, size: Size, tolerance: float
) -> list[dict[str, Any]]:
    """Give the regions of instances as a control wants them; a polygon for each part of a mask.

    `tolerance` is in pixels: polygons are for people who edit them.
    """
    found: list[dict[str, Any]] = []
    for instance in instances:
        for value in _values(instance, control, size, tolerance):
            found.append(
                {
                    "id": uuid.uuid4().hex[:10],  # beside regions of earlier calls in one annotation
                    "from_name": control.name,
                    "to_name": control.to_name,
                    "type": f"{control.kind}labels",
                    "original_width": size[1],
                    "original_height": size[0],
                    "image_rotation": 0,
                    "score": round(instance.score, 4),
                    "value": {**value, f"{control.kind}labels": [label.value]},
                }
            )
    return found


def _values(instance: Instance, control: Control, size: Size, tolerance: float) -> list[dict[str, Any]]:
    if control.kind == "brush":
        return [{"format": "rle", "rle": brush_rle(masks.decode(instance.rle))}]
    if control.kind == "polygon":
        scale = (100 / size[1], 100 / size[0])
        rings = outline_of(instance.rle, tolerance).rings
        return [{"points": [[x * scale[0], y * scale[1]] for x, y in ring.tolist()], "closed": True} for ring in rings]
    x0, y0, x1, y1 = masks.box(instance.rle)
    across, down = 100 / size[1], 100 / size[0]
    box = {"x": x0 * across, "y": y0 * down, "width": (x1 - x0) * across, "height": (y1 - y0) * down}
    return [{**box, "rotation": 0}]


def _point(value: Mapping[str, Any], size: Size) -> Point:
    x, y = _number(value, "x") / 100 * size[1], _number(value, "y") / 100 * size[0]
    return min(max(x, 0.0), size[1] - 1.0), min(max(y, 0.0), size[0] - 1.0)


def _box(value: Mapping[str, Any], size: Size) -> Box:
    """The upright box around a rectangle, which is turned about its upper left corner, on the image."""
    x, y = _number(value, "x") / 100 * size[1], _number(value, "y") / 100 * size[0]
    width, height = _number(value, "width") / 100 * size[1], _number(value, "height") / 100 * size[0]
    turn = math.radians(_number(value, "rotation") if "rotation" in value else 0.0)
    corners = [(a, b) for a in (0.0, width) for b in (0.0, height)]
    xs = [x + a * math.cos(turn) - b * math.sin(turn) for a, b in corners]
    ys = [y + a * math.sin(turn) + b * math.cos(turn) for a, b in corners]
    x0, x1 = max(min(xs), 0.0), min(max(xs), float(size[1]))
    y0, y1 = max(min(ys), 0.0), min(max(ys), float(size[0]))
    if x1 - x0 < 1 or y1 - y0 < 1:
        raise InputError("the box covers no pixel of the image; draw a larger one")
    return x0, y0, x1, y1


def _number(value: Mapping[str, Any], key: str) -> float:
    number: object = value.get(key)
    if not isinstance(number, int | float) or isinstance(number, bool) or not math.isfinite(number):
        raise InputError(f"the region's {key!r} is {number!r:.40}, no number of percent")
    return float(number)
