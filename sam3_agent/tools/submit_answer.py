"""The tool that ends a run with an answer."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from sam3_agent.errors import InputError
from sam3_agent.tools.arguments import Reason
from sam3_agent.tools.results import Submission
from sam3_agent.workspace import Workspace


def submit_answer(
    workspace: Workspace,
    mask_ids: Annotated[
        Sequence[str],
        Field(description="The masks that answer the query: all of them, and nothing else; near misses allowed."),
    ],
    reason: Reason = "",
) -> Submission:
    """End the run: these masks are what the query means.

    Give every instance that fits when the query means several, exactly one when it means one.
    """
    ids = list(dict.fromkeys(mask_ids))
    if not ids:
        raise InputError("mask_ids is empty; give the masks that answer the query, or call report_no_match")
    images = list(dict.fromkeys(workspace.image_of(mask_id) for mask_id in ids))
    if len(images) > 1:
        raise InputError(f"the masks lie on several images ({', '.join(images)}); an answer is about one image")
    return Submission(images[0], tuple(workspace.instance(mask_id) for mask_id in ids), reason)
