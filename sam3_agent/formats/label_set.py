"""Labels on pictures as plain values: what every writer of label formats is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sam3_agent.errors import InputError
from sam3_agent.masks import Box, Rle


@dataclass(frozen=True, slots=True)
class MaskLabel:
    """One object on a picture."""

    id: str
    class_index: int
    """From 0, in the order of the classes."""
    rle: Rle
    box: Box
    """Tight, xyxy pixels."""
    score: float = 1.0
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Where it came from: phrase, scores, verdict, reviewer, model, cost."""


@dataclass(frozen=True, slots=True)
class LabeledImage:
    """One picture with its labels; all of them of the picture's size."""

    name: str
    """Path relative to the folder of pictures, with forward slashes."""
    stem: str
    """The name without its suffix; unique in a set."""
    width: int
    height: int
    labels: tuple[MaskLabel, ...] = ()
    split: str = "train"

    def __post_init__(self) -> None:
        for label in self.labels:
            if label.rle.size != (self.height, self.width):
                raise InputError(f"{self.name}: label {label.id} is of size {label.rle.size}, not of the picture's")


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Everything that is exported."""

    classes: tuple[str, ...]
    images: tuple[LabeledImage, ...]
    absent: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """Picture name -> classes known not to be on it."""
    model: str = ""

    def splits(self) -> tuple[str, ...]:
        """The names of the splits that have pictures, "train" first."""
        names = {image.split for image in self.images}
        return tuple(sorted(names, key=lambda name: (name != "train", name)))

    def of_split(self, split: str) -> list[LabeledImage]:
        """The pictures of a split in order."""
        return [image for image in self.images if image.split == split]


def unique_stems(names: list[str]) -> dict[str, str]:
    """Picture name -> stem; where two pictures differ in their suffix only, it becomes part of the stem."""
    stems = {name: name.rsplit(".", 1)[0] if "." in name.rsplit("/", 1)[-1] else name for name in names}
    counted: dict[str, int] = {}
    for stem in stems.values():
        counted[stem.lower()] = counted.get(stem.lower(), 0) + 1
    return {name: stem if counted[stem.lower()] == 1 else name.replace(".", "_") for name, stem in stems.items()}
