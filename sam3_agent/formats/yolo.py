"""Writer and reader of YOLO: one line an object, normalized polygons or boxes, with data.yaml.

Ultralytics looks for the label file of an image where "images" in its path is "labels"; the same rule, turned round,
says here which image a label file is made for.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import yaml

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_text
from sam3_agent.formats.found_labels import FoundImage, FoundLabel
from sam3_agent.formats.image_names import ImageNames, Matches
from sam3_agent.formats.known_images import KnownImages
from sam3_agent.formats.label_set import LabelSet, readable_suffix
from sam3_agent.formats.notes import Notes
from sam3_agent.formats.polygons_reduced import one_ring
from sam3_agent.formats.reading import decode_text, read_text
from sam3_agent.formats.yaml_document import dump_yaml, load_yaml_texts

FAR = 0.55
"""Pixels by which right and lower sides are moved in: Ultralytics cuts fractions off, supervision rounds, both then
paint the border too."""


def write_yolo(labels: LabelSet, out: Path) -> list[str]:
    """Write labels/SPLIT/STEM.txt, SPLIT.txt and data.yaml; gives warnings.

    Names have no folders: of an image in a folder "images" Ultralytics would look for the labels elsewhere, and others
    read one folder. There is no "path" in data.yaml: readers look for it in the folder that they are started in first.

    A line is "class x1 y1 x2 y2 ...", as Ultralytics reads it. A hole is cut open by a bridge of no width; the parts of
    an object are tied by a line of no width, as Ultralytics' own converter does, which readers paint one pixel wide.
    """
    tied = 0
    stems = labels.flat_stems()
    for image in labels.images:
        lines: list[str] = []
        for label in image.labels:
            line, parts = yolo_line(label.class_index, label.rle, labels.simplify)
            tied += parts > 1
            if line:
                lines.append(line)
        write_text(out / "labels" / image.split / f"{stems[image.name]}.txt", "".join(f"{line}\n" for line in lines))
    for split in labels.splits():
        names = [f"./images/{split}/{stems[image.name]}{readable_suffix(image)}\n" for image in labels.of_split(split)]
        write_text(out / f"{split}.txt", "".join(names))
    document: dict[str, Any] = {split: f"{split}.txt" for split in labels.splits()}
    document |= {} if "val" in document else {"val": "train.txt"}
    document["names"] = dict(enumerate(labels.classes))
    write_text(out / "data.yaml", dump_yaml(document))
    return [f"yolo: {tied} labels of several parts are tied by one-pixel lines: a line has one polygon"] if tied else []


def yolo_line(class_index: int, rle: masks.Rle, simplify: float = 0.0) -> tuple[str, int]:
    """Give the line of an object, and of how many parts it is; of an empty mask "" and 0."""
    ring, parts = one_ring(rle, simplify, FAR)
    if ring is None:
        return "", 0
    height, width = rle.size
    shares = ring / (width, height)
    return f"{class_index} " + " ".join(f"{v:.7f}" for v in shares.ravel()), parts


MOST_BYTES = 2_000_000
"""Of a data.yaml: PyYAML reads 200 kB a second."""
NAME_FILES = (".names", ".txt")
"""Suffixes of Darknet's lists of class names: obj.names, classes.txt."""
_SPLITS = ("train", "val", "valid", "test", "minival")
_NO_LABELS = ("classes.txt", "labels.txt", "obj.txt", "notes.txt", "requirements.txt", "predefined_classes.txt")
_NO_LABEL_STEMS = ("readme", "license")


@dataclass(frozen=True, slots=True)
class YoloDataset:
    """The description of a dataset."""

    file: Path
    names: Mapping[int, str]
    keypoints: int = 0
    """Numbers of keypoints that follow the box in a line; 0 for boxes and polygons."""
    splits: tuple[Path, ...] = ()
    """Folders of images and lists of images that the splits name, where they exist."""

    def place(self, path: Path) -> str:
        """Name a file of the dataset in a remark."""
        folder = self.file.parent.resolve()
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def read_dataset(file: Path, notes: Notes) -> YoloDataset:
    """Read a data.yaml, or a list of class names.

    Raises:
        InputError: it is no such file.
    """
    if file.suffix.lower() in NAME_FILES:
        return YoloDataset(file, _lines_of_names(file))
    document = _yaml(file)
    names = _names(document, file, notes)
    return YoloDataset(file, names, _keypoints(document, file), tuple(_split_paths(document, file)))


def label_files(dataset: YoloDataset) -> list[Path]:
    """List every text file that may hold labels of the dataset, each once, in the order of paths."""
    folder = dataset.file.parent.resolve()
    lists = {path for path in dataset.splits if path.is_file()}
    folders = {folder / "labels", *(path / "labels" for path in _folders(folder))}
    named = [path for path in dataset.splits if path.is_dir()]
    folders |= {_swapped(path, "images", "labels") for path in named if "images" in path.parts}
    listed = [_swapped(image, "images", "labels").with_suffix(".txt") for path in lists for image in _listed(path)]
    listed += [path for place in named for path in place.glob("*.txt")]  # not below: it may be any folder, even "/"
    found = {path.resolve() for path in listed if _exists(path)}
    found |= {path.resolve() for place in folders if place.is_dir() for path in place.rglob("*.txt")}
    if not found:
        found = {path.resolve() for path in folder.glob("*.txt")}  # Darknet: labels beside the images
    return sorted(path for path in found - lists if _may_hold_labels(path) and path != dataset.file.resolve())


