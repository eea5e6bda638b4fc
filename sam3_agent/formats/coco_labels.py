"""Labels as COCO instances: run lengths, or polygons in which holes are cut open and parts kept."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Literal

from sam3_agent import masks
from sam3_agent.formats.coco import (
    CocoAnnotation,
    CocoCategory,
    CocoImage,
    annotation_json,
    category_json,
    image_json,
)
from sam3_agent.formats.files import write_json_in_pieces
from sam3_agent.formats.label_set import LabelSet, MaskLabel
from sam3_agent.formats.polygons_reduced import outline_of

CocoMasks = Literal["rle", "polygons"]


def write_coco_labels(labels: LabelSet, out: Path, form: CocoMasks = "rle") -> list[str]:
    """Write annotations/instances_SPLIT.json, provenance under "provenance" of each annotation; gives warnings.

    Entries are written one at a time: a large set is never held.
    """
    categories = [category_json(CocoCategory(i + 1, name)) for i, name in enumerate(labels.classes)]
    numbers = count(1)
    for split in labels.splits():
        document: dict[str, object] = {
            "info": {"description": "labels by sam3-agent", "model": labels.model},
            "images": _images(labels, split),
            "categories": categories,
            "annotations": _annotations(labels, split, form, numbers),
        }
        write_json_in_pieces(out / "annotations" / f"instances_{split}.json", document)
    return []


def _images(labels: LabelSet, split: str) -> Iterator[dict[str, Any]]:
    for image_id, image in enumerate(labels.of_split(split), start=1):
        yield image_json(CocoImage(image_id, image.name, image.width, image.height))


def _annotations(labels: LabelSet, split: str, form: CocoMasks, numbers: Iterator[int]) -> Iterator[dict[str, Any]]:
    for image_id, image in enumerate(labels.of_split(split), start=1):
        for label in image.labels:
            entry = annotation_json(_annotation(label, image_id, next(numbers)))
            if form == "polygons":
                _to_polygons(entry, label.rle, labels.simplify)
            yield entry


def _annotation(label: MaskLabel, image_id: int, number: int) -> CocoAnnotation:
    extra = {"label_id": label.id, "attributes": dict(label.attributes), "provenance": dict(label.provenance)}
    area, category = float(masks.area(label.rle)), label.class_index + 1
    return CocoAnnotation(number, image_id, category, label.box, label.rle, area, score=label.score, attributes=extra)


def _to_polygons(entry: dict[str, Any], rle: masks.Rle, simplify: float) -> None:
    """Put polygons in the place of run lengths; reduced ones have the exact mask beside them, under "rle"."""
    rings = outline_of(rle, simplify).rings
    entry["segmentation"] = [[round(v, 2) for v in ring.ravel().tolist()] for ring in rings]
    if simplify:
        entry["rle"] = rle.to_json()
