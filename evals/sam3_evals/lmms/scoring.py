"""Scoring inside lmms-eval: what the `utils.py` of an exported task calls; figures are those of `sam3-eval score`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from sam3_agent.errors import InputError
from sam3_evals.lmms.response import EMPTY, masks_in
from sam3_evals.metrics import METRICS
from sam3_evals.sample import Case
from sam3_evals.score import score_case
from sam3_evals.solvers.function import prediction_of

FIGURES: Mapping[str, tuple[str, str]] = {
    "giou": ("lisa", "giou"),
    "ciou": ("lisa", "ciou"),
    "n_acc": ("gres", "n_acc"),
    "cgf1": ("instances", "cgf1"),
    "il_mcc": ("instances", "il_mcc"),
    "positive_micro_f1": ("instances", "positive_micro_f1"),
}
"""Name in lmms-eval -> metric and figure here."""
_METRICS = {metric.name: metric for metric in METRICS}
Document = Mapping[str, Any]
"""Row of the task's data."""


def doc_to_visual(folder: Path, document: Document) -> list[Image.Image]:
    """Open the image of a row; `folder` is the task's."""
    with Image.open(folder / str(document["image"])) as picture:
        return [picture.convert("RGB")]


def doc_to_text(document: Document, options: Mapping[str, str] | None = None) -> str:
    """Give the question, between what `lmms_eval_specific_kwargs` put around it."""
    given = options or {}
    return f"{given.get('pre_prompt', '')}{document['query']}{given.get('post_prompt', '')}"


def doc_to_target(document: Document) -> str:
    """Give the true masks, as a response would."""
    case = case_of(document)
    return json.dumps({"masks": [rle.to_json() for rle in case.targets]})


def process_results(document: Document, results: Sequence[str]) -> dict[str, list[float]]:
    """Score the first response: for each figure what the row adds to its sums.

    A response without masks, or with masks of another size, is empty, as in lmms-eval's SA-Co task.
    """
    case = case_of(document)
    answer = masks_in(results[0] if results else "") or EMPTY
    try:
        prediction = prediction_of(case, answer, 0.0)
    except (InputError, ValueError, TypeError):
        prediction = prediction_of(case, EMPTY, 0.0)
    scored = score_case(case, prediction)
    return {name: _METRICS[metric].row(scored) for name, (metric, _) in FIGURES.items()}


def aggregate(name: str, rows: Sequence[Sequence[float]]) -> float:
    """Give a figure, x 100, of what all rows add; NaN where it has no basis."""
    metric, figure = FIGURES[name]
    return 100 * float(_METRICS[metric].figures(np.sum(np.asarray(rows, dtype=np.float64), axis=0))[figure])


def case_of(document: Document) -> Case:
    """Read the case of a row."""
    return Case.from_json(cast(dict[str, Any], json.loads(str(document["case"]))))