def image_of(label_file: Path) -> Path:
    """Give the path of the image that a label file is for, without its suffix."""
    return _swapped(label_file, "labels", "images").with_suffix("")


def _may_hold_labels(path: Path) -> bool:
    name = path.name.lower()
    hidden = name.startswith(".") or name in _NO_LABELS
    return not hidden and not name.startswith(_NO_LABEL_STEMS)


def _swapped(path: Path, old: str, new: str) -> Path:
    """Give the path with its last folder `old` called `new`; as it is where it has none."""
    parts = list(path.parts)
    for index in range(len(parts) - 1, -1, -1):
        if parts[index] == old:
            parts[index] = new
            break
    return Path(*parts)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _yaml(file: Path) -> dict[str, Any]:
    text = read_text(file, fallback="cp1252")
    if len(text) > MOST_BYTES:
        raise InputError(f"{file}: {len(text)} characters are too many for a data.yaml")
    try:
        document = load_yaml_texts(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{file}: not YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(document, dict):
        raise InputError(f"{file}: no YOLO data.yaml with 'names'")
    return cast(dict[str, Any], document)


def _names(document: Mapping[str, Any], file: Path, notes: Notes) -> dict[int, str]:
    names = document.get("names")
    if isinstance(names, str) and names.strip():
        return _lines_of_names(file.parent / names)
    pairs: list[tuple[Any, Any]] = []
    if isinstance(names, dict):
        pairs = list(cast(dict[Any, Any], names).items())
    elif isinstance(names, list):
        pairs = list(enumerate(cast(list[Any], names)))
    elif str(document.get("nc", "")).isdecimal() and len(document["nc"]) < 6:
        notes.tolerate(file.name, "there are no 'names': classes are called class_0, class_1, ... as Ultralytics does")
        pairs = [(number, f"class_{number}") for number in range(int(document["nc"]))]
    if not pairs:
        raise InputError(f"{file}: no YOLO data.yaml with 'names'")
    found: dict[int, str] = {}
    for number, name in pairs:
        if not str(number).isdecimal() or not isinstance(name, str) or not name.strip():
            raise InputError(f"{file}: names: expected numbers with a name each, got {number!r:.40}: {name!r:.60}")
        found[int(number)] = name.strip()
    return found


def _lines_of_names(file: Path) -> dict[int, str]:
    names = [line.strip() for line in read_text(file, fallback="cp1252").splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names or not all(names):
        raise InputError(f"{file}: expected the name of a class on every line")
    return dict(enumerate(names))


def _keypoints(document: Mapping[str, Any], file: Path) -> int:
    shape = document.get("kpt_shape")
    if shape is None:
        return 0
    numbers = [str(number) for number in cast(list[Any], shape)] if isinstance(shape, list) else []
    if len(numbers) != 2 or not all(number.isdecimal() and 0 < int(number) < 10_000 for number in numbers):
        raise InputError(f"{file}: kpt_shape: expected [number of points, 2 or 3], got {shape!r:.60}")
    return int(numbers[0]) * int(numbers[1])


def _split_paths(document: Mapping[str, Any], file: Path) -> Iterator[Path]:
    """Find what the splits name and exists, looked for as Ultralytics does, and without Roboflow's "../"."""
    folder = file.parent.resolve()
    path = document.get("path")
    bases = [folder / path, folder] if isinstance(path, str) and path and "\0" not in path else [folder]
    for split in _SPLITS:
        value = document.get(split)
        entries: Sequence[Any] = cast(list[Any], value) if isinstance(value, list) else [value]
        for entry in entries:
            if not isinstance(entry, str) or not entry or "\0" in entry:
                continue
            for base in bases:
                tried = [base / entry, base / entry.removeprefix("../")]
                yield from (place.resolve() for place in tried[:1] if _exists(place))
                yield from (place.resolve() for place in tried[1:] if not _exists(tried[0]) and _exists(place))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def _listed(path: Path) -> Iterator[Path]:
    """Give the images of a list, whose relative paths begin at the list's folder."""
    for line in read_text(path, fallback="cp1252").splitlines():
        if line.strip() and "\0" not in line:
            yield path.parent / line.strip()


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
    stems = ImageNames(images.root, images.paths, lambda path: path, stems=True)
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
    """Give the numbers of the box or polygon without what follows them, and whether it is a box."""
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
            f"x, y, width, height must be shares of the image (0 to 1), got {_shown(values)}{_hint(values)}"
        )
    return masks.from_box(((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height), size)


def _polygon(values: Sequence[float], size: tuple[int, int]) -> masks.Rle:
    if not all(-OUTSIDE <= value <= 1 + OUTSIDE for value in values):
        raise InputError(f"corners must be shares of the image (0 to 1), got {_shown(values)}{_hint(values)}")
    points = np.array(values).reshape(-1, 2) * (size[1], size[0])
    canvas = np.zeros(size, dtype=np.uint8)
    cv2.fillPoly(canvas, [points.astype(np.int32)], 1)
    return masks.encode(canvas.astype(bool))


def _shown(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values[:4]) + (" ..." if len(values) > 4 else "")


def _hint(values: Sequence[float]) -> str:
    return ": these look like pixels" if sum(value > 2 for value in values) > len(values) // 2 else ""
