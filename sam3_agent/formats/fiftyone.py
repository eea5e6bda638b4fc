"""Writer and reader of FiftyOne datasets on disk: metadata.json and samples.json, masks inside.

Written is the form without a "version" (fiftyone/utils/data/importers.py), which any FiftyOne reads:
`fo.Dataset.from_dir(DIR, dataset_type=fo.types.FiftyOneDataset)`. Read are this one and the one that today's `export`
writes. A mask is the part of it in its box, a NumPy file in zlib, as MongoDB's extended JSON has bytes.
"""

import base64
import binascii
import io
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing, write_json
from sam3_agent.formats.found_labels import FoundImage, FoundLabel
from sam3_agent.formats.known_images import KnownImages
from sam3_agent.formats.label_set import LabeledImage, LabelSet
from sam3_agent.formats.notes import Notes
from sam3_agent.formats.reading import read_json
from sam3_agent.masks import Rle

SAMPLES, METADATA = "samples.json", "metadata.json"
FIELD = "ground_truth"
_NUDGE = 1e-6
"""Pixels."""
_SCHEMA = {
    "filepath": "fiftyone.core.fields.StringField",
    "tags": "fiftyone.core.fields.ListField(fiftyone.core.fields.StringField)",
    "metadata": "fiftyone.core.fields.EmbeddedDocumentField(fiftyone.core.metadata.ImageMetadata)",
    "absent": "fiftyone.core.fields.ListField(fiftyone.core.fields.StringField)",
    FIELD: "fiftyone.core.fields.EmbeddedDocumentField(fiftyone.core.labels.Detections)",
}


