"""COCO AP of a whole run: every query is a category. Holds all masks in memory, unlike `score`."""

from pathlib import Path
from typing import Any

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_evals.journal import JournalIndex
from sam3_evals.metrics.coco_ap import Kind, coco_ap_intervals
from sam3_evals.prediction import Prediction
from sam3_evals.run import PREDICTIONS, read_cases


def average_precision(run: Path) -> dict[str, Any]:
    """The twelve figures of masks and of boxes, each as {"value", "low", "high"}.

    Raises:
        InputError: the truth does not tell instances apart, or nothing is there to be found.
    """
    truth, results = _documents(run)
    if not truth["annotations"]:
        raise InputError(f"{run}: COCO AP needs instances, and this run's truth has none")
    kinds: tuple[Kind, ...] = ("segm", "bbox")
    return {
        kind: {
            name: {"value": value, "low": low, "high": high}
            for name, (value, low, high) in coco_ap_intervals(truth, results, kind).items()
        }
        for kind in kinds
    }


def _documents(run: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    index = JournalIndex(run / PREDICTIONS, "case")
    images: dict[str, dict[str, Any]] = {}
    categories: dict[str, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for case in read_cases(run):
        if case.frames:
            raise InputError(f"{run}: COCO AP is a figure of images, and case {case.id!r} asks about a video")
        if not case.by_instance:
            raise InputError(f"{run}: COCO AP needs instances, and case {case.id!r} does not tell them apart")
        height, width = case.size
        image = images.setdefault(case.picture, {"id": len(images) + 1, "height": height, "width": width})
        name = case.query.lower()
        category = categories.setdefault(name, {"id": len(categories) + 1, "name": name})
        place = {"image_id": image["id"], "category_id": category["id"]}
        for rle, crowd in [(rle, 0) for rle in case.targets] + ([(case.ignore, 1)] if case.ignore else []):
            entry = {**place, **_shape(rle), "iscrowd": crowd, "area": masks.area(rle), "id": len(annotations) + 1}
            annotations.append(entry)
        if (line := index.find(case.id)) is not None:
            said = Prediction.from_json(line)
            results += [{**place, **_shape(r), "score": s} for r, s in zip(said.rles, said.scores, strict=True)]
    truth = {
        "images": list(images.values()),
        "categories": list(categories.values()),
        "annotations": annotations,
    }
    return truth, results


def _shape(rle: Rle) -> dict[str, Any]:
    x0, y0, x1, y1 = masks.box(rle)
    return {"segmentation": rle.to_coco(), "bbox": [x0, y0, x1 - x0, y1 - y0]}
