"""Instances on an image: one of them, and several as arrays, as other libraries want them, as a notebook shows them."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import Sam3AgentError
from sam3_agent.masks import Box, Rle


@dataclass(frozen=True, slots=True)
class Instance:
    """One object that was found; of a combined mask, the scores are those of its weakest part.

    `score = presence * object_score`, the presence being that of the view in which it was found: the whole picture, or
    the tile that saw it.
    """

    id: str
    """"m7": unique in a workspace, never renumbered."""
    rle: Rle
    box: Box
    score: float
    object_score: float

    def __repr__(self) -> str:
        box = ", ".join(f"{v:.0f}" for v in self.box)
        return f"Instance({self.id!r}, score={self.score:.2f}, box=({box}))"

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool at original size, decoded anew at each access."""
        return masks.decode(self.rle)

    @property
    def area(self) -> int:
        """Pixels in the mask."""
        return masks.area(self.rle)

    def to_json(self) -> dict[str, Any]:
        """The public JSON of an instance (DESIGN section 5)."""
        return {
            "id": self.id,
            "score": round(self.score, 4),
            "object_score": round(self.object_score, 4),
            "box": [round(v, 2) for v in self.box],
            "area": self.area,
            "mask": self.rle.to_json(),
        }


class ImageView(Protocol):
    """View of the image on which something was found: it draws it, as long as the image is open."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        ...

    def png(self, mask_ids: Sequence[str]) -> bytes | None:
        """Draw the image with these masks as a PNG file; None once it was forgotten."""
        ...


_MOST_LISTED = 5
"""Instances in a repr: one line on a terminal."""
_MOST_ROWS = 30
"""Instances in a notebook's table: a screen full."""


class Found:
    """Instances on one image, as arrays, as other libraries want them, and as a notebook shows them."""

    __slots__ = ()
    instances: tuple[Instance, ...]
    view: ImageView | None

    @property
    def title(self) -> str:
        """Question that was answered, for people."""
        return ""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image in pixels; (0, 0) where nothing tells."""
        if self.view is not None:
            return self.view.size
        return self.instances[0].rle.size if self.instances else (0, 0)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """(N, H, W) bool, decoded anew at each access; N may be 0."""
        stack = np.zeros((len(self.instances), *self.size), dtype=np.bool_)
        for place, instance in zip(stack, self.instances, strict=True):
            place[...] = instance.mask
        return stack

    @property
    def boxes(self) -> NDArray[np.float64]:
        """(N, 4) xyxy pixels."""
        return np.array([instance.box for instance in self.instances], dtype=np.float64).reshape(-1, 4)

    @property
    def scores(self) -> NDArray[np.float64]:
        """(N,) score of each instance, 0-1."""
        return np.array([instance.score for instance in self.instances], dtype=np.float64)

    def to_coco(self, *, image_id: int = 1, category_id: int = 1, first_id: int = 1) -> list[dict[str, Any]]:
        """Make COCO annotations of the instances: masks as compressed RLE, boxes as [x, y, width, height]."""
        return [
            {
                "id": first_id + number,
                "image_id": image_id,
                "category_id": category_id,
                "bbox": [round(v, 3) for v in (x0, y0, x1 - x0, y1 - y0)],
                "area": each.area,
                "iscrowd": 0,
                "segmentation": each.rle.to_json(),
                "score": each.score,
            }
            for number, each in enumerate(self.instances)
            for x0, y0, x1, y1 in [each.box]
        ]

    def to_supervision(self) -> Any:
        """Make `supervision.Detections`: boxes, masks and scores; class 0 is the question, named in `data`.

        Raises:
            Sam3AgentError: supervision is not installed.
        """
        count, ids = len(self.instances), [each.id for each in self.instances]
        return _library("supervision", "to_supervision").Detections(
            xyxy=self.boxes,
            mask=self.masks,
            confidence=self.scores,
            class_id=np.zeros(count, dtype=np.int64),
            data={"class_name": np.full(count, self.title), "id": np.array(ids, dtype=np.str_)},  # no ids are text too
        )

    def to_dataframe(self) -> Any:
        """Make a `pandas.DataFrame`, a row an instance: concept, id, score, object_score, x0, y0, x1, y1, area.

        Raises:
            Sam3AgentError: pandas is not installed.
        """
        columns: dict[str, Any] = {
            "concept": [self.title] * len(self.instances),
            "id": [each.id for each in self.instances],
            "score": self.scores,
            "object_score": np.array([each.object_score for each in self.instances], dtype=np.float64),
            **dict(zip(("x0", "y0", "x1", "y1"), self.boxes.T, strict=True)),
            "area": np.array([each.area for each in self.instances], dtype=np.int64),
        }
        return _library("pandas", "to_dataframe").DataFrame(columns)

    def _repr_png_(self) -> bytes | None:
        return self.view.png([each.id for each in self.instances]) if self.view is not None else None

    def _repr_html_(self) -> str:
        picture = self._repr_png_()
        source = f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}" if picture else ""
        shown = f'<img alt="{html.escape(repr(self))}" src="{source}" style="max-width: 100%">' if picture else ""
        cells = [(i.id, f"{i.score:.2f}", ", ".join(f"{v:.0f}" for v in i.box), i.area) for i in self.instances]
        rows = "".join(
            f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>" for row in cells[:_MOST_ROWS]
        )
        more = f"<p>and {len(cells) - _MOST_ROWS} more</p>" if len(cells) > _MOST_ROWS else ""
        table = f"<table><tr><th>id</th><th>score</th><th>box</th><th>area</th></tr>{rows}</table>{more}"
        return f"<div><p>{html.escape(repr(self))}</p>{shown}{table if cells else ''}</div>"

    def _listed(self) -> str:
        """Count the instances and name the first ones."""
        named = ", ".join(f"{i.id} {i.score:.2f}" for i in self.instances[:_MOST_LISTED])
        more = ", ..." if len(self.instances) > _MOST_LISTED else ""
        count = len(self.instances)
        return f"{count} instance{'' if count == 1 else 's'}{f': {named}{more}' if named else ''}"


def _library(name: str, method: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise Sam3AgentError(f"{method}() needs the package {name}: pip install {name}") from error
