"""Responses of language models in lmms-eval, which is given and keeps texts: masks as JSON."""

import json
from typing import Any, cast

EMPTY: dict[str, Any] = {"masks": [], "scores": []}


def masks_in(text: str) -> dict[str, Any] | None:
    """Give the "masks" and "scores" of a response; None where it holds none.

    A response is JSON as lmms-eval's SA-Co task wants it (lmms_eval/tasks/saco/utils.py), {"masks": [RLE, ...],
    "scores"?} or a list of RLEs, alone or in a fence. Any other response counts as empty there.
    """
    inside = text.partition("```json")[2].partition("```")[0] or text
    try:
        value: Any = json.loads(inside)
    except (ValueError, RecursionError):
        return None
    document: dict[str, Any] = cast(dict[str, Any], value) if isinstance(value, dict) else {"masks": value}
    found: Any = document.get("masks")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in cast(list[Any], found)):
        return None
    given: Any = document.get("scores")
    matching = isinstance(given, list) and len(cast(list[Any], given)) == len(cast(list[Any], found))
    return {"masks": found, "scores": given if matching else [1.0] * len(cast(list[Any], found))}
