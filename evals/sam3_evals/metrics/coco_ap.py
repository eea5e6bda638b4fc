"""COCO average precision and recall through pycocotools: the twelve figures of each kind, in its order.

Source: cocodataset.org/#detection-eval; `COCOeval.summarize` of pycocotools. AP belongs to ranked predictions: a solver
that drops everything below a threshold has a lower AP than one that does not.
"""

import contextlib
import io
from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
from pycocotools.coco import COCO  # pyright: ignore[reportMissingTypeStubs]
from pycocotools.cocoeval import COCOeval  # pyright: ignore[reportMissingTypeStubs]

from sam3_evals.resampling import interval

FIGURES = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large",
)  # fmt: skip
"""AP and AR at IoU .50:.05:.95 unless a number says otherwise; AR at 1, 10 and 100 detections an image."""

Kind = Literal["segm", "bbox"]


def coco_ap(truth: dict[str, Any], results: Sequence[dict[str, Any]], kind: Kind) -> dict[str, float | None]:
    """The figures of COCO results against a COCO document; None where there is nothing to find (pycocotools' -1)."""
    with contextlib.redirect_stdout(io.StringIO()):
        return _figures(_evaluated(truth, results, kind))


def coco_ap_intervals(
    truth: dict[str, Any], results: Sequence[dict[str, Any]], kind: Kind, resamples: int = 100
) -> dict[str, tuple[float | None, float | None, float | None]]:
    """(value, low, high) of every figure; intervals from images drawn with replacement."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluated = _evaluated(truth, results, kind)
        found = _figures(evaluated)
        rng = np.random.default_rng(0)
        draws = [_figures(_resampled(evaluated, rng)) for _ in range(resamples)]
    intervals: dict[str, tuple[float | None, float | None, float | None]] = {}
    for name, value in found.items():
        known = [draw[name] for draw in draws if draw[name] is not None]
        if value is None or not known:
            intervals[name] = (value, value, value)
        else:
            intervals[name] = (value, *interval(np.asarray(known, dtype=np.float64)))
    return intervals


def _evaluated(truth: dict[str, Any], results: Sequence[dict[str, Any]], kind: Kind) -> Any:
    reference = cast(Any, COCO)()
    reference.dataset = truth
    reference.createIndex()
    answers = cast(Any, COCO)()
    if results:
        answers = reference.loadRes([dict(result) for result in results])
    else:
        answers.dataset = {**truth, "annotations": []}
        answers.createIndex()
    evaluated = cast(Any, COCOeval)(reference, answers, kind)
    evaluated.evaluate()
    return evaluated


def _figures(evaluated: Any) -> dict[str, float | None]:
    evaluated.accumulate()
    evaluated.summarize()
    return {name: float(v) if v >= 0 else None for name, v in zip(FIGURES, evaluated.stats, strict=True)}


def _resampled(evaluated: Any, rng: np.random.Generator) -> Any:
    """The same evaluation with its images drawn anew; what was found on each stays as it was."""
    # evalImgs lies flat in the order category, area range, image.
    pictures = len(evaluated.params.imgIds)
    table = np.empty(len(evaluated.evalImgs), dtype=object)
    table[:] = evaluated.evalImgs
    drawn = rng.integers(0, pictures, pictures)
    other = cast(Any, COCOeval)(iouType=evaluated.params.iouType)
    other.params = other._paramsEval = evaluated.params
    other.evalImgs = table.reshape(-1, pictures)[:, drawn].ravel().tolist()
    return other
