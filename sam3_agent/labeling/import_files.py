"""Import of labels that were there before, for a run to extend."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam3_agent.errors import InputError
from sam3_agent.formats.known_images import KnownImages
from sam3_agent.formats.label_files import read_labels
from sam3_agent.formats.notes import Note, note_lines
from sam3_agent.labeling.imported import put_imported
from sam3_agent.labeling.journal import ImageRow, Journal


@dataclass(frozen=True, slots=True)
class Imported:
    """The outcome of reading one file."""

    source: Path
    read: int
    """Labels that were read, on how many images, and how many of them the journal had not yet."""
    images: int
    new: int
    lost: int
    """Labels that were left out; `notes` say why."""
    notes: tuple[Note, ...]

    def lines(self) -> list[str]:
        """Say it to a person."""
        counted = f"{self.source}: {self.read} labels on {self.images} images are read ({self.new} new)"
        return [f"{counted}, {self.lost} left out" if self.lost else counted, *note_lines(self.notes)]

    def to_json(self) -> dict[str, Any]:
        """Give one document for the summary of a run."""
        counted = {"read": self.read, "images": self.images, "new": self.new, "left_out": self.lost}
        return {"source": str(self.source), **counted, "notes": note_lines(self.notes)}


def import_labels(journal: Journal, files: Sequence[ImageRow], source: Path, root: Path) -> Imported:
    """Enter the labels of a file into a journal: COCO, YOLO, LabelMe or CVAT.

    Raises:
        InputError: the file cannot be read, or none of its labels belongs to the images.
    """
    contents = {row.path: row.sha for row in files if row.sha and row.state != "unreadable"}
    if not source.exists():
        raise InputError(f"--import {source}: no such file")
    read = read_labels(source, KnownImages(root, contents))
    found = {
        path: [(each.class_name, each.rle, each.box_only) for each in labels] for path, labels in read.labels.items()
    }
    new = put_imported(journal, files, found, source.name)
    images = sum(1 for labels in read.labels.values() if labels)
    return Imported(source, read.count, images, new, read.lost, read.notes)
