"""Import of labels that were there before: they are extended and never touched."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.found_labels import FoundLabel
from sam3_agent.formats.known_images import KnownImages
from sam3_agent.formats.label_files import ReadLabels, read_labels
from sam3_agent.formats.notes import Note, note_lines
from sam3_agent.labeling.pipeline.scan import pictures_in, root_of
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.labeling.store.label import IMPORT, Evidence, Label


@dataclass(frozen=True, slots=True)
class Imported:
    """Outcome of reading one file."""

    source: Path
    read: int
    """Labels that were read."""
    images: int
    """Images that they lie on."""
    new: int
    """Labels that the journal had not yet."""
    lost: int
    """Labels that were left out; `notes` say why."""
    notes: tuple[Note, ...]

    def lines(self) -> list[str]:
        """Say it to a person."""
        counted = f"{self.source}: {self.read} labels on {self.images} images read, {self.new} of them new"
        return [f"{counted}; {self.lost} left out" if self.lost else counted, *note_lines(self.notes)]

    def to_json(self) -> dict[str, Any]:
        """Give one document for the summary of a run."""
        counted = {"read": self.read, "images": self.images, "new": self.new, "left_out": self.lost}
        return {"source": str(self.source), **counted, "notes": note_lines(self.notes)}


def read_source(source: Path, images: Path) -> ReadLabels:
    """Read the labels of a COCO, YOLO, LabelMe or CVAT file for a folder of images; no model is needed for it.

    Raises:
        InputError: the file cannot be read, or none of its labels belongs to the images.
    """
    if not source.exists():
        raise InputError(f"--import {source}: no such file")
    root = root_of(images)
    return read_labels(source, KnownImages(root, [path.relative_to(root).as_posix() for path in pictures_in(images)]))


def import_labels(journal: Journal, files: Iterable[ImageRow], source: Path, read: ReadLabels) -> Imported:
    """Enter what was read of a file into a journal."""
    shas = {row.path: row.sha for row in files if row.sha and row.state != "unreadable"}
    labels = {path: found for path, found in read.labels.items() if path in shas and found}
    new = put_imported(journal, shas, labels, source.name)
    return Imported(source, sum(len(found) for found in labels.values()), len(labels), new, read.lost, read.notes)


def put_imported(
    journal: Journal, shas: Mapping[str, str], labels: Mapping[str, Sequence[FoundLabel]], source: str
) -> int:
    """Enter labels by the paths of their images into the journal; gives how many were new.

    A label is known by its image, class and mask: entering the same file again, or another one that says the same,
    adds nothing, and what two files say differently is kept of both.
    """
    found: dict[str, dict[str, Label]] = {}
    for path, entries in labels.items():
        for entry in entries:
            label = _imported(shas[path], entry, source)
            found.setdefault(shas[path], {}).setdefault(label.id, label)
    fresh: list[Label] = []
    for sha, by_id in found.items():
        known = {label.id for label in journal.labels(sha)}
        fresh += [label for name, label in by_id.items() if name not in known]
    journal.put_labels(fresh)
    return len(fresh)


def _imported(sha: str, found: FoundLabel, source: str) -> Label:
    digest = hashlib.sha256(f"{found.class_name}\0{found.rle.counts}".encode()).hexdigest()
    note = "only the box is known; the mask is that box" if found.box_only else ""
    return Label(
        id=f"{sha[:16]}.i{digest[:10]}",
        sha=sha,
        class_name=found.class_name,
        rle=found.rle,
        box=masks.box(found.rle),
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
        decided_by="file",
        reviewer=IMPORT,
    )
