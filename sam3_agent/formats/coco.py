"""COCO instance JSON as values, and its only writer; `coco_reading` reads it.

Inside, boxes are xyxy and masks RLE like everywhere else; xywh and polygons exist only in the files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_json
from sam3_agent.masks import Box, Rle


def _no_attributes() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One image; `file_name` is relative to the folder of images."""

    id: int
    file_name: str
    width: int
    height: int
    attributes: Mapping[str, Any] = field(default_factory=_no_attributes)
    """Every further key of the entry, as it is in the file."""


@dataclass(frozen=True, slots=True)
class CocoCategory:
    """One class of objects."""

    id: int
    name: str
    supercategory: str = ""


@dataclass(frozen=True, slots=True)
class CocoAnnotation:
    """One object, or one region of many where `crowd` is set."""

    id: int
    image_id: int
    category_id: int
    box: Box
    """xyxy pixels."""
    rle: Rle | None = None
    """None where the file has a box only."""
    area: float = 0.0
    crowd: bool = False
    score: float | None = None
    """Set in files of predictions."""
    attributes: Mapping[str, Any] = field(default_factory=_no_attributes)
    """Every further key of the entry, as it is in the file."""


@dataclass(frozen=True, slots=True)
class CocoDataset:
    """A whole file. Ids are unique in their list and every reference resolves (checked at construction)."""

    images: tuple[CocoImage, ...]
    annotations: tuple[CocoAnnotation, ...]
    categories: tuple[CocoCategory, ...]
    info: Mapping[str, Any] = field(default_factory=_no_attributes)

    def __post_init__(self) -> None:
        images = _unique("image", [image.id for image in self.images])
        categories = _unique("category", [category.id for category in self.categories])
        _unique("annotation", [annotation.id for annotation in self.annotations])
        for annotation in self.annotations:
            if annotation.image_id not in images:
                raise InputError(f"annotation {annotation.id}: image_id {annotation.image_id} is not in images")
            if annotation.category_id not in categories:
                raise InputError(
                    f"annotation {annotation.id}: category_id {annotation.category_id} is not in categories"
                )


def write_coco(dataset: CocoDataset, path: Path) -> None:
    """Write the dataset as one file, atomically; masks as compressed RLE, boxes as xywh."""
    write_json(path, to_json(dataset))


def to_json(dataset: CocoDataset) -> dict[str, Any]:
    """Give the JSON document of a dataset."""
    return {
        "info": dict(dataset.info),
        "images": [image_json(image) for image in dataset.images],
        "categories": [category_json(category) for category in dataset.categories],
        "annotations": [annotation_json(annotation) for annotation in dataset.annotations],
    }


def xywh(box: Box) -> list[float]:
    """COCO's box of an xyxy one."""
    return [round(v, 3) for v in (box[0], box[1], box[2] - box[0], box[3] - box[1])]


def image_json(image: CocoImage) -> dict[str, Any]:
    """Give the entry of an image."""
    return {
        **image.attributes,
        "id": image.id,
        "file_name": image.file_name,
        "width": image.width,
        "height": image.height,
    }


def category_json(category: CocoCategory) -> dict[str, Any]:
    """Give the entry of a class."""
    return {"id": category.id, "name": category.name, "supercategory": category.supercategory}


def annotation_json(annotation: CocoAnnotation) -> dict[str, Any]:
    """Give the entry of an object: its mask as compressed RLE, its box as xywh."""
    entry: dict[str, Any] = {
        **annotation.attributes,
        "id": annotation.id,
        "image_id": annotation.image_id,
        "category_id": annotation.category_id,
        "bbox": xywh(annotation.box),
        "area": annotation.area,
        "iscrowd": int(annotation.crowd),
    }
    if annotation.rle is not None:
        entry["segmentation"] = annotation.rle.to_json()
    if annotation.score is not None:
        entry["score"] = annotation.score
    return entry


def _unique(kind: str, ids: Sequence[int]) -> set[int]:
    known: set[int] = set()
    for number in ids:
        if number in known:
            raise InputError(f"{kind} id {number} occurs twice")
        known.add(number)
    return known
