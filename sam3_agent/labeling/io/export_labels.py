"""From a journal to files of label formats."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sam3_agent.errors import InputError
from sam3_agent.formats.coco_labels import write_coco_labels
from sam3_agent.formats.cvat import write_cvat
from sam3_agent.formats.fiftyone import write_fiftyone
from sam3_agent.formats.files import replacing
from sam3_agent.formats.label_set import LabeledImage, LabelSet, readable_suffix
from sam3_agent.formats.label_studio import write_label_studio
from sam3_agent.formats.labelme import write_labelme
from sam3_agent.formats.orientation import copy_picture
from sam3_agent.formats.parquet import write_parquet
from sam3_agent.formats.polygons_reduced import cost_of
from sam3_agent.formats.semantic import write_semantic
from sam3_agent.formats.shard_rows import Pictures
from sam3_agent.formats.vlm_jsonl import write_vlm_jsonl
from sam3_agent.formats.voc import write_voc
from sam3_agent.formats.webdataset import write_webdataset
from sam3_agent.formats.yolo import write_yolo
from sam3_agent.labeling.io.journal_labels import Selection, label_set
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.summary import images_folder

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
    "fiftyone": write_fiftyone,
}
"""Name on the command line -> writer."""
SHARDED: Mapping[str, Callable[[LabelSet, Path, Pictures | None, int], list[str]]] = {
    "parquet": write_parquet,
    "webdataset": write_webdataset,
}
"""Formats of few large files, which hold the images too where they are wanted."""
POLYGONS = ("coco-polygons", "yolo", "labelme")
"""Formats whose outlines can be reduced."""
_PICTURES: Mapping[str, Callable[[LabeledImage, str], str]] = {
    "yolo": lambda image, flat: f"images/{image.split}/{flat}{readable_suffix(image)}",
    "voc": lambda image, flat: f"JPEGImages/{flat}{readable_suffix(image)}",
    "labelme": lambda image, stem: f"{image.split}/{stem}{readable_suffix(image)}",
}
"""Place at which a format wants an image, given its stem in the set; else in images/, under its name."""
_FLAT = ("yolo", "voc")
"""Formats whose stems have no folders."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Outcome of an export."""

    out: Path
    format: str
    images: int
    labels: int
    splits: dict[str, int]
    left_out: dict[str, int]
    """Labels by their route, and files by their state, that are not in it."""
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give one document for `--json`."""
        counted = {"images": self.images, "labels": self.labels, "splits": self.splits}
        more = {"left_out": self.left_out, "warnings": list(self.warnings)}
        return {"out": str(self.out), "format": self.format, **counted, **more}


def export(journal: Journal, form: str, out: Path, selection: Selection, *, pictures: bool = False) -> ExportReport:
    """Write the labels of a journal in one format, with provenance.jsonl beside them, and the images if wanted.

    Raises:
        InputError: an unknown format, nothing to export, or an image is gone.
        OSError: the folder cannot be written.
    """
    if form not in FORMATS and form not in SHARDED:
        raise InputError(f"unknown format {form!r}; known: {', '.join((*FORMATS, *SHARDED))}")
    if selection.simplify and form not in POLYGONS:
        raise InputError(f"--simplify is for formats of polygons, {', '.join(POLYGONS)}; {form} keeps every pixel")
    with journal.snapshot() as still:
        return _export(still, form, out, selection, pictures=pictures)


def _export(journal: Journal, form: str, out: Path, selection: Selection, *, pictures: bool) -> ExportReport:
    labels = label_set(journal, selection)
    if not labels.images:
        raise InputError(f"{journal.path.parent} has no labeled images yet; run 'sam3-agent label' first")
    root = images_folder(journal)
    if form in SHARDED:
        warnings = SHARDED[form](labels, out, _reader(root, out) if pictures else None, selection.shard_bytes)
    else:
        warnings = FORMATS[form](labels, out)
    if selection.simplify:
        warnings = [*warnings, cost_of(labels).words()]
    count = write_provenance(labels, out / "provenance.jsonl")
    if pictures and form not in SHARDED:
        for image, place in picture_places(labels, form):
            copy_picture(root / image.name, out / place)
    elif form in _PICTURES:
        _, place = next(picture_places(labels, form))
        warnings = [*warnings, f"{form} looks for images such as {place}, which --images copies there"]
    splits, left_out = labels.splits(), _left_out(journal, selection)
    return ExportReport(out, form, sum(splits.values()), count, splits, left_out, tuple(warnings))


def _left_out(journal: Journal, selection: Selection) -> dict[str, int]:
    """Count labels by their route, and files by their state, that a selection leaves out; only what there is."""
    done = "SELECT sha FROM images WHERE state='done'"
    routes = journal.read(f"SELECT route, COUNT(*) FROM labels WHERE sha IN ({done}) GROUP BY route")
    states = journal.read("SELECT state, COUNT(*) FROM images WHERE state!='done' GROUP BY state")
    return {**{route: count for route, count in routes if route not in selection.routes}, **dict(states)}


def picture_places(labels: LabelSet, form: str) -> Iterator[tuple[LabeledImage, str]]:
    """Give each image and where the readers of a format look for it, relative to the export."""
    if form not in _PICTURES:
        yield from ((image, f"images/{image.name}") for image in labels.images)
        return
    stems = labels.flat_stems() if form in _FLAT else labels.stems()
    yield from ((image, _PICTURES[form](image, stems[image.name])) for image in labels.images)


def write_provenance(labels: LabelSet, path: Path) -> int:
    """Write one line a label: where it came from; gives how many there are."""
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for image in labels.images:
            for label in image.labels:
                entry = {"id": label.id, "image": image.name, "class": labels.classes[label.class_index]}
                file.write(json.dumps({**entry, **label.provenance}, ensure_ascii=False) + "\n")
                count += 1
    return count


def _reader(root: Path, out: Path) -> Pictures:
    """Give a reader of images as `copy_picture` writes them, one at a time."""

    def read(image: LabeledImage) -> bytes:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".writing-", dir=out) as folder:
            copy = Path(folder) / f"image{readable_suffix(image)}"
            copy_picture(root / image.name, copy)
            return copy.read_bytes()

    return read
