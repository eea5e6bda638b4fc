"""Reading labels that were there before, for a run to extend."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.coco_reading import read_coco
from sam3_agent.formats.orientation import upright_size
from sam3_agent.formats.yolo import read_yolo
from sam3_agent.labeling.imported import put_imported
from sam3_agent.labeling.journal import ImageRow, Journal

Existing = dict[str, list[tuple[str, masks.Rle, bool]]]


def import_labels(journal: Journal, files: Sequence[ImageRow], source: Path, root: Path) -> int:
    """Enter the labels of a COCO JSON or a YOLO data.yaml into a journal; gives how many were new.

    Raises:
        InputError: the file does not fit, or none of its pictures is among the files.
    """
    if source.suffix.lower() == ".json":
        found = _coco(source)
    elif source.suffix.lower() in (".yaml", ".yml"):
        found = read_yolo(source, _sizes(files, root))
    else:
        raise InputError(f"--import {source}: give a COCO .json or a YOLO data.yaml")
    known = {row.path for row in files} | {row.path.rsplit("/", 1)[-1] for row in files}
    if not any(name in known or name.rsplit("/", 1)[-1] in known for name in found):
        raise InputError(f"--import {source}: none of its pictures is among the {len(files)} that are labelled")
    return put_imported(journal, files, found, source.name)


def _coco(source: Path) -> Existing:
    dataset = read_coco(source)
    images = {image.id: image for image in dataset.images}
    names = {category.id: category.name for category in dataset.categories}
    found: Existing = {}
    for annotation in dataset.annotations:
        image = images[annotation.image_id]
        rle = annotation.rle if annotation.rle is not None else _filled(annotation.box, (image.height, image.width))
        if masks.area(rle) and not annotation.crowd:
            entry = (names[annotation.category_id], rle, annotation.rle is None)
            found.setdefault(image.file_name, []).append(entry)
    return found


def _filled(box: masks.Box, size: tuple[int, int]) -> masks.Rle:
    x0, y0, x1, y1 = (max(round(v), 0) for v in box)
    mask = np.zeros(size, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return masks.encode(mask)


def _sizes(files: Sequence[ImageRow], root: Path) -> dict[str, tuple[int, int]]:
    """(height, width) of the upright pictures that can be opened, by name."""
    sizes: dict[str, tuple[int, int]] = {}
    for row in files:
        try:
            sizes[row.path] = upright_size(root / row.path)
        except (OSError, ValueError):
            continue
    return sizes
