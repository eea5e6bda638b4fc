"""YOLO segmentation: one line an object, normalized polygons, with data.yaml."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_text
from sam3_agent.formats.label_set import LabeledImage, LabelSet
from sam3_agent.formats.outlines import joined, parts_of
from sam3_agent.formats.yaml_document import dump_yaml, load_yaml

FAR = 0.55
"""Pixels by which right and lower sides are moved in: Ultralytics cuts fractions off, supervision rounds, both then
paint the border too."""
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def write_yolo(labels: LabelSet, out: Path) -> list[str]:
    """Write labels/SPLIT/STEM.txt, SPLIT.txt and data.yaml; gives warnings.

    A line is "class x1 y1 x2 y2 ...", as Ultralytics reads it. A hole is cut open by a bridge of no width; the parts of
    an object are tied by a line of no width, as Ultralytics' own converter does, which readers paint one pixel wide.
    """
    tied = 0
    for image in labels.images:
        lines: list[str] = []
        for label in image.labels:
            line, parts = yolo_line(label.class_index, label.rle)
            tied += parts > 1
            if line:
                lines.append(line)
        write_text(out / "labels" / image.split / f"{image.stem}.txt", "".join(f"{line}\n" for line in lines))
    for split in labels.splits():
        names = [f"./images/{split}/{picture_name(image)}\n" for image in labels.of_split(split)]
        write_text(out / f"{split}.txt", "".join(names))
    document: dict[str, Any] = {"path": "."}
    document |= {split: f"{split}.txt" for split in labels.splits()}
    document |= {} if "val" in document else {"val": "train.txt"}
    document["names"] = dict(enumerate(labels.classes))
    write_text(out / "data.yaml", dump_yaml(document))
    return [f"yolo: {tied} labels of several parts are tied by one-pixel lines: a line has one polygon"] if tied else []


def picture_name(image: LabeledImage) -> str:
    """The picture under its unique stem, with its own suffix."""
    return f"{image.stem}.{image.name.rsplit('.', 1)[-1]}"


def yolo_line(class_index: int, rle: masks.Rle) -> tuple[str, int]:
    """The line of an object, and of how many parts it is; of an empty mask "" and 0."""
    parts = parts_of(masks.decode(rle))
    if not parts:
        return "", 0
    height, width = rle.size
    ring = joined(parts, FAR) / (width, height)
    return f"{class_index} " + " ".join(f"{v:.7f}" for v in ring.ravel()), len(parts)


def read_yolo(data: Path, sizes: dict[str, tuple[int, int]]) -> dict[str, list[tuple[str, masks.Rle, bool]]]:
    """(class, mask, whether only a box is known) of every labeled picture, by picture name.

    Args:
        data: the data.yaml; label files are looked for in labels/ beside images/, as Ultralytics does.
        sizes: (height, width) of pictures by name and by last part of the name: the files themselves have none.

    Raises:
        InputError: a file does not fit; the message names file and line.
    """
    names = _class_names(data)
    found: dict[str, list[tuple[str, masks.Rle, bool]]] = {}
    stems = {name.rsplit(".", 1)[0]: name for name in sizes}
    for path in sorted((data.parent / "labels").rglob("*.txt")):
        parts = path.relative_to(data.parent / "labels").with_suffix("").parts
        stem = next((s for i in range(len(parts)) if (s := "/".join(parts[i:])) in stems), None)
        if stem is not None:
            name = stems[stem]
            found[name] = list(_read_labels(path, names, sizes[name]))
    return found


def _class_names(data: Path) -> dict[int, str]:
    try:
        document: Any = load_yaml(data.read_text(encoding="utf-8"))
        names = document["names"]
        pairs: list[tuple[Any, Any]] = list(names.items() if isinstance(names, dict) else enumerate(names))  # pyright: ignore[reportUnknownArgumentType]
        return {int(number): str(name) for number, name in pairs}
    except OSError as error:
        raise InputError(f"{data}: {error.strerror or error}") from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{data}: no YOLO data.yaml with 'names' ({error})") from error


def _read_labels(path: Path, names: dict[int, str], size: tuple[int, int]) -> Iterator[tuple[str, masks.Rle, bool]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            kind, *values = (float(part) for part in line.split())
            name = names[int(kind)]
        except (ValueError, KeyError) as error:
            raise InputError(f"{path}:{number}: not 'class x y ...' of a known class: {line!r:.60}") from error
        if not all(math.isfinite(v) for v in values) or len(values) < 4 or len(values) % 2:
            raise InputError(f"{path}:{number}: expected 4 numbers (a box) or pairs (a polygon), got {len(values)}")
        mask = _box(values, size) if len(values) == 4 else _polygon(values, size)
        if mask.any():
            yield name, masks.encode(mask), len(values) == 4


def _box(values: list[float], size: tuple[int, int]) -> NDArray[np.bool_]:
    height, width = size
    x, y, w, h = values
    mask = np.zeros(size, dtype=bool)
    top, left = max(round((y - h / 2) * height), 0), max(round((x - w / 2) * width), 0)
    mask[top : round((y + h / 2) * height), left : round((x + w / 2) * width)] = True
    return mask


def _polygon(values: list[float], size: tuple[int, int]) -> NDArray[np.bool_]:
    points = np.array(values).reshape(-1, 2) * (size[1], size[0])
    canvas = np.zeros(size, dtype=np.uint8)
    cv2.fillPoly(canvas, [points.astype(np.int32)], 1)
    return canvas.astype(bool)
