"""Writer and reader of LabelMe: one JSON an image, polygons grouped by object."""

import base64
import binascii
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import pydantic
from PIL import Image, UnidentifiedImageError

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_json
from sam3_agent.formats.found_labels import FoundImage, FoundLabel
from sam3_agent.formats.known_images import KnownImages
from sam3_agent.formats.label_set import LabelSet, readable_suffix
from sam3_agent.formats.labelme_shapes import outline
from sam3_agent.formats.notes import Notes
from sam3_agent.formats.polygons_reduced import outline_of
from sam3_agent.formats.reading import read_json
from sam3_agent.formats.validation_error import first_error
from sam3_agent.masks import Rle

VERSION = "5.5.0"
"""Of the LabelMe whose files these are like."""


def write_labelme(labels: LabelSet, out: Path) -> list[str]:
    """Write SPLIT/STEM.json beside where the image belongs; gives warnings.

    The parts of an object share a group_id. A hole is cut open by a bridge of no width.
    """
    holed, stems = 0, labels.stems()
    for image in labels.images:
        shapes: list[dict[str, Any]] = []
        for number, label in enumerate(image.labels):
            described = str(label.provenance.get("phrase", ""))
            made, holes = labelme_shapes(
                labels.classes[label.class_index], label.rle, number, described, labels.simplify
            )
            attributes = {**label.attributes, "score": round(label.score, 4), "label_id": label.id}
            shapes += [{**shape, "attributes": attributes} for shape in made]
            holed += holes
        stem = stems[image.name]
        name = f"{stem.rsplit('/', 1)[-1]}{readable_suffix(image)}"
        document = labelme_document(name, image.width, image.height, shapes)
        write_json(out / image.split / f"{stem}.json", document, indent=1)
    return [f"labelme: {holed} labels have holes, which are cut open by bridges of no width"] if holed else []


def labelme_shapes(
    name: str, rle: masks.Rle, group: int, description: str, simplify: float = 0.0
) -> tuple[list[dict[str, Any]], bool]:
    """Give a polygon for each part of an object, and whether any of them has holes."""
    outline = outline_of(rle, simplify)
    shapes: list[dict[str, Any]] = [
        {
            "label": name,
            "points": [[round(x, 2), round(y, 2)] for x, y in ring.tolist()],
            "group_id": group,
            "description": description,
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for ring in outline.rings
    ]
    return shapes, outline.holes > 0


def labelme_document(picture: str, width: int, height: int, shapes: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the file of one image, which lies beside it or is named by its path; sizes in pixels."""
    return {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": picture,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


class _Shape(pydantic.BaseModel):
    label: Annotated[str, pydantic.Field(min_length=1, pattern=r"\S")]
    points: list[tuple[pydantic.FiniteFloat, pydantic.FiniteFloat]]
    shape_type: str | None = None
    group_id: Any = None
    mask: Any = None


class _File(pydantic.BaseModel):
    shapes: list[Any]
    image_path: Any = pydantic.Field(default=None, alias="imagePath")
    height: Any = pydantic.Field(default=None, alias="imageHeight")
    width: Any = pydantic.Field(default=None, alias="imageWidth")


def read_labelme(source: Path, images: KnownImages, notes: Notes) -> list[FoundImage]:
    """Read one file of LabelMe, or every one under a folder.

    Raises:
        InputError: the one file is no such file, or the folder has none.
    """
    if source.is_file():
        return [_read(source, source.name, images, notes)]
    files = sorted(path for path in source.rglob("*.json") if not path.name.startswith("."))
    if not files:
        raise InputError(f"{source}: no NAME.json of LabelMe in this folder")
    found: list[FoundImage] = []
    for path in files:
        place = path.relative_to(source).as_posix()
        try:
            found.append(_read(path, place, images, notes))
        except InputError as error:
            notes.leave_out(place, str(error).removeprefix(f"{path}: "), _count(path))
    return found


def _count(path: Path) -> int:
    """Count how many shapes a file holds that cannot be read otherwise; 1 where even that is unknown."""
    try:
        shapes: object = read_json(path, fallback="cp1252")["shapes"]
    except (InputError, TypeError, KeyError):
        return 1
    return len(cast(list[Any], shapes)) if isinstance(shapes, list) else 1


def _read(path: Path, place: str, images: KnownImages, notes: Notes) -> FoundImage:
    document = read_json(path, fallback="cp1252")
    try:
        parsed = _File.model_validate(document)
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: not LabelMe: {first_error(error)}") from error
    named = (
        parsed.image_path if isinstance(parsed.image_path, str) and parsed.image_path.strip() else f"{path.stem}.jpg"
    )
    name = f"{place.rpartition('/')[0]}/{named}".lstrip("/") if "/" in place else named
    size = _stated_size(parsed) or images.size_of(name)
    if size is None:
        raise InputError(f"{path}: no usable imageWidth and imageHeight, and no image {named:.100} to take them from")
    groups: dict[object, list[tuple[str, Rle]]] = {}
    for number, raw in enumerate(parsed.shapes):
        try:
            shape = _shape(raw)
            key = number if shape.group_id is None else f"{shape.label} {shape.group_id!s:.60}"
            rle = _mask(shape, size)
            groups.setdefault(key, []).append((shape.label, rle))
        except InputError as error:
            notes.leave_out(f"{place}: shapes.{number}", str(error))
    labels = tuple(FoundLabel(parts[0][0], masks.union([rle for _, rle in parts])) for parts in groups.values())
    return FoundImage(name, size, labels, place)


def _stated_size(parsed: _File) -> tuple[int, int] | None:
    sides = (parsed.height, parsed.width)
    if not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
        return None
    return sides if sides[0] * sides[1] <= masks.MOST_PIXELS else None


def _shape(raw: object) -> _Shape:
    try:
        return _Shape.model_validate(raw)
    except pydantic.ValidationError as error:
        raise InputError(first_error(error, "shape")) from error


def _mask(shape: _Shape, size: tuple[int, int]) -> Rle:
    if shape.shape_type == "mask":
        return _bitmap(shape.mask, shape.points, size)
    corners = outline(shape.shape_type, shape.points)
    return masks.from_polygons([[value for corner in corners for value in corner]], size)


def _bitmap(data: object, points: Sequence[tuple[float, float]], size: tuple[int, int]) -> Rle:
    """Give the mask of a PNG in base64, whose first point is its upper left corner in the image."""
    if not isinstance(data, str) or len(points) != 2:
        raise InputError("a mask needs a PNG in base64 and 2 points (shape_type: mask)")
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(base64.b64decode(data)), formats=["PNG"]) as picture:
            warnings.simplefilter("error")
            if picture.width * picture.height > size[0] * size[1]:
                raise InputError(f"a mask of {picture.width}x{picture.height} in an image of {size[1]}x{size[0]}")
            crop = np.asarray(picture.convert("L")) > 0
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, binascii.Error, Warning) as error:
        raise InputError(f"the PNG of a mask cannot be read: {error!s:.100}") from error
    return masks.place(masks.encode(cast(Any, crop)), *size, round(points[0][0]), round(points[0][1]))
