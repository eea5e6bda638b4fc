"""An image with its masks as a page for the browser."""

from collections.abc import Sequence
from typing import Any

from sam3_agent.render import viewer_page
from sam3_agent.tools.presentation import instance_data
from sam3_agent.workspace import Workspace

LONGEST = 2048
"""Pixels of the longer side of the picture in the page."""


def viewer_of(workspace: Workspace, image_id: str, mask_ids: Sequence[str]) -> str:
    """One HTML document that needs nothing else: the picture, the masks with their facts, a threshold to move.

    Raises:
        UnknownHandle: no such image or mask.
    """
    picture = workspace.look(image_id, style="plain", longest=LONGEST)
    known = zip((workspace.instance(m) for m in mask_ids), workspace.facts(mask_ids), strict=True)
    documents: list[dict[str, Any]] = [
        instance_data(instance, facts) | {"mask": instance.rle.to_json()} for instance, facts in known
    ]
    return viewer_page(picture, documents)
