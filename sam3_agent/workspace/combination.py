"""Several masks -> one."""

from collections.abc import Sequence
from typing import Literal, get_args

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_agent.types import Instance
from sam3_agent.workspace.mask_store import Finding

Operation = Literal["union", "intersect", "subtract"]


def combined(parts: Sequence[Instance], operation: Operation) -> Finding:
    """Unite or intersect masks, or subtract all others from the first; scores are those of the weakest part.

    Raises:
        InputError: fewer than two masks, an unknown operation, or nothing is left.
    """
    names = ", ".join(part.id for part in parts)
    if len(parts) < 2:
        raise InputError(f"combining needs at least two different mask ids, got {names or 'none'}")
    rle = _merged([part.rle for part in parts], operation)
    if masks.area(rle) == 0:
        raise InputError(f"nothing is left: {operation} of {names} is empty; no mask was made")
    score, object_score = min(part.score for part in parts), min(part.object_score for part in parts)
    return Finding(rle, masks.box(rle), score, object_score)


def _merged(rles: Sequence[Rle], operation: Operation) -> Rle:
    if operation == "union":
        return masks.union(rles)
    if operation == "intersect":
        return masks.intersect(rles)
    if operation == "subtract":
        return masks.subtract(*rles)
    raise InputError(f"operation must be one of {', '.join(get_args(Operation))}; got {operation!r}")
