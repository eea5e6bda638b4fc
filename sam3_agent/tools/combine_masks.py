"""The tool that combines masks."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from sam3_agent.tools.results import Combined
from sam3_agent.workspace import Operation, Workspace


def combine_masks(
    workspace: Workspace,
    mask_ids: Annotated[
        Sequence[str],
        Field(description="At least two mask ids of one image; for 'subtract' the first is what remains."),
    ],
    operation: Annotated[
        Operation,
        Field(description="union: pixels of any; intersect: pixels of all; subtract: the first without all others."),
    ],
) -> Combined:
    """Make one new mask out of several: parts of one thing, an overlap, or a thing without a part.

    Several separate objects need no union: submit or measure their ids together. The old masks stay as they are.
    """
    return Combined(operation, tuple(mask_ids), workspace.combine(mask_ids, operation))
