"""Tool that measures masks."""

from typing import Annotated, Any

from pydantic import Field

from sam3_agent.tools.arguments import ImageId, MaskIds
from sam3_agent.tools.presentation import Presentation, instance_data, instance_line
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.workspace import Measurement, MeasurementTable, OrderBy, Workspace


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


def present(_: Workspace, table: MeasurementTable) -> Presentation:
    """Tell one line a mask, and the rules."""
    lines = [f"{len(table.rows)} masks of {table.image_id}, ordered by {table.order_by}:"]
    lines += [_line(row) for row in table.rows]
    if not table.rows:
        lines.append("  none; segment something first, or name near misses by mask_ids")
    lines += ["rules:"] + [f"  {name}: {rule}" for name, rule in table.rules.items()]
    rows = [_data(row) for row in table.rows]
    data = {"image_id": table.image_id, "order_by": table.order_by, "masks": rows, "rules": table.rules}
    return Presentation("\n".join(lines), data)


def _line(row: Measurement) -> str:
    ranks, nearest = row.ranks, row.nearest
    parts = [
        f"  {instance_line(row.instance, row.facts)}",
        f"rank {ranks.left_to_right} from the left, {ranks.top_to_bottom} from the top, {ranks.largest_first} by size",
    ]
    parts += [f"contains {', '.join(row.contains)}"] if row.contains else []
    parts += [f"inside {', '.join(row.inside)}"] if row.inside else []
    parts += [f"nearest {nearest.id} at {nearest.distance:.0f} px"] if nearest is not None else []
    return "; ".join(parts)


def _data(row: Measurement) -> dict[str, Any]:
    ranks, nearest = row.ranks, row.nearest
    return instance_data(row.instance, row.facts) | {
        "ranks": {
            "left_to_right": ranks.left_to_right,
            "top_to_bottom": ranks.top_to_bottom,
            "largest_first": ranks.largest_first,
        },
        "contains": list(row.contains),
        "inside": list(row.inside),
        "nearest": {"id": nearest.id, "distance": round(nearest.distance, 1)} if nearest is not None else {},
    }


MEASURE_MASKS = ToolSpec.of(measure_masks, present)
