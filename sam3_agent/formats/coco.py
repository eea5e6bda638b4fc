"""COCO instance JSON: the only reader and writer of it.

Inside, boxes are xyxy and masks RLE like everywhere else; xywh and polygons exist only in the files.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, cast

import pydantic
from pycocotools import mask as coco  # pyright: ignore[reportMissingTypeStubs]

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.complaint import complaint
from sam3_agent.formats.files import write_json
from sam3_agent.masks import Box, Rle


def _no_attributes() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One picture; `file_name` is relative to the folder of images."""

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
    """The JSON document of a dataset."""
    return {
        "info": dict(dataset.info),
        "images": [
            {**i.attributes, "id": i.id, "file_name": i.file_name, "width": i.width, "height": i.height}
            for i in dataset.images
        ],
        "categories": [{"id": c.id, "name": c.name, "supercategory": c.supercategory} for c in dataset.categories],
        "annotations": [_annotation_json(a) for a in dataset.annotations],
    }


def read_coco(path: Path) -> CocoDataset:
    """Read an instance file with polygons, RLE (compressed or not), crowds and box-only entries.

    Raises:
        InputError: the file is not such a file; the message names file, entry and field.
        OSError: the file cannot be read.
    """
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def from_json(document: object) -> CocoDataset:
    """Read a parsed document; raises InputError naming entry and field."""
    try:
        parsed = _File.model_validate(document)
    except pydantic.ValidationError as error:
        raise InputError(f"not COCO instances: {complaint(error)}") from error
    sizes = {image.id: (image.height, image.width) for image in parsed.images}
    return CocoDataset(
        images=tuple(CocoImage(i.id, i.file_name, i.width, i.height, i.further()) for i in parsed.images),
        annotations=tuple(_annotation(entry, sizes) for entry in parsed.annotations),
        categories=tuple(CocoCategory(c.id, c.name, c.supercategory) for c in parsed.categories),
        info=parsed.info,
    )


def xywh(box: Box) -> list[float]:
    """COCO's box of an xyxy one."""
    return [round(v, 3) for v in (box[0], box[1], box[2] - box[0], box[3] - box[1])]


class _Entry(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    id: int

    def further(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class _Image(_Entry):
    file_name: str
    width: Annotated[int, pydantic.Field(gt=0)]
    height: Annotated[int, pydantic.Field(gt=0)]


class _Category(_Entry):
    name: str
    supercategory: str = ""


class _Annotation(_Entry):
    image_id: int
    category_id: int
    bbox: Annotated[list[pydantic.FiniteFloat], pydantic.Field(min_length=4, max_length=4)] | None = None
    segmentation: list[list[pydantic.FiniteFloat]] | dict[str, Any] | None = None
    area: float | None = None
    iscrowd: bool = False
    score: float | None = None


class _File(pydantic.BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]
    info: dict[str, Any] = pydantic.Field(default_factory=dict)


def _annotation_json(annotation: CocoAnnotation) -> dict[str, Any]:
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


def _annotation(entry: _Annotation, sizes: Mapping[int, tuple[int, int]]) -> CocoAnnotation:
    if entry.image_id not in sizes:
        raise InputError(f"annotation {entry.id}: image_id {entry.image_id} is not in images")
    try:
        rle = _rle(entry.segmentation, sizes[entry.image_id])
    except InputError as error:
        raise InputError(f"annotation {entry.id}: segmentation: {error}") from error
    if entry.bbox is not None:
        x, y, w, h = entry.bbox
        box = (x, y, x + w, y + h)
    elif rle is not None:
        box = masks.box(rle)
    else:
        raise InputError(f"annotation {entry.id}: neither bbox nor segmentation")
    area = entry.area if entry.area is not None else float(masks.area(rle) if rle is not None else 0)
    return CocoAnnotation(
        entry.id, entry.image_id, entry.category_id, box, rle, area, entry.iscrowd, entry.score, entry.further()
    )


def _rle(value: list[list[float]] | dict[str, Any] | None, size: tuple[int, int]) -> Rle | None:
    if not value:
        return None
    if isinstance(value, dict):
        rle = masks.from_json(value)
        if rle.size != size:
            raise InputError(f"an RLE of size {list(rle.size)} on an image of size {list(size)}")
        return rle
    short = [len(polygon) for polygon in value if len(polygon) < 6 or len(polygon) % 2]
    if short:
        raise InputError(f"a polygon is at least three x, y pairs, got {short[0]} numbers")
    return masks.union(_rasterize(value, size))


def _rasterize(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> list[Rle]:
    coded = cast(Any, coco).frPyObjects([list(polygon) for polygon in polygons], *size)
    return [masks.from_json(part) for part in coded]


def _unique(kind: str, ids: Sequence[int]) -> set[int]:
    known = set(ids)
    if len(known) < len(ids):
        twice = next(number for number in ids if ids.count(number) > 1)
        raise InputError(f"{kind} id {twice} occurs twice")
    return known
