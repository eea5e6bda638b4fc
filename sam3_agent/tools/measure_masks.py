"""Tool that measures masks."""

from typing import Annotated, Any

from pydantic import Field

from sam3_agent.tools.arguments import ImageId, MaskIds
from sam3_agent.tools.presentation import Presentation, instance_data
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.workspace import Measurement, MeasurementTable, OrderBy, Workspace


def measure_masks(
    workspace: Workspace,
    image_id: ImageId,
    mask_ids: MaskIds = (),
    order_by: Annotated[
        OrderBy,
        Field(description="What comes first: 'left' is leftmost first."),
    ] = "left",
) -> MeasurementTable:
    """Compare masks by exact geometry: ranks among those of one phrase, what is inside what, nearest neighbors.

    Without mask_ids it takes all found masks, no near misses. Left, right, above, below and nearest go by the centers
    of boxes; inside = at least 90 % lies in the other mask or its hole.
    """
    return workspace.measure(image_id, mask_ids, order_by)


def present(_: Workspace, table: MeasurementTable) -> Presentation:
    """Tell one line a mask; what segmenting has told is not repeated, and the rules stand in the data."""
    kinds = {row.facts.phrase for row in table.rows}
    among = " among masks of the same phrase" if len(kinds) > 1 else ""
    lines = [f"{len(table.rows)} masks of {table.image_id}, ordered by {table.order_by}; ranks{among}:"]
    lines += [_line(row) for row in table.rows]
    if not table.rows:
        lines.append("  none; segment something first, or name near misses by mask_ids")
    lines += [f"doubt: {line}" for line in table.doubts]
    rows = [_data(row) for row in table.rows]
    data: dict[str, Any] = {
        "image_id": table.image_id,
        "order_by": table.order_by,
        "masks": rows,
        "rules": table.rules,
        "doubts": list(table.doubts),
    }
    return Presentation("\n".join(lines), data)


def _line(row: Measurement) -> str:
    ranks, nearest = row.ranks, row.nearest
    box = ", ".join(f"{v:.0f}" for v in row.instance.box)
    parts = [
        f"  {row.instance.id} '{row.facts.phrase}' box [{box}]; {row.facts.area} px",
        f"{ranks.left_to_right} from the left, {ranks.top_to_bottom} from the top, {ranks.largest_first} by size",
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
