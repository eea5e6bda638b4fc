"""Tool that makes one mask out of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from sam3_agent.tools.arguments import MOST_MASKS, MaskId
from sam3_agent.tools.presentation import FEW_LONGEST, Presentation, instance_data, instance_line
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.types import Instance
from sam3_agent.workspace import Operation, Workspace


@dataclass(frozen=True, slots=True)
class Combined:
    """Mask made of others."""

    operation: Operation
    sources: tuple[str, ...]
    instance: Instance


def combine_masks(
    workspace: Workspace,
    mask_ids: Annotated[
        Sequence[MaskId],
        Field(max_length=MOST_MASKS, description="Mask ids of one image; 'subtract' takes the others from the first."),
    ],
    operation: Annotated[
        Operation,
        Field(description="main_part, in_box: of ONE mask, its largest part or what lies in its box."),
    ],
) -> Combined:
    """Make one new mask: parts of one thing united, an overlap, a thing without a part, or a mask without its strays.

    The old masks stay.
    """
    return Combined(operation, tuple(mask_ids), workspace.combine(mask_ids, operation))


def present(workspace: Workspace, result: Combined) -> Presentation:
    """Tell the new mask with its facts and a picture of it."""
    instance = result.instance
    image_id = workspace.image_of(instance.id)
    facts = workspace.facts([instance.id])[0]
    picture = workspace.look(image_id, [instance.id], longest=FEW_LONGEST)
    text = (
        f"new mask on {image_id}, {result.operation} of {', '.join(result.sources)}:\n"
        f"  {instance_line(instance, facts)}\npicture: {picture.caption}"
    )
    data = {
        "image_id": image_id,
        "operation": result.operation,
        "sources": list(result.sources),
        "mask": instance_data(instance, facts),
    }
    return Presentation(text, data, (picture,))


COMBINE_MASKS = ToolSpec.of(combine_masks, present, makes="masks", idempotent=False, has_picture=True, shows_masks=True)
