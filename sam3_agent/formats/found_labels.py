"""Labels as they are found in files of label formats, before they are compared with the images at hand."""

from dataclasses import dataclass

from sam3_agent.masks import Rle


@dataclass(frozen=True, slots=True)
class FoundLabel:
    """One object."""

    class_name: str
    rle: Rle
    box_only: bool = False
    """Whether the file has no more than a box, and the mask is that box."""


@dataclass(frozen=True, slots=True)
class FoundImage:
    """One image of a file, and what is labeled on it."""

    name: str
    """As the file names it: it may come from another machine, operating system or folder."""
    size: tuple[int, int]
    """(height, width) that the file's labels are made for."""
    labels: tuple[FoundLabel, ...]
    place: str
    """File and entry, for remarks."""
