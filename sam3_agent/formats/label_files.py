"""Label files of any format, compared with the images at hand.

What does not fit to an image is left out and remarked on, and never taken for something else: a name that could mean
two images, labels made for another size, masks that fill nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.coco_reading import read_coco
from sam3_agent.formats.cvat import read_cvat
from sam3_agent.formats.fiftyone import is_fiftyone, read_fiftyone
from sam3_agent.formats.found_labels import FoundImage, FoundLabel
from sam3_agent.formats.image_names import Matches
from sam3_agent.formats.known_images import KnownImages
from sam3_agent.formats.labelme import read_labelme
from sam3_agent.formats.notes import Note, Notes, note_lines
from sam3_agent.formats.reading import read_json
from sam3_agent.formats.yolo import read_yolo

FORMS = (
    "a COCO or LabelMe .json, a YOLO data.yaml or list of names, a CVAT .xml, a folder of LabelMe files or a FiftyOne"
    " dataset"
)
_SHOWN = 5
"""Files that a name could mean are listed up to this number."""
Reader = Callable[[Path, KnownImages, Notes], list[FoundImage]]
_BY_SUFFIX: Mapping[str, Reader] = {".yaml": read_yolo, ".yml": read_yolo, ".names": read_yolo, ".xml": read_cvat}


@dataclass(frozen=True, slots=True)
class ReadLabels:
    """Labels of a file by the paths of the images at hand."""

    labels: Mapping[str, tuple[FoundLabel, ...]]
    notes: tuple[Note, ...]

    @property
    def count(self) -> int:
        """Labels in all."""
        return sum(len(labels) for labels in self.labels.values())

    @property
    def lost(self) -> int:
        """Labels that were left out."""
        return sum(note.lost for note in self.notes)


def read_labels(source: Path, images: KnownImages) -> ReadLabels:
    """Read the labels of a file that belong to the images at hand.

    Raises:
        InputError: the file cannot be read, or nothing in it can be used; the message says why.
    """
    notes = Notes()
    found = _reader(source)(source, images, notes)
    placed = _placed(found, images, source.name, notes)
    read = ReadLabels(placed, notes.all)
    if not read.count and read.lost:
        raise InputError(f"{source}: none of its labels can be used: {'; '.join(note_lines(notes.all)[:3])}")
    if not read.count and not any(image.name for image in found):
        raise InputError(f"{source}: there are no labels for the {len(images.paths)} images in it")
    return read


def _reader(source: Path) -> Reader:
    suffix = source.suffix.lower()
    if is_fiftyone(source):
        return read_fiftyone
    if source.is_dir():
        return read_labelme
    if suffix in _BY_SUFFIX or (suffix == ".txt" and source.is_file()):
        return _BY_SUFFIX.get(suffix, read_yolo)
    if suffix != ".json":
        raise InputError(f"{source}: give {FORMS}")
    return read_labelme if _is_labelme(source) else _read_coco


def _is_labelme(source: Path) -> bool:
    document = read_json(source, fallback="cp1252")
    return isinstance(document, dict) and "shapes" in document and "annotations" not in document


def _read_coco(source: Path, images: KnownImages, notes: Notes) -> list[FoundImage]:
    """COCO instances as labels: a crowd is no single object, and is left out."""
    dataset = read_coco(source, notes, images.size_of)
    names = {category.id: category.name for category in dataset.categories}
    labels: dict[int, list[FoundLabel]] = {image.id: [] for image in dataset.images}
    sizes = {image.id: (image.height, image.width) for image in dataset.images}
    for annotation in dataset.annotations:
        place = f"{source.name}: annotation {annotation.id}"
        if annotation.crowd:
            notes.leave_out(place, "a crowd (iscrowd) is no single object")
            continue
        size = sizes[annotation.image_id]
        rle = annotation.rle if annotation.rle is not None else masks.from_box(annotation.box, size)
        if not masks.area(rle):
            notes.leave_out(place, "it covers no pixel of the image")
            continue
        label = FoundLabel(names[annotation.category_id], rle, annotation.rle is None)
        labels[annotation.image_id].append(label)
    return [
        FoundImage(image.file_name, sizes[image.id], tuple(labels[image.id]), f"{source.name}: {image.file_name:.200}")
        for image in dataset.images
    ]


def _placed(
    found: Sequence[FoundImage], images: KnownImages, source: str, notes: Notes
) -> dict[str, tuple[FoundLabel, ...]]:
    """Give the labels by path; those of images that are not at hand, or of another size, go into the notes."""
    matches = images.names.match([image.name for image in found])
    why = _reasons(matches, len(images.paths))
    placed: dict[str, tuple[FoundLabel, ...]] = {}
    for image in found:
        place = image.place if image.name in image.place else f"{image.place} ({image.name:.200})"
        paths = matches.paths.get(image.name)
        if paths is None:
            if image.labels:
                notes.leave_out(place, why[image.name], len(image.labels))
            continue
        size = images.size(paths[0])
        if size != image.size:
            notes.leave_out(place, _other_size(image.size, size), len(image.labels))
            continue
        if image.name in matches.loose:
            notes.tolerate(place, f"taken for {paths[0]}, as the name alone says so")
        kept = [label for label in image.labels if masks.area(label.rle)]
        if len(kept) < len(image.labels):
            notes.leave_out(place, "it covers no pixel of the image", len(image.labels) - len(kept))
        placed[paths[0]] = (*placed.get(paths[0], ()), *kept)
    return placed


def _reasons(matches: Matches, count: int) -> dict[str, str]:
    """Name -> why it means no image."""
    reasons = dict.fromkeys(matches.unmatched, f"there is no image of that name among the {count} that are labeled")
    for name, paths in matches.ambiguous.items():
        more = f" or {len(paths) - _SHOWN} others" if len(paths) > _SHOWN else ""
        reasons[name] = f"it could be {' or '.join(paths[:_SHOWN])}{more}"
    for name, others in matches.contested.items():
        reasons[name] = f"{', '.join(others[:_SHOWN])} may be the same image"
    return reasons


def _other_size(labels: tuple[int, int], image: tuple[int, int] | None) -> str:
    if image is None:
        return "the image cannot be read"
    said = f"its labels are made for {labels[1]}x{labels[0]}, the image has {image[1]}x{image[0]} pixels"
    turned = (
        " when it stands upright: the labels were made before it was turned (EXIF)" if labels == image[::-1] else ""
    )
    return said + turned
