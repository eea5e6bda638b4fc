"""YOLO datasets on disk: data.yaml, class names, and where label files lie."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from sam3_agent.errors import InputError
from sam3_agent.formats.notes import Notes
from sam3_agent.formats.reading import read_text

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
    """Every text file that may hold labels of the dataset, each once, in the order of paths."""
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
    """The path of the image that a label file is for, without its suffix."""
    return _swapped(label_file, "labels", "images").with_suffix("")


def _may_hold_labels(path: Path) -> bool:
    name = path.name.lower()
    hidden = name.startswith(".") or name in _NO_LABELS
    return not hidden and not name.startswith(_NO_LABEL_STEMS)


def _swapped(path: Path, old: str, new: str) -> Path:
    """The path with its last folder `old` called `new`; as it is where it has none."""
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
        # BaseLoader: a class called "no" stays a text, and is not False.
        document: object = yaml.load(text, Loader=yaml.BaseLoader)
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
    """What the splits name and exists, looked for as Ultralytics does, and where Roboflow's "../" is one too many."""
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
    """The images of a list, whose relative paths begin at the list's folder."""
    for line in read_text(path, fallback="cp1252").splitlines():
        if line.strip() and "\0" not in line:
            yield path.parent / line.strip()
