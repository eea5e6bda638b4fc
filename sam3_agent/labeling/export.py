"""From a journal to files of label formats."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from sam3_agent.errors import InputError
from sam3_agent.formats.coco_labels import write_coco_labels
from sam3_agent.formats.cvat import write_cvat
from sam3_agent.formats.files import replacing, write_text
from sam3_agent.formats.label_set import LabelledImage, LabelSet, MaskLabel, unique_stems
from sam3_agent.formats.label_studio import write_label_studio
from sam3_agent.formats.labelme import write_labelme
from sam3_agent.formats.orientation import is_upright
from sam3_agent.formats.semantic import write_semantic
from sam3_agent.formats.vlm_jsonl import write_vlm_jsonl
from sam3_agent.formats.voc import flat, write_voc
from sam3_agent.formats.yolo import picture_name, write_yolo
from sam3_agent.labeling.journal import ImageRow, Journal
from sam3_agent.labeling.label import Label, Route
from sam3_agent.labeling.split import split_of
from sam3_agent.labeling.summary import class_names

Writer = Callable[[LabelSet, Path], list[str]]
FORMATS: Mapping[str, Writer] = {
    "coco": write_coco_labels,
    "coco-polygons": lambda labels, out: write_coco_labels(labels, out, "polygons"),
    "yolo": write_yolo,
    "voc": write_voc,
    "labelme": write_labelme,
    "cvat": write_cvat,
    "label-studio": write_label_studio,
    "semantic": write_semantic,
    "mllm": write_vlm_jsonl,
}
"""Name on the command line -> writer."""
_PICTURES: Mapping[str, Callable[[LabelledImage], str]] = {
    "yolo": lambda image: f"images/{image.split}/{picture_name(image)}",
    "voc": lambda image: f"JPEGImages/{flat(image.name)}",
    "labelme": lambda image: f"{image.split}/{picture_name(image)}",
}
"""Where a format wants the pictures; elsewhere in images/, under their names."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written."""

    out: Path
    format: str
    images: int
    labels: int
    splits: dict[str, int]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """One document for `--json`."""
        counted = {"images": self.images, "labels": self.labels, "splits": self.splits}
        return {"out": str(self.out), "format": self.format, **counted, "warnings": list(self.warnings)}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which labels of a journal are exported."""

    routes: tuple[Route, ...] = ("accepted",)
    val: float = 0.0
    seed: int = 0


def export(journal: Journal, form: str, out: Path, selection: Selection, *, pictures: bool = False) -> ExportReport:
    """Write the labels of a journal in one format, with provenance.jsonl beside them, and the pictures if wanted.

    Raises:
        InputError: an unknown format, nothing to export, or a picture is gone.
        OSError: the folder cannot be written.
    """
    if form not in FORMATS:
        raise InputError(f"unknown format {form!r}; known: {', '.join(FORMATS)}")
    labels = label_set(journal, selection)
    if not labels.images:
        raise InputError(f"{journal.path.parent} has no labelled pictures yet; run 'sam3-agent label' first")
    warnings = FORMATS[form](labels, out)
    write_provenance(labels, out / "provenance.jsonl")
    if pictures:
        root = Path(journal.meta("images"))
        place = _PICTURES.get(form, lambda image: f"images/{image.name}")
        for image in labels.images:
            copy_picture(root / image.name, out / place(image))
    pending = len(journal.images("pending"))
    if pending:
        warnings = [*warnings, f"{pending} pictures are not labelled yet and left out"]
    splits = {split: len(labels.of_split(split)) for split in labels.splits()}
    count = sum(len(image.labels) for image in labels.images)
    return ExportReport(out, form, len(labels.images), count, splits, tuple(warnings))


def label_set(journal: Journal, selection: Selection) -> LabelSet:
    """The chosen labels of every labelled picture, in a fixed order; duplicates of a file are left out."""
    images = journal.images("done")
    labels = journal.labels()
    by_image: dict[str, list[Label]] = {}
    for label in labels:
        if label.route in selection.routes:
            by_image.setdefault(label.sha, []).append(label)
    names = class_names(journal)
    further = {label.class_name for chosen in by_image.values() for label in chosen} - set(names)
    classes = (*names, *sorted(further))
    stems = unique_stems([row.path for row in images])
    splits = split_of(images, selection.val, selection.seed) if selection.val else {}
    made = [
        _image(row, stems[row.path], by_image.get(row.sha, []), classes, splits.get(row.sha, "train")) for row in images
    ]
    return LabelSet(classes, tuple(made), _absent(journal, labels, images, classes), str(journal.meta("eye") or ""))


def write_provenance(labels: LabelSet, path: Path) -> None:
    """One line a label: where it came from."""
    lines = [
        json.dumps(
            {"id": label.id, "image": image.name, "class": labels.classes[label.class_index], **label.provenance},
            ensure_ascii=False,
        )
        for image in labels.images
        for label in image.labels
    ]
    write_text(path, "".join(f"{line}\n" for line in lines))


def copy_picture(source: Path, target: Path) -> None:
    """Copy a picture; one that is turned by its EXIF is written upright, as the masks are."""
    try:
        with replacing(target) as temporary, Image.open(source) as picture:
            if is_upright(picture):
                shutil.copyfile(source, temporary)
            else:
                ImageOps.exif_transpose(picture).save(temporary, picture.format, quality=95)
    except FileNotFoundError as error:
        raise InputError(f"the picture {source} is gone; export without --pictures, or put it back") from error


def provenance_of(label: Label) -> dict[str, Any]:
    """Everything that is known about how a label came to be, in plain values."""
    evidence = label.evidence
    return {
        "source": label.source,
        "phrase": label.phrase,
        "score": round(label.score, 4),
        "object_score": round(label.object_score, 4),
        "presence": round(label.presence, 4),
        "quality": round(label.quality, 4),
        "agreement": round(evidence.agreement, 4),
        "rival": [evidence.rival, round(evidence.rival_score, 4)] if evidence.rival else None,
        "verdict": label.verdict,
        "judge": {"verdict": evidence.judged, "said": evidence.note, "model": evidence.judge}
        if evidence.judged
        else None,
        "reason": label.reason,
        "route": label.route,
        "reviewer": label.reviewer or None,
        "model": label.model,
        "usd": label.usd,
    }


def _image(row: ImageRow, stem: str, labels: Sequence[Label], classes: Sequence[str], split: str) -> LabelledImage:
    places = {name: index for index, name in enumerate(classes)}
    made = [
        MaskLabel(
            label.id,
            places[label.class_name],
            label.rle,
            label.box,
            label.score,
            dict(label.attributes),
            provenance_of(label),
        )
        for label in labels
    ]
    return LabelledImage(row.path, stem, row.width, row.height, tuple(made), split)


def _absent(
    journal: Journal, labels: Sequence[Label], images: Sequence[ImageRow], classes: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """Classes that are not on a picture as far as is known: verified so, and without a label that is alive."""
    paths = {row.sha: row.path for row in images}
    alive = {(label.sha, label.class_name) for label in labels if label.route != "rejected"}
    absent: dict[str, list[int]] = {}
    for check in journal.checks():
        key = (check.sha, check.class_name)
        if check.route == "accepted" and key not in alive and check.sha in paths and check.class_name in classes:
            absent.setdefault(paths[check.sha], []).append(classes.index(check.class_name))
    return {name: tuple(sorted(indices)) for name, indices in absent.items()}
