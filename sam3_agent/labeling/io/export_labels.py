"""From a journal to files of label formats."""

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sam3_agent.errors import InputError
from sam3_agent.formats.coco_labels import write_coco_labels
from sam3_agent.formats.cvat import write_cvat
from sam3_agent.formats.fiftyone import write_fiftyone
from sam3_agent.formats.files import replacing
from sam3_agent.formats.label_set import LabeledImage, LabelSet, MaskLabel, readable_suffix, unique_stems
from sam3_agent.formats.label_studio import write_label_studio
from sam3_agent.formats.labelme import write_labelme
from sam3_agent.formats.orientation import is_upright
from sam3_agent.formats.parquet import write_parquet
from sam3_agent.formats.polygons_reduced import cost_of
from sam3_agent.formats.semantic import write_semantic
from sam3_agent.formats.shard_rows import SHARD_BYTES, Pictures
from sam3_agent.formats.vlm_jsonl import write_vlm_jsonl
from sam3_agent.formats.voc import write_voc
from sam3_agent.formats.webdataset import write_webdataset
from sam3_agent.formats.yolo import write_yolo
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.labeling.store.label import Label, Route
from sam3_agent.labeling.store.summary import class_names, images_folder, model_name

NEAR_BITS = 4
"""Images whose difference hashes differ in at most this many of 64 bits are near duplicates."""
TELLING = range(6, 59)
"""Hashes with fewer or more bits say too little: images that are almost of one color would all look alike."""


def split_of(images: Sequence[ImageRow], val: float, seed: int = 0) -> dict[str, str]:
    """Give the split, train or val, by SHA-256 of an image: the same for the same images, and for all near duplicates.

    `val` is the share of groups that are for validation; each group's side is drawn by a hash of its first image.
    """
    groups = near_duplicates([row.dhash for row in images])
    first: dict[int, str] = {}
    for row, group in zip(images, groups, strict=True):
        first[group] = min(first.get(group, row.sha), row.sha)
    drawn = {group: _draw(sha, seed) for group, sha in first.items()}
    return {row.sha: "val" if drawn[g] < val else "train" for row, g in zip(images, groups, strict=True)}


def near_duplicates(hashes: Sequence[str]) -> list[int]:
    """Give the group of each hash, named by its first member; images without a telling hash stand alone."""
    groups = list(range(len(hashes)))
    values = np.array([int(each, 16) if each else 0 for each in hashes], dtype=np.uint64)
    known = np.array([int(each, 16).bit_count() in TELLING if each else False for each in hashes], dtype=bool)
    for index in range(len(hashes)):
        if known[index]:
            near = np.flatnonzero(known[:index] & (_distance(values[:index], values[index]) <= NEAR_BITS))
            for other in near.tolist():
                a, b = _root(groups, index), _root(groups, other)
                groups[max(a, b)] = min(a, b)
    return [_root(groups, index) for index in range(len(hashes))]


def _distance(values: NDArray[np.uint64], one: np.uint64) -> NDArray[np.uint8]:
    return np.bitwise_count(values ^ one)


def _root(groups: list[int], index: int) -> int:
    while groups[index] != index:
        groups[index] = groups[groups[index]]
        index = groups[index]
    return index


def _draw(sha: str, seed: int) -> float:
    return int.from_bytes(hashlib.sha256(f"{seed} {sha}".encode()).digest()[:8], "big") / 2**64


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
    "labelme": lambda image, _: f"{image.split}/{image.stem}{readable_suffix(image)}",
}
"""Place at which a format wants an image, given its stem without folders; else in images/, under its name."""


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


@dataclass(frozen=True, slots=True)
class Selection:
    """Choice of the labels of a journal that are exported."""

    routes: tuple[Route, ...] = ("accepted",)
    val: float = 0.0
    seed: int = 0
    simplify: float = 0.0
    """Tolerance of polygons in pixels; 0 for exact ones."""
    shard_bytes: int = SHARD_BYTES
    """Size at which a sharded format begins a new file."""


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
    write_provenance(labels, out / "provenance.jsonl")
    if pictures and form not in SHARDED:
        for image, place in picture_places(labels, form):
            copy_picture(root / image.name, out / place)
    elif form in _PICTURES:
        places = picture_places(labels, form)
        warnings = [*warnings, f"{form} looks for images such as {places[0][1]}, which --images copies there"]
    splits = {split: len(labels.of_split(split)) for split in labels.splits()}
    count = sum(len(image.labels) for image in labels.images)
    return ExportReport(out, form, len(labels.images), count, splits, _left_out(journal, selection), tuple(warnings))


def _left_out(journal: Journal, selection: Selection) -> dict[str, int]:
    """Count labels by their route, and files by their state, that a selection leaves out; only what there is."""
    done = "SELECT sha FROM images WHERE state='done'"
    routes = journal.read(f"SELECT route, COUNT(*) FROM labels WHERE sha IN ({done}) GROUP BY route")
    states = journal.read("SELECT state, COUNT(*) FROM images WHERE state!='done' GROUP BY state")
    return {**{route: count for route, count in routes if route not in selection.routes}, **dict(states)}


def picture_places(labels: LabelSet, form: str) -> list[tuple[LabeledImage, str]]:
    """Give each image and where the readers of a format look for it, relative to the export."""
    place = _PICTURES.get(form, lambda image, _: f"images/{image.name}")
    stems = labels.flat_stems()
    return [(image, place(image, stems[image.name])) for image in labels.images]


