"""The tool that segments one object by clicks or a box."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from sam3_agent.errors import InputError
from sam3_agent.tools.arguments import ImageId, Region, box_of, region_of
from sam3_agent.tools.results import SegmentedAt
from sam3_agent.workspace import Workspace


def segment_at(
    workspace: Workspace,
    image_id: ImageId,
    points: Annotated[
        Sequence[Sequence[float]],
        Field(description="Points as [[x, y], ...] in pixels of the whole image, best deep inside the object."),
    ] = (),
    labels: Annotated[
        Sequence[int],
        Field(description="One number a point: 1 on the object, 0 on what must not belong to it; [] if all are 1."),
    ] = (),
    box: Annotated[
        Sequence[float], Field(description="Box around the object as [x0, y0, x1, y1] in pixels; [] for none.")
    ] = (),
    mask_id: Annotated[str, Field(description="A mask to refine, such as 'm3'; '' for none.")] = "",
    region: Region = (),
) -> SegmentedAt:
    """Segment exactly one object by pointing at it: a click, a few clicks, a tight box, or a mask to correct.

    Use it when no phrase names the thing, when you can see where it is, or to mend a mask: give its mask_id with a
    point on what is missing (label 1) or on what is too much (label 0). A tight box is surer than one click. A click
    may mean a part or the whole, so the best reading comes with up to two others as near misses; their ids are as good.
    The score is the overlap (IoU) that the model expects of its own mask. For all objects of a kind use
    segment_concepts.
    """
    bad = next((label for label in labels if label not in (0, 1)), None)
    if bad is not None:
        raise InputError(f"labels are 1 (on the object) or 0 (not on it), got {bad}")
    found = workspace.segment_at(
        image_id,
        points=[_point_of(point) for point in points],
        labels=[bool(label) for label in labels],
        box=box_of(box, "box") if box else None,
        mask_id=mask_id.strip() or None,
        region=region_of(region),
    )
    return SegmentedAt(found, region_of(region))


def _point_of(values: Sequence[float]) -> tuple[float, float]:
    if len(values) != 2:
        raise InputError(f"each of points needs two numbers [x, y] in pixels, got {list(values)}")
    return (values[0], values[1])
