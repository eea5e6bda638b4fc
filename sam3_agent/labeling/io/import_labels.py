"""Labels that were there before, from COCO or YOLO files: they are extended and never touched."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.coco import read_coco
from sam3_agent.formats.orientation import upright_size
from sam3_agent.formats.yolo import read_yolo
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.labeling.store.label import Evidence, Label

IMPORT = "import"
"""The reviewer of labels that came from files."""


def put_imported(
    journal: Journal,
    files: Sequence[ImageRow],
    labels: Mapping[str, Sequence[tuple[str, masks.Rle, bool]]],
    source: str,
) -> int:
    """Enter (class, mask, whether only a box is known) by file name into the journal; gives how many were new.

    Names are compared whole, then by their last part where that is unique. Entering the same file again adds nothing.
    """
    shas = _by_name(files)
    fresh: list[Label] = []
    for name, entries in labels.items():
        sha = shas.get(name) or shas.get(name.rsplit("/", 1)[-1])
        if sha is None:
            continue
        known = {label.id for label in journal.labels(sha)}
        for number, (class_name, rle, box_only) in enumerate(entries):
            label = _imported(f"{sha[:16]}.i{number:03d}", sha, class_name, rle, source, box_only=box_only)
            if label.id not in known:
                fresh.append(label)
    journal.put_labels(fresh)
    return len(fresh)


def _imported(name: str, sha: str, class_name: str, rle: masks.Rle, source: str, *, box_only: bool) -> Label:
    note = "only the box is known; the mask is that box" if box_only else ""
    return Label(
        id=name,
        sha=sha,
        class_name=class_name,
        rle=rle,
        box=masks.box(rle),
        score=1.0,
        object_score=1.0,
        presence=1.0,
        source="imported",
        phrase=source,
        evidence=Evidence(asked=0, note=note),
        quality=1.0,
        verdict="right",
        reason=f"imported from {source}",
        route="accepted",
        reviewer=IMPORT,
    )


def _by_name(files: Sequence[ImageRow]) -> dict[str, str]:
    """File name -> content; last parts only where one file has it."""
    whole = {row.path: row.sha for row in files if row.sha and row.state != "unreadable"}
    last: dict[str, list[str]] = {}
    for path, sha in whole.items():
        last.setdefault(path.rsplit("/", 1)[-1], []).append(sha)
    return {name: shas[0] for name, shas in last.items() if len(set(shas)) == 1} | whole


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
        raise InputError(f"--import {source}: none of its pictures is among the {len(files)} that are labeled")
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