def write_fiftyone(labels: LabelSet, out: Path) -> list[str]:
    """Write a dataset whose images lie in images/; the split is a tag, provenance is in attributes. Gives warnings.

    Samples are written one at a time: a large set is never held as one text.
    """
    info = {"description": f"labels by sam3-agent with {labels.model or 'an unnamed model'}"}
    write_json(
        out / METADATA,
        {"name": "sam3-agent", "media_type": "image", "sample_fields": _SCHEMA,
         "info": {**info, "default_classes": list(labels.classes)}},
    )  # fmt: skip
    with replacing(out / SAMPLES) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"samples": [')
        for number, image in enumerate(labels.images):
            file.write(",\n" if number else "\n")
            file.write(json.dumps(_sample(image, labels), ensure_ascii=False))
        file.write("\n]}\n")
    return []


def _sample(image: LabeledImage, labels: LabelSet) -> dict[str, Any]:
    return {
        "filepath": f"images/{image.name}",
        "tags": [image.split],
        "metadata": {"_cls": "ImageMetadata", "width": image.width, "height": image.height},
        "absent": [labels.classes[index] for index in labels.absent.get(image.name, ())],
        FIELD: {
            "_cls": "Detections",
            "detections": [
                {
                    "_cls": "Detection",
                    "attributes": {},
                    "tags": [],
                    "label": labels.classes[label.class_index],
                    **_placed(label.rle),
                    "confidence": round(label.score, 4),
                    "label_id": label.id,
                    **{f"attribute_{key}": value for key, value in label.attributes.items() if key.isidentifier()},
                    "provenance": json.dumps(label.provenance, ensure_ascii=False),
                }
                for label in image.labels
                if masks.area(label.rle)
            ],
        },
    }


def _placed(rle: Rle) -> dict[str, Any]:
    """The box as shares of the image, and the mask in it."""
    height, width = rle.size
    x0, y0, x1, y1 = (int(value) for value in masks.box(rle))
    inside = masks.sample(rle, np.arange(y0, y1), np.arange(x0, x1))
    # FiftyOne truncates corners to pixels (eta/core/geometry.py), and 10 / 131 * 131 is less than 10.
    left, top, right, bottom = (
        (v + _NUDGE) / side for v, side in zip((x0, y0, x1, y1), (width, height) * 2, strict=True)
    )
    box = [left, top, right - left, bottom - top]
    return {"bounding_box": box, "mask": {"$binary": {"base64": _packed(inside), "subType": "00"}}}


def _packed(mask: NDArray[np.bool_]) -> str:
    buffer = io.BytesIO()
    np.save(buffer, mask, allow_pickle=False)
    return base64.b64encode(zlib.compress(buffer.getvalue())).decode()


def is_fiftyone(source: Path) -> bool:
    """Whether a path is a dataset's folder, or its samples.json."""
    return (source.is_dir() and (source / SAMPLES).is_file()) or source.name == SAMPLES


def read_fiftyone(source: Path, images: KnownImages, notes: Notes) -> list[FoundImage]:
    """Read the detections of a dataset's folder, or of its samples.json.

    The field is "ground_truth", or the only one with detections.

    Raises:
        InputError: it cannot be read, or has several fields of detections and none of that name.
    """
    path = source / SAMPLES if source.is_dir() else source
    document: Any = read_json(path)
    samples: Any = cast(dict[str, Any], document).get("samples") if isinstance(document, dict) else None
    if not isinstance(samples, list):
        raise InputError(f"{path}: not a FiftyOne dataset: no list of samples")
    rows = [cast(dict[str, Any], each) for each in cast(list[Any], samples) if isinstance(each, dict)]
    field = _field(path, rows)
    return [
        found
        for number, row in enumerate(rows)
        if (found := _read(row, field, f"{path.name}: samples.{number}", path.parent, images, notes)) is not None
    ]


def _field(path: Path, rows: list[dict[str, Any]]) -> str:
    names = {key: None for row in rows for key, value in row.items() if _class(value) == "Detections"}
    if FIELD in names or not names:
        return FIELD
    if len(names) > 1:
        raise InputError(f"{path}: detections in {', '.join(names)}; rename the field that is meant to {FIELD}")
    return next(iter(names))


def _class(value: Any) -> str:
    return str(cast(dict[str, Any], value).get("_cls", "")) if isinstance(value, dict) else ""


def _read(
    row: dict[str, Any], field: str, place: str, folder: Path, images: KnownImages, notes: Notes
) -> FoundImage | None:
    name: Any = row.get("filepath")
    if not isinstance(name, str) or not name:
        notes.leave_out(place, "no filepath")
        return None
    metadata: Any = row.get("metadata")
    sides = (metadata.get("height"), metadata.get("width")) if isinstance(metadata, dict) else (None, None)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    stated = all(isinstance(side, int) and 0 < side <= masks.MOST_PIXELS for side in cast(tuple[Any, Any], sides))
    size = cast(tuple[int, int], sides) if stated else images.size_of(name)
    detections: Any = row[field].get("detections") if _class(row.get(field)) == "Detections" else []
    given = cast(list[Any], detections) if isinstance(detections, list) else []
    if size is None:
        notes.leave_out(place, "neither its size nor an image to take it from", max(1, len(given)))
        return None
    labels: list[FoundLabel] = []
    for number, detection in enumerate(given):
        try:
            labels.append(_label(detection, size, folder))
        except InputError as error:
            notes.leave_out(f"{place}: {field}.{number}", str(error))
    return FoundImage(name, size, tuple(labels), place)


def _label(detection: Any, size: tuple[int, int], folder: Path) -> FoundLabel:
    if not isinstance(detection, dict):
        raise InputError("no detection")
    given = cast(dict[str, Any], detection)
    name, box = given.get("label"), given.get("bounding_box")
    if not isinstance(name, str) or not name.strip():
        raise InputError("no label")
    if not isinstance(box, list) or len(cast(list[Any], box)) != 4 or not all(_share(v) for v in cast(list[Any], box)):
        raise InputError(f"bounding_box: expected four shares of the image, got {box!r:.80}")
    height, width = size
    x, y, w, h = (float(value) for value in cast(list[float], box))
    x0, y0 = (max(0, round(v)) for v in (x * width, y * height))
    target = (max(1, round(h * height)), max(1, round(w * width)))
    if (mask := _mask(given, target, folder)) is None:
        return FoundLabel(name, masks.from_box((x * width, y * height, (x + w) * width, (y + h) * height), size), True)
    inside = np.asfortranarray(mask[: height - y0, : width - x0])  # a box that was rounded up at the border
    if not inside.size:
        raise InputError("bounding_box: outside the image")
    return FoundLabel(name, masks.place(masks.encode(inside), *size, x0, y0))


def _share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1 <= value <= 2


def _mask(given: Mapping[str, Any], target: tuple[int, int], folder: Path) -> NDArray[np.bool_] | None:
    """(H, W) of the box in pixels; None where the detection has a box only."""
    path = given.get("mask_path")
    if isinstance(path, str) and path:
        found = (folder / path).resolve()
        if not found.is_relative_to(folder.resolve()) or not found.is_file():
            raise InputError(f"mask_path: no {path:.80} in the dataset's folder")
        mask = _picture(found)
    elif given.get("mask") is None:
        return None
    else:
        mask = _unpacked(given["mask"])
    if all(abs(got - wanted) <= 1 for got, wanted in zip(mask.shape, target, strict=True)):
        return mask  # the box was rounded otherwise
    rows = np.arange(target[0]) * mask.shape[0] // target[0]  # as FiftyOne shows a mask of another size: stretched
    columns = np.arange(target[1]) * mask.shape[1] // target[1]
    return mask[np.ix_(rows, columns)]


def _picture(path: Path) -> NDArray[np.bool_]:
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            return np.asarray(picture.convert("L")) > 0
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"the PNG of a mask cannot be read: {error!s:.100}") from error


def _unpacked(value: Any) -> NDArray[np.bool_]:
    """Decode bytes as extended JSON or plain base64 has them; bounded before they are decompressed."""
    text: Any = value
    for key in ("$binary", "base64"):
        text = cast(dict[str, Any], text).get(key, text) if isinstance(text, dict) else text
    try:
        packed = base64.b64decode(cast(str, text), validate=True)
        raw = zlib.decompressobj().decompress(packed, masks.MOST_PIXELS)
        array: Any = np.load(io.BytesIO(raw), allow_pickle=False)
    except (ValueError, TypeError, EOFError, OSError, binascii.Error, zlib.error, MemoryError) as error:
        raise InputError(f"a mask cannot be read: {error!s:.100}") from error
    if array.ndim != 2 or not array.size:
        raise InputError(f"a mask has two dimensions, not the shape {array.shape}")
    return np.asarray(array) != 0
