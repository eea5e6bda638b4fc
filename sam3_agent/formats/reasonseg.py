"""ReasonSeg: NAME.jpg beside NAME.json, a text and the polygons it means.

The ground truth of ReasonSeg is whatever LISA's `get_mask_from_json` (dvlab-research/LISA, utils/data_processing.py)
paints with OpenCV, outline and fill; OpenCV does the painting here too: no other rasterizer sets the same pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import pydantic
from numpy.typing import NDArray
from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing, write_json
from sam3_agent.formats.labelme_shapes import outline
from sam3_agent.formats.orientation import upright_size
from sam3_agent.formats.polygons_simple import Polygon, polygons_of
from sam3_agent.formats.reading import read_json
from sam3_agent.formats.validation_error import first_error

TARGET = 1
IGNORE = 255
PICTURES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True, eq=False)
class ReasonSegRecord:
    """One image with one text that means some of its pixels; none for a text that nothing in it matches."""

    name: str
    image_path: Path
    texts: tuple[str, ...]
    """At least one; evaluation uses the first."""
    is_sentence: bool
    target: NDArray[np.bool_]
    """(H, W), the size of the upright image."""
    ignore: NDArray[np.bool_]
    """(H, W): pixels that count neither for nor against an answer."""
    extra: Mapping[str, Any]
    """Every further key of the JSON file."""


def read_reasonseg(folder: Path) -> Iterator[ReasonSegRecord]:
    """List every record of a folder in the order of names, read one at a time.

    Raises:
        InputError: a record is broken, half of a pair is missing, or there is none; the message names file and field.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    annotations = {path.stem: path for path in visible if path.suffix.lower() == ".json"}
    pictures = {path.stem: path for path in visible if path.suffix.lower() in PICTURES}
    if not annotations and not pictures:
        raise InputError(f"{folder}: no NAME.json beside NAME.jpg in this folder")
    for name in sorted(annotations | pictures):
        if name not in annotations:
            raise InputError(f"{pictures[name]}: {name}.json is missing beside it")
        if name not in pictures:
            raise InputError(f"{annotations[name]}: {name}.jpg is missing beside it")
        yield read_record(annotations[name], pictures[name])


def read_record(annotation_path: Path, image_path: Path) -> ReasonSegRecord:
    """Give one record; raises InputError naming file and field."""
    parsed = _parse(annotation_path)
    shapes = [(shape.label, _outline(annotation_path, n, shape)) for n, shape in enumerate(parsed.shapes)]
    painted = rasterize(shapes, _upright_size(image_path))
    return ReasonSegRecord(
        name=annotation_path.stem,
        image_path=image_path,
        texts=tuple(parsed.text),
        is_sentence=parsed.is_sentence,
        target=painted == TARGET,
        ignore=painted == IGNORE,
        extra=dict(parsed.model_extra or {}),
    )


def rasterize(shapes: Sequence[tuple[str, Polygon]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Paint (label, points) shapes by LISA's rules: (H, W) uint8 of 0, TARGET and IGNORE; `size` is (height, width).

    Shapes labeled "flag" are dropped, labels containing "ignore" paint 255, the largest painted area goes first,
    points are truncated towards zero. Shapes of equal area keep the reversed order of numpy's argsort, as in LISA.
    """
    kept = [(label.lower(), points) for label, points in shapes if label.lower() != "flag"]
    areas = [int(_paint(np.zeros(size, np.uint8), points, 1).sum()) for _, points in kept]
    painted = np.zeros(size, np.uint8)
    for index in reversed(np.argsort(areas)):
        label, points = kept[int(index)]
        _paint(painted, points, IGNORE if "ignore" in label else TARGET)
    return painted


def write_record(
    folder: Path,
    name: str,
    image: Image.Image,
    text: str,
    target: NDArray[np.bool_],
    *,
    is_sentence: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write NAME.jpg, then NAME.json, each atomically; `target` is (H, W) of that image and may be empty.

    The polygons paint exactly the target again (holes are reached by a bridge, see `polygons_of`).
    """
    if target.shape != (image.height, image.width):
        raise InputError(f"{name}: a target of shape {target.shape} for a {image.width}x{image.height} image")
    with replacing(folder / f"{name}.jpg") as temporary:
        image.convert("RGB").save(temporary, "JPEG", quality=92, subsampling=0)
    shapes = [_shape_json(name, polygon) for polygon in polygons_of(target)]
    write_json(folder / f"{name}.json", {"text": [text], "is_sentence": is_sentence, "shapes": shapes, **(extra or {})})


_FAR = 1_000_000
"""Pixels: OpenCV walks over every row between a corner and the image, so that 1e9 would take minutes."""
_Pixel = Annotated[float, pydantic.Field(gt=-_FAR, lt=_FAR)]


class _Shape(pydantic.BaseModel):
    label: str
    points: Annotated[list[tuple[_Pixel, _Pixel]], pydantic.Field(min_length=1)]
    shape_type: str | None = None


class _File(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    text: Annotated[list[str], pydantic.Field(min_length=1)]
    is_sentence: pydantic.StrictBool
    shapes: list[_Shape]


def _parse(path: Path) -> _File:
    document = read_json(path, fallback="cp1252")  # as LISA reads some of its own files
    try:
        return _File.model_validate(document)
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {first_error(error)}") from error


def _outline(path: Path, number: int, shape: _Shape) -> Polygon:
    """Give the points to paint: of polygons as they are, as LISA does; of LabelMe's other shapes their corners."""
    if shape.shape_type in (None, "polygon") or shape.label.lower() == "flag":
        return shape.points
    try:
        return outline(shape.shape_type, shape.points)
    except InputError as error:
        raise InputError(f"{path}: shapes.{number}: {error}") from error


def _upright_size(path: Path) -> tuple[int, int]:
    """Give (height, width) after EXIF rotation, which cv2.imread, and so LISA, applies."""
    try:
        return upright_size(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable image") from error


def _paint(canvas: NDArray[np.uint8], points: Polygon, value: int) -> NDArray[np.uint8]:
    polygon = np.array([points], dtype=np.float64).astype(np.int32)  # (1, N, 2), truncated towards zero
    cv2.polylines(canvas, [polygon[0]], True, value, 1)
    cv2.fillPoly(canvas, [polygon[0]], value)
    return canvas


def _shape_json(name: str, polygon: Polygon) -> dict[str, Any]:
    return {
        "label": "target",
        "labels": ["target"],
        "shape_type": "polygon",
        "image_name": f"{name}.jpg",
        "points": [[float(x), float(y)] for x, y in polygon],
        "group_id": None,
        "group_ids": [None],
        "flags": {},
    }
