"""Reader of YOLO labels: boxes, polygons and poses of text files, with the layouts that Ultralytics and Roboflow write.

Ultralytics looks for the label file of an image where "images" in its path is "labels"; the same rule, turned round,
says here which image a label file is made for.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.found_labels import FoundImage, FoundLabel
from sam3_agent.formats.image_names import ImageNames, Matches
from sam3_agent.formats.known_images import KnownImages
from sam3_agent.formats.notes import Notes
from sam3_agent.formats.reading import decode_text
from sam3_agent.formats.yolo_dataset import YoloDataset, image_of, label_files, read_dataset

OUTSIDE = 0.1
"""Share of the image that corners of a polygon may lie outside of it, and are cut off there: annotators overshoot."""
_MANY = 10
"""Ambiguous files are listed up to this number."""


def read_yolo(data: Path, images: KnownImages, notes: Notes) -> list[FoundImage]:
    """Read the label files of a dataset that belong to the images at hand.

    Args:
        data: a data.yaml, or a list of class names with "labels" beside it.
        images: the images: label files hold shares of their sides.
        notes: takes what is left out.

    Raises:
        InputError: the file is no such file; the message names it.
    """
    dataset = read_dataset(data, notes)
    files = label_files(dataset)
    stems = ImageNames(images.root, images.contents, stems=True)
    by_image = {str(image_of(file)): file for file in files}
    matches = stems.match(list(by_image))
    _note_unmatched(matches, by_image, dataset, notes)
    found: list[FoundImage] = []
    for name, paths in matches.paths.items():
        for path in paths:
            size = images.size(path)
            if size is None:
                notes.leave_out(dataset.place(by_image[name]), f"the image {path} cannot be read", 0)
                continue
            place = dataset.place(by_image[name])
            found.append(FoundImage(path, size, tuple(_read_file(by_image[name], place, dataset, size, notes)), place))
    return found


def _note_unmatched(matches: Matches, files: Mapping[str, Path], dataset: YoloDataset, notes: Notes) -> None:
    for name in matches.unmatched:
        _leave_out_file(files[name], dataset, "there is no image of that name among those that are labeled", notes)
    for name, paths in matches.ambiguous.items():
        listed = " or ".join(paths[:_MANY])
        _leave_out_file(files[name], dataset, f"it could belong to {listed}", notes)
    for name, others in matches.contested.items():
        rivals = ", ".join(dataset.place(files[other]) for other in others[:_MANY])
        _leave_out_file(files[name], dataset, f"{rivals} may belong to the same image", notes)


def _leave_out_file(path: Path, dataset: YoloDataset, words: str, notes: Notes) -> None:
    lines = [line for line in _bytes(path).splitlines() if line.strip()]
    if lines:
        notes.leave_out(dataset.place(path), words, len(lines))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _read_file(
    path: Path, place: str, dataset: YoloDataset, size: tuple[int, int], notes: Notes
) -> Iterator[FoundLabel]:
    data = _bytes(path)
    try:
        text = decode_text(data, path)
    except InputError as error:
        notes.leave_out(place, str(error).removeprefix(f"{path}: "), max(1, len(data.splitlines())))
        return
    seen: set[tuple[str, ...]] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        words = tuple(line.replace(",", " ").split())
        if not words or words[0].startswith("#"):
            continue
        if words in seen:
            notes.tolerate(f"{place}:{number}", "the same line again is read once")
            continue
        seen.add(words)
        try:
            yield _label(words, dataset, size, f"{place}:{number}", notes)
        except InputError as error:
            notes.leave_out(f"{place}:{number}", str(error))


def _label(words: Sequence[str], dataset: YoloDataset, size: tuple[int, int], place: str, notes: Notes) -> FoundLabel:
    try:
        kind, *values = (float(word) for word in words)
    except ValueError as error:
        raise InputError(f"not 'class x y ...': {' '.join(words)!r:.60}") from error
    if kind not in dataset.names:
        raise InputError(f"class {words[0]:.20} is not among the {len(dataset.names)} names of {dataset.file.name}")
    if not all(math.isfinite(value) for value in values):
        raise InputError("a number is not finite")
    name = dataset.names[int(kind)]
    values, box_only = _shape(values, dataset.keypoints, place, notes)
    rle = _box(values, size) if box_only else _polygon(values, size)
    if not masks.area(rle):
        raise InputError("it covers no pixel of the image")
    return FoundLabel(name, rle, box_only)


def _shape(values: list[float], keypoints: int, place: str, notes: Notes) -> tuple[list[float], bool]:
    """The numbers of the box or polygon without what follows them, and whether it is a box."""
    if keypoints:
        if len(values) < 4:
            raise InputError(f"expected a box of 4 numbers and keypoints, got {len(values)} numbers")
        notes.tolerate(place.rpartition(":")[0], "keypoints (kpt_shape) are not read, their boxes are")
        return values[:4], True
    if len(values) == 5:
        notes.tolerate(place.rpartition(":")[0], "a sixth column is taken for confidence and not read")
        return values[:4], True
    if len(values) == 4:
        return values, True
    if len(values) < 6 or len(values) % 2:
        raise InputError(
            f"expected 4 numbers (a box) or at least 3 pairs (a polygon), got {len(values)}; poses need kpt_shape"
        )
    return values, False


def _box(values: Sequence[float], size: tuple[int, int]) -> masks.Rle:
    x, y, w, h = values
    height, width = size
    if not all(-0.01 <= value <= 1.01 for value in values):
        raise InputError(
            f"x, y, width, height must be shares of the image (0 to 1), got {_listed(values)}{_hint(values)}"
        )
    return masks.from_box(((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height), size)


def _polygon(values: Sequence[float], size: tuple[int, int]) -> masks.Rle:
    if not all(-OUTSIDE <= value <= 1 + OUTSIDE for value in values):
        raise InputError(f"corners must be shares of the image (0 to 1), got {_listed(values)}{_hint(values)}")
    points = np.array(values).reshape(-1, 2) * (size[1], size[0])
    canvas = np.zeros(size, dtype=np.uint8)
    cv2.fillPoly(canvas, [points.astype(np.int32)], 1)
    return masks.encode(canvas.astype(bool))


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values[:4]) + (" ..." if len(values) > 4 else "")


def _hint(values: Sequence[float]) -> str:
    return ": these look like pixels" if sum(value > 2 for value in values) > len(values) // 2 else ""
