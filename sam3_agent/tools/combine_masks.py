"""Tool that makes one mask out of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from sam3_agent.errors import InputError
from sam3_agent.masks import Box
from sam3_agent.tools.arguments import MOST_MASKS, MaskId
from sam3_agent.tools.presentation import Presentation, instance_data, instance_line, picture_line
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.types import Instance
from sam3_agent.workspace import OpenImage, Operation, Workspace

_CLEANING: tuple[Operation, ...] = ("main_part", "in_box")
_LONGEST = 384
"""Longest side of the picture: it shows the edges of the new masks, whose surroundings were seen before."""
_MARGIN, _LEAST_MARGIN = 0.25, 16
"""Around the new masks the picture shows this share of their extent, and at least so many pixels."""


@dataclass(frozen=True, slots=True)
class Combined:
    """Masks made of others: one of all sources, or where each was cleaned one of each, in their order."""

    operation: Operation
    sources: tuple[str, ...]
    image_id: str
    instances: tuple[Instance, ...]
    region: Box
    """Part of the image around the new masks."""
    failures: tuple[str, ...] = ()
    """Of each source of which nothing was left, why."""


def combine_masks(
    workspace: Workspace,
    mask_ids: Annotated[
        Sequence[MaskId],
        Field(max_length=MOST_MASKS, description="Mask ids of one image; 'subtract' takes the others from the first."),
    ],
    operation: Annotated[
        Operation,
        Field(description="main_part, in_box: of EACH mask, its largest part or what lies in its box."),
    ],
) -> Combined:
    """Make a new mask: parts of one thing united, an overlap, a thing without a part, or a mask without its strays.

    The old masks stay. Several masks are cleaned in one call.
    """
    ids = list(dict.fromkeys(mask_ids))
    if operation not in _CLEANING or len(ids) < 2:
        made, failures = [workspace.combine(ids, operation)], []
    else:
        made, failures = _cleaned(workspace, ids, operation)
    image = workspace.image(workspace.image_of(made[0].id))
    return Combined(operation, tuple(ids), image.id, tuple(made), _around(made, image), tuple(failures))


def _cleaned(workspace: Workspace, ids: Sequence[str], operation: Operation) -> tuple[list[Instance], list[str]]:
    """A new mask of each, and why there is none of some.

    Raises:
        InputError: the masks lie on several images, or nothing is left of any.
    """
    images = list(dict.fromkeys(workspace.image_of(mask_id) for mask_id in ids))
    if len(images) > 1:
        raise InputError(f"the masks lie on several images ({', '.join(images)}); clean those of one image in a call")
    made: list[Instance] = []
    failures: list[str] = []
    for mask_id in ids:
        try:
            made.append(workspace.combine([mask_id], operation))
        except InputError as error:
            failures.append(str(error))
    if not made:
        raise InputError("; ".join(failures))
    return made, failures


def _around(made: Sequence[Instance], image: OpenImage) -> Box:
    """The box of all masks with a margin, within the image."""
    boxes = [instance.box for instance in made]
    x0, y0, x1, y1 = (pick(side) for pick, side in zip((min, min, max, max), zip(*boxes, strict=True), strict=True))
    margin = max(_MARGIN * max(x1 - x0, y1 - y0), _LEAST_MARGIN)
    return (max(x0 - margin, 0), max(y0 - margin, 0), min(x1 + margin, image.width), min(y1 + margin, image.height))


def present(workspace: Workspace, result: Combined) -> Presentation:
    """Tell the new masks with their facts and a small picture of the part where they are."""
    ids = [instance.id for instance in result.instances]
    image_id = result.image_id
    facts = workspace.facts(ids)
    picture = workspace.look(image_id, ids, result.region, longest=_LONGEST)
    number = "new mask" if len(ids) == 1 else f"{len(ids)} new masks"
    lines = [f"{number} on {image_id}, {result.operation} of {', '.join(result.sources)}:"]
    lines += [f"  {instance_line(one, each)}" for one, each in zip(result.instances, facts, strict=True)]
    lines += [f"  no mask: {failure}" for failure in result.failures]
    made = [instance_data(one, each) for one, each in zip(result.instances, facts, strict=True)]
    data: dict[str, Any] = {
        "image_id": image_id,
        "operation": result.operation,
        "sources": list(result.sources),
        "mask": made[0],
    }
    if len(result.sources) > 1 and result.operation in _CLEANING:
        data |= {"masks": made, "failures": list(result.failures)}
    return Presentation("\n".join([*lines, picture_line(image_id, picture.caption)]), data, (picture,))


COMBINE_MASKS = ToolSpec.of(combine_masks, present, makes="masks", idempotent=False, has_picture=True, shows_masks=True)
