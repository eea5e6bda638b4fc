"""The tool that measures masks."""

from typing import Annotated

from pydantic import Field

from sam3_agent.tools.arguments import ImageId, MaskIds
from sam3_agent.workspace import MeasurementTable, OrderBy, Workspace


def measure_masks(
    workspace: Workspace,
    image_id: ImageId,
    mask_ids: MaskIds = (),
    order_by: Annotated[
        OrderBy,
        Field(description="left: leftmost first; right: rightmost first; top, bottom, largest, smallest, score."),
    ] = "left",
) -> MeasurementTable:
    """Compare masks by exact geometry: order, ranks, size, what is inside what, nearest neighbors.

    Use it for every "leftmost", "second from the top", "largest", "left of", "inside", "closest to": it is exact where
    looking at a picture is not. Without mask_ids it measures all found masks of the image, not the near misses.
    Rules: right of = its center lies right of the other's center; inside = at least 90 % of it lies in the other mask
    or in its hole; nearest = smallest distance between centers.
    """
    return workspace.measure(image_id, mask_ids, order_by)
