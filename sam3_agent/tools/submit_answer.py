"""Tool that ends a run with an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from sam3_agent.errors import InputError
from sam3_agent.tools.arguments import MOST_MASKS, MaskId, Reason
from sam3_agent.tools.presentation import Presentation, percent
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.types import Instance
from sam3_agent.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Submission:
    """Final answer of a run."""

    image_id: str
    instances: tuple[Instance, ...]
    reason: str


def submit_answer(
    workspace: Workspace,
    mask_ids: Annotated[
        Sequence[MaskId],
        Field(max_length=MOST_MASKS, description="All masks that answer the query, and no other."),
    ],
    reason: Reason = "",
) -> Submission:
    """End the run: these masks are what the query means."""
    ids = list(dict.fromkeys(mask_ids))
    if not ids:
        raise InputError("mask_ids is empty; give the masks that answer the query, or call report_no_match")
    images = list(dict.fromkeys(workspace.image_of(mask_id) for mask_id in ids))
    if len(images) > 1:
        raise InputError(f"the masks lie on several images ({', '.join(images)}); an answer is about one image")
    return Submission(images[0], tuple(workspace.instance(mask_id) for mask_id in ids), reason)


def present(workspace: Workspace, result: Submission) -> Presentation:
    """Echo ids, areas and a picture."""
    ids = [instance.id for instance in result.instances]
    areas = [instance.area for instance in result.instances]
    image = workspace.image(result.image_id)
    size = image.width * image.height
    parts = ", ".join(f"{i} ({area} px, {percent(area / size)})" for i, area in zip(ids, areas, strict=True))
    picture = workspace.look(result.image_id, ids)
    text = f"Answer submitted: {parts}. Reason: {result.reason or 'none given'}\npicture: {picture.caption}"
    data = {"outcome": "answered", "mask_ids": ids, "areas": areas, "reason": result.reason}
    return Presentation(text, data, (picture,))


SUBMIT_ANSWER = ToolSpec.of(submit_answer, present, has_picture=True)
