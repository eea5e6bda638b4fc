"""A case: one question about one image or video, with its truth."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pydantic
from numpy.typing import NDArray
from pydantic import Field

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_evals.journal import MOST_TEXT, checked_line
from sam3_evals.metrics.iou import empty_mask

MOST_SIDE = masks.MOST_PIXELS
"""Of an image, or of the frames of a video below each other."""
MOST_FRAMES = 1_000_000


@dataclass(frozen=True, slots=True)
class Footage:
    """A video as a dataset hands it out: the files of its frames, in order."""

    frames: tuple[Path, ...]
    fps: float = 0.0
    """0 where it is not known."""


Still = Path | NDArray[np.uint8]
"""An image: a file, or (H, W, 3) uint8 RGB."""
Source = Still | Footage
"""Sample that a dataset hands out for a case."""


def still(source: Source) -> Still:
    """The source as an image; raises InputError for a video."""
    if isinstance(source, Footage):
        raise InputError("this is a video; whoever takes images only cannot open it")
    return source


class _PairLine(pydantic.BaseModel):
    true: Annotated[str, Field(max_length=MOST_TEXT)]
    object: dict[str, Any]


class _CaseLine(pydantic.BaseModel):
    """Line of `cases.jsonl`; a run may come from a stranger."""

    id: Annotated[str, Field(max_length=MOST_TEXT)]
    picture: Annotated[str, Field(max_length=MOST_TEXT)]
    query: Annotated[str, Field(max_length=MOST_TEXT)]
    size: tuple[Annotated[int, Field(ge=1, le=MOST_SIDE)], Annotated[int, Field(ge=1, le=MOST_SIDE)]]
    targets: list[dict[str, Any]]
    ignore: dict[str, Any] | None
    strata: dict[str, str]
    by_instance: bool
    others: list[list[dict[str, Any]]]
    frames: Annotated[int, Field(ge=0, le=MOST_FRAMES)] = 0
    pair: _PairLine | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Phrases about one object, of which one is true and the others only seem to be."""

    true: str
    """Id of the case with the true phrase, which stands before the others."""
    object: Rle
    """The object that they all are about."""


@dataclass(frozen=True, slots=True)
class Case:
    """One question; no target means that nothing in the image matches it.

    A video is its frames side by side: its masks are as wide as all frames together (`masks.beside`), so that areas and
    overlaps are those of volumes and every metric of images holds for it too.
    """

    id: str
    """Unique in its dataset, stable from run to run."""
    picture: str
    """Name that its dataset's `picture()` opens; cases about one image follow each other."""
    query: str
    size: tuple[int, int]
    """(height, width) in pixels, upright; of a video, with the width of all frames together."""
    targets: tuple[Rle, ...] = ()
    """One mask per instance, or one for all of them where a dataset knows only the whole."""
    ignore: Rle | None = None
    """Pixels that count neither for nor against."""
    strata: dict[str, str] = field(default_factory=dict[str, str])
    """Groups that it is reported under, such as {"kind": "superlative", "form": "short"}."""
    by_instance: bool = True
    """Whether `targets` tells the instances apart, so that instance metrics mean something."""
    others: tuple[tuple[Rle, ...], ...] = ()
    """Targets as further annotators saw them; a prediction is held against the one that serves it best."""
    frames: int = 0
    """Of a video; 0 for an image."""
    pair: Pair | None = None
    """Of the true phrase and of misleading ones."""

    @property
    def target(self) -> Rle:
        """All targets together."""
        return masks.union(self.targets) if self.targets else empty_mask(*self.size)

    def to_json(self) -> dict[str, Any]:
        """One line of `cases.jsonl`; images have no "frames", as in runs made before there were videos."""
        document: dict[str, Any] = {
            "id": self.id,
            "picture": self.picture,
            "query": self.query,
            "size": list(self.size),
            "targets": [target.to_json() for target in self.targets],
            "ignore": self.ignore.to_json() if self.ignore else None,
            "strata": self.strata,
            "by_instance": self.by_instance,
            "others": [[target.to_json() for target in targets] for targets in self.others],
        }
        pair = {"true": self.pair.true, "object": self.pair.object.to_json()} if self.pair else {}
        return document | ({"frames": self.frames} if self.frames else {}) | ({"pair": pair} if pair else {})

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Case":
        """Read what `to_json` wrote.

        Raises:
            InputError: it is no case; the message names the field.
        """
        line = checked_line(_CaseLine, value, "case")
        return cls(
            id=line.id,
            picture=line.picture,
            query=line.query,
            size=line.size,
            targets=tuple(masks.from_json(target) for target in line.targets),
            ignore=masks.from_json(line.ignore) if line.ignore else None,
            strata=line.strata,
            by_instance=line.by_instance,
            others=tuple(tuple(masks.from_json(target) for target in targets) for targets in line.others),
            frames=line.frames,
            pair=Pair(line.pair.true, masks.from_json(line.pair.object, line.size)) if line.pair else None,
        )
