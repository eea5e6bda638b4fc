"""Labels on images as plain values: what every writer of label formats is given."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sam3_agent.errors import InputError
from sam3_agent.masks import Box, Rle, box


@dataclass(frozen=True, slots=True)
class MaskLabel:
    """One object on an image."""

    id: str
    class_index: int
    """From 0, in the order of the classes."""
    rle: Rle
    score: float = 1.0
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Origin: phrase, scores, verdict, reviewer, model, cost."""

    @property
    def box(self) -> Box:
        """Tight xyxy pixels of the mask: what a reader makes of the mask again."""
        return box(self.rle)


@dataclass(frozen=True, slots=True)
class LabeledImage:
    """One image with its labels; all of them of the image's size."""

    name: str
    """Path relative to the folder of images, with forward slashes."""
    width: int
    height: int
    labels: Sequence[MaskLabel] = ()
    """A tuple, or a sequence that reads them anew whenever it is gone through."""
    split: str = "train"

    def __post_init__(self) -> None:
        for label in self.labels if isinstance(self.labels, tuple) else ():
            if label.rle.size != (self.height, self.width):
                raise InputError(f"{self.name}: label {label.id} is of size {label.rle.size}, not of the image's")


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Labels of all images of an export."""

    classes: tuple[str, ...]
    images: Sequence[LabeledImage]
    """A tuple, or a sequence that reads them anew whenever it is gone through; so writers go through it in order."""
    absent: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """Image name -> classes known not to be on it."""
    model: str = ""
    simplify: float = 0.0
    """Tolerance in pixels of polygons for people who edit them; 0 for outlines that fill exactly the mask."""

    def __post_init__(self) -> None:
        for name in self.classes:
            if not name.isprintable():  # a line of a list, a tag of XML and a key of YAML hold it
                raise InputError(f"the class {name!r:.120} has characters that cannot be printed; rename it")

    def splits(self) -> dict[str, int]:
        """Count the images of each split that has any, "train" first."""
        counted = Counter(image.split for image in self.images)
        return {name: counted[name] for name in sorted(counted, key=lambda name: (name != "train", name))}

    def of_split(self, split: str) -> Iterator[LabeledImage]:
        """Give the images of a split in order."""
        return (image for image in self.images if image.split == split)

    def stems(self) -> dict[str, str]:
        """Image name -> the name without its suffix, unique in the set."""
        return unique_stems([image.name for image in self.images])

    def flat_stems(self) -> dict[str, str]:
        """Image name -> a stem without folders, unique in the set also where case says nothing.

        Slashes become "__"; readers that look into one folder, or take "images" in a path for their own, need it so.
        """
        return unique_stems([image.name for image in self.images], flat=True)


def unique_stems(names: Sequence[str], *, flat: bool = False) -> dict[str, str]:
    """Give each image name a stem that no other has, by any rule of a file system: case and composition say nothing.

    Where two images differ in their suffix only, it becomes part of the stem; what is still taken gets a number.
    """
    wanted = {name: _stem(name, flat=flat) for name in names}
    counted = Counter(_same_file(stem) for stem in wanted.values())
    taken = {_same_file(stem) for stem in wanted.values() if counted[_same_file(stem)] == 1}
    found: dict[str, str] = {}
    for name, stem in wanted.items():
        if counted[_same_file(stem)] > 1:
            with_suffix = _stem(name.replace(".", "_"), flat=flat)
            numbered = (with_suffix if n == 1 else f"{with_suffix}-{n}" for n in count(1))
            stem = next(each for each in numbered if _same_file(each) not in taken)
            taken.add(_same_file(stem))
        found[name] = stem
    return found


def suffix_of(image: LabeledImage) -> str:
    """Give the suffix of an image's name with its dot; "" where it has none."""
    last = image.name.rsplit("/", 1)[-1].lstrip(".")
    return f".{last.rsplit('.', 1)[-1]}" if "." in last else ""


_READ = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Suffixes that Ultralytics, supervision and datumaro read; others they skip in silence."""
_JPEG = (".jfif", ".jpe", ".jif", ".mpo")
"""Suffixes of files that are JPEG by their contents."""


def readable_suffix(image: LabeledImage) -> str:
    """Give the suffix under which readers find a copy of an image: its own, or ".jpg" and ".png" for unusual ones."""
    suffix = suffix_of(image)
    if suffix.lower() in _READ:
        return suffix
    return ".jpg" if suffix.lower() in _JPEG else ".png"


def _stem(name: str, *, flat: bool) -> str:
    stem = name.rsplit(".", 1)[0] if "." in name.rsplit("/", 1)[-1].lstrip(".") else name
    return _listable(stem.replace("/", "__")) if flat else stem


def _listable(stem: str) -> str:
    """Give the stem as a line of a list of images may hold it: on one line, and no comment."""
    line = "".join(each if each.isprintable() else "_" for each in stem)
    return f"_{line[1:]}" if line.startswith("#") else line


def _same_file(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold()
