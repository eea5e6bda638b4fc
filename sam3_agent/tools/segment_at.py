"""Tool that segments one object by clicks or a box."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Box
from sam3_agent.tools.arguments import (
    MOST_POINTS,
    BoxNumbers,
    ImageId,
    MaskId,
    PointNumbers,
    Region,
    box_of,
    coordinate_hints,
    point_of,
    refuse_outside,
    region_of,
)
from sam3_agent.tools.presentation import (
    Presentation,
    facts_by_id,
    instance_data,
    instance_line,
    marked_picture,
    picture_line,
)
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.types import ClickSegmentation
from sam3_agent.workspace import Workspace

_ONE_THING = 0.7
"""Readings that overlap less are told: of 60 clicks into the middle of drawn objects that flags both failures of the
tiny model (IoU < .6) and 7 % of the rest; .5 flags one of the two.
"""
_DOUBTFUL = 0.7
"""An expected IoU below this is worth a correction: SAM's own automatic masks are kept from .7 on, too."""


@dataclass(frozen=True, slots=True)
class SegmentedAt:
    """Answer to clicks on one object."""

    result: ClickSegmentation
    region: Box | None = None


def segment_at(
    workspace: Workspace,
    image_id: ImageId,
    points: Annotated[
        Sequence[PointNumbers],
        Field(max_length=MOST_POINTS, description="[[x, y], ...] in pixels, deep inside the object."),
    ] = (),
    labels: Annotated[
        Sequence[int],
        Field(max_length=MOST_POINTS, description="1 (on it) or 0 (off it) a point; [] if all are 1."),
    ] = (),
    box: Annotated[BoxNumbers, Field(description="[x0, y0, x1, y1] around it.")] = (),
    mask_id: Annotated[MaskId, Field(description="Mask to refine, or ''.")] = "",
    region: Region = (),
) -> SegmentedAt:
    """Segment exactly one object by pointing at it: a click, a few clicks, a tight box, or a mask to correct.

    For what no phrase gets, or to mend a mask: mask_id and a point on what is missing (label 1) or too much (0). A
    tight box is surer than a click. Other readings come as near misses; the score is the expected IoU.
    """
    bad = next((label for label in labels if label not in (0, 1)), None)
    if bad is not None:
        raise InputError(f"labels are 1 (on the object) or 0 (not on it), got {bad}")
    part, around = region_of(region), box_of(box, "box") if box else None
    clicks = [point_of(point) for point in points]
    refuse_outside(workspace.image(image_id), [part, around], clicks)
    found = workspace.segment_at(
        image_id,
        points=clicks,
        labels=[bool(label) for label in labels],
        box=around,
        mask_id=mask_id or None,
        region=part,
    )
    return SegmentedAt(found, part)


def present(workspace: Workspace, result: SegmentedAt) -> Presentation:
    """Tell the best mask, other readings of the same clicks, and what to try."""
    found = result.result
    shown = [*found.instances, *found.near_misses]
    facts = facts_by_id(workspace, shown)
    picture = marked_picture(workspace, found.image_id, result.region, shown)
    boxes = coordinate_hints(workspace.image(found.image_id), [found.prompt.box, result.region])
    doubts = disagreement(found)
    asked, hints = _asked(found), [*_hints(found), *([doubts] if doubts else []), *boxes]
    lines = [f"{asked} ({found.id}): {len(found.instances)} found; scores are the overlap (IoU) expected"]
    lines += [f"  {instance_line(instance, facts[instance.id], named=False)}" for instance in found.instances]
    if found.near_misses:
        lines.append(f"  other readings of the same {_pointers(found)} ({len(found.near_misses)}):")
        lines += [f"    {instance_line(miss, facts[miss.id], named=False)}" for miss in found.near_misses]
    lines += [f"hint: {line}" for line in hints] + [picture_line(found.image_id, picture.caption)]
    data = {
        "image_id": found.image_id,
        "segmentation_id": found.id,
        "asked": asked,
        "instances": [instance_data(instance, facts[instance.id]) for instance in found.instances],
        "near_misses": [instance_data(instance, facts[instance.id]) for instance in found.near_misses],
        "hints": hints,
    }
    return Presentation("\n".join(lines), data, (picture,))


def _asked(found: ClickSegmentation) -> str:
    """Say what was pointed at: "on (40, 60), not on (90, 20), in box [0, 0, 80, 80], from a mask"."""
    prompt = found.prompt
    parts = [
        f"{'on' if label else 'not on'} ({x:g}, {y:g})"
        for (x, y), label in zip(prompt.points, prompt.labels, strict=True)
    ]
    parts += [f"in box [{', '.join(f'{v:g}' for v in prompt.box)}]"] if prompt.box is not None else []
    parts += ["from a mask"] if prompt.mask is not None else []
    return ", ".join(parts)


def _pointers(found: ClickSegmentation) -> str:
    """Name what was pointed with: "clicks", "box", "mask", "clicks and box"."""
    prompt = found.prompt
    names = [*(["clicks"] if prompt.points else []), *(["box"] if prompt.box is not None else [])]
    return " and ".join(names) or "mask"


def disagreement(found: ClickSegmentation) -> str:
    """Say that the readings of the clicks are different things, and how to choose; "" where they agree."""
    if not found.instances or not found.near_misses:
        return ""
    best = found.instances[0]
    overlaps = masks.iou([best.rle], [miss.rle for miss in found.near_misses])[0]  # (other readings,)
    others = [f"{m.id} {iou:.2f}" for m, iou in zip(found.near_misses, overlaps, strict=True) if iou < _ONE_THING]
    if not others:
        return ""
    return (
        f"the readings disagree: overlap (IoU) with {best.id} is {', '.join(others)}. {best.id} may be a part of what"
        " you mean, or more than it; look at all, take the one that fits by its id, or add a point or a tight box"
    )


def _hints(result: ClickSegmentation) -> list[str]:
    """Say what to try where clicks gave nothing, or a mask that the model itself doubts."""
    if not result.instances:
        return ["no mask came of it. Put a point deeper inside the object, or draw a tight box around it"]
    best = result.instances[0]
    if best.score >= _DOUBTFUL:
        return []
    return [
        f"the model doubts {best.id}. Look at it; add a point (label 1 or 0) with mask_id {best.id}, or give a"
        f" tight box"
    ]


SEGMENT_AT = ToolSpec.of(segment_at, present, makes="masks", has_picture=True, shows_masks=True)