def label_set(journal: Journal, selection: Selection) -> LabelSet:
    """Give the chosen labels of every labeled image, in a fixed order; duplicates of a file are left out."""
    images = journal.images("done")
    names = class_names(journal)
    marks = ", ".join("?" * len(selection.routes))
    found = journal.read(f"SELECT DISTINCT class FROM labels WHERE route IN ({marks})", selection.routes)
    classes = (*names, *sorted({str(name) for (name,) in found} - set(names)))
    places = {name: index for index, name in enumerate(classes)}
    stems = unique_stems([row.path for row in images])
    splits = split_of(images, selection.val, selection.seed) if selection.val else {}
    made = [
        LabeledImage(
            row.path,
            stems[row.path],
            row.width,
            row.height,
            JournalLabels(journal, row, selection.routes, places),
            splits.get(row.sha, "train"),
        )
        for row in images
    ]
    return LabelSet(classes, tuple(made), _absent(journal, places), model_name(journal), selection.simplify)


class JournalLabels(Sequence[MaskLabel]):
    """Labels of one image, read from the journal whenever they are gone through: those of all images take GB."""

    def __init__(self, journal: Journal, row: ImageRow, routes: Collection[Route], places: Mapping[str, int]) -> None:
        """`places` are the indices of classes by their names."""
        self._journal, self._row, self._routes, self._places = journal, row, routes, places

    def __iter__(self) -> Iterator[MaskLabel]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    @overload
    def __getitem__(self, index: int) -> MaskLabel: ...

    @overload
    def __getitem__(self, index: slice) -> list[MaskLabel]: ...

    def __getitem__(self, index: int | slice) -> MaskLabel | list[MaskLabel]:
        return self._read()[index]

    def _read(self) -> list[MaskLabel]:
        """Read the chosen ones; raises InputError for one that is not of the image's size."""
        chosen = [label for label in self._journal.labels(self._row.sha) if label.route in self._routes]
        for label in chosen:
            if label.rle.size != (self._row.height, self._row.width):
                raise InputError(f"{self._row.path}: label {label.id} is of size {label.rle.size}, not of the image's")
        return [
            MaskLabel(
                label.id,
                self._places[label.class_name],
                label.rle,
                label.score,
                dict(label.attributes),
                provenance_of(label),
            )
            for label in chosen
        ]


def write_provenance(labels: LabelSet, path: Path) -> None:
    """Give one line a label: where it came from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for image in labels.images:
            for label in image.labels:
                entry = {"id": label.id, "image": image.name, "class": labels.classes[label.class_index]}
                file.write(json.dumps({**entry, **label.provenance}, ensure_ascii=False) + "\n")


def copy_picture(source: Path, target: Path) -> None:
    """Copy an image; one that is turned by its EXIF is written upright, as the masks are, and one whose name tells
    another format than its contents in that format.
    """
    try:
        if not source.is_file():  # nor a pipe, which would be waited for
            raise FileNotFoundError
        with replacing(target) as temporary, Image.open(source) as picture:
            if is_upright(picture) and _keeps_format(source, target):
                shutil.copyfile(source, temporary)
                return
            form = picture.format if _keeps_format(source, target) else "PNG"
            upright = ImageOps.exif_transpose(picture)
            upright.save(temporary, form, quality=95)
    except FileNotFoundError as error:
        raise InputError(f"the image {source} is gone; export without --images, or put it back") from error


def _reader(root: Path, out: Path) -> Pictures:
    """Give a reader of images as `copy_picture` writes them, one at a time."""

    def read(image: LabeledImage) -> bytes:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".writing-", dir=out) as folder:
            copy = Path(folder) / f"image{readable_suffix(image)}"
            copy_picture(root / image.name, copy)
            return copy.read_bytes()

    return read


def _keeps_format(source: Path, target: Path) -> bool:
    return target.suffix == source.suffix or target.suffix != ".png"


def provenance_of(label: Label) -> dict[str, Any]:
    """Tell everything that is known about how a label came to be, in plain values."""
    evidence = label.evidence
    return {
        "source": label.source,
        "phrase": label.phrase,
        "score": round(label.score, 4),
        "object_score": round(label.object_score, 4),
        "presence": round(label.presence, 4),
        "quality": round(label.quality, 4),
        "agreement": round(evidence.agreement, 4),
        "competing_label": [evidence.competing_label, round(evidence.competing_score, 4)]
        if evidence.competing_label
        else None,
        "verdict": label.verdict,
        "judge": {"verdict": evidence.judged, "said": evidence.note, "model": evidence.judge}
        if evidence.judged
        else None,
        "reason": label.reason,
        "route": label.route,
        "decided_by": label.decided_by,
        "reviewer": label.reviewer or None,
        "model": label.model,
        "usd": label.usd,
    }


def _absent(journal: Journal, places: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Classes that are not on an image as far as is known: verified so, and without a label that is alive."""
    alive = "SELECT 1 FROM labels WHERE sha=checks.sha AND class=checks.class AND route!='rejected'"
    found = journal.read(
        "SELECT path, class FROM checks JOIN images ON images.sha=checks.sha"
        f" WHERE state='done' AND route='accepted' AND NOT EXISTS({alive})"
    )
    absent: dict[str, list[int]] = {}
    for path, name in found:
        if name in places:
            absent.setdefault(path, []).append(places[name])
    return {name: tuple(sorted(indices)) for name, indices in absent.items()}
