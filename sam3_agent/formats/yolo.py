"""YOLO segmentation: one line an object, normalized polygons, with data.yaml."""

from pathlib import Path
from typing import Any, cast

import yaml

from sam3_agent import masks
from sam3_agent.formats.files import write_text
from sam3_agent.formats.label_set import LabeledImage, LabelSet
from sam3_agent.formats.polygons_exact import joined, parts_of

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
    write_text(out / "data.yaml", cast(Any, yaml).safe_dump(document, sort_keys=False, allow_unicode=True))
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
