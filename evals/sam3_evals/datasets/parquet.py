"""Tables with a question a row, as papers of 2026 ship them: image, text, mask, ann_id, and often a class of reasoning.

`parquet:PATH`: a file, or the folder of one split. The form is VisionReasoner's (Ricky06662/ReasonSeg_test): `image`,
`text`, `mask` (rows of true and false), `image_id`, `ann_id`, `img_height`, `img_width`. StAR's ReasonSeg-R and
ReasonSeg-X (with `reasoning_type`) and its MUSE have it too. Other names of columns that are known stand in NAMES.
Such tables do not tell pixels that LISA ignores from those that are meant: figures are those of VisionReasoner's
convention, whatever they are called.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.formats.orientation import TAG, UPRIGHT
from sam3_agent.masks import Rle
from sam3_agent.workspace.image_loading import image_size, read_source
from sam3_evals.datasets.tables import Table, masks_of, table_files
from sam3_evals.sample import Case, Source

NAMES: dict[str, tuple[str, ...]] = {
    "image": ("image", "img", "source_image", "picture"),
    "text": ("text", "query", "question", "problem", "expression", "instruction", "prompt"),
    "mask": ("mask", "masks", "gt_mask", "solution_mask", "segmentation", "human_1_masks"),
    "id": ("ann_id", "id", "question_id", "sample_id"),
    "image_id": ("image_id", "img_id", "file_name"),
    "height": ("img_height", "height"),
    "width": ("img_width", "width"),
    "reasoning": ("reasoning_type", "reasoning", "question_type", "query_type", "type", "category", "dimension"),
}
"""Column by what it means; the first that a table has is taken."""
_FURTHER = ("human_2_masks", "human_3_masks")
"""Masks of further annotators: the form of SA-Co/Gold in lmms-eval (yasserDahou/saco-gold)."""
_NEEDED = ("image", "text", "mask")
_MOST_CLASSES = 40
"""A column with more values is no class of reasoning."""


@dataclass(frozen=True)
class Parquet:
    """One split."""

    kind: str
    path: Path
    table: Table

    @classmethod
    def open(cls, argument: str, _solver: str, _seed: int) -> "Parquet":
        """Open a file, or the folder of a split.

        Raises:
            InputError: there is no table.
        """
        return cls.of("parquet", argument)

    @classmethod
    def of(cls, kind: str, argument: str) -> "Parquet":
        """Open a table under another name; raises InputError where there is none."""
        path = Path(argument).expanduser()
        files = table_files(path)
        if not files:
            raise InputError(f"{argument}: no .parquet or .arrow file, nor a folder of them")
        return cls(kind, path, Table(files))

    @property
    def name(self) -> str:
        """The spec: "parquet:PATH"."""
        return f"{self.kind}:{self.path}"

    def cases(self, limit: int | None) -> Iterator[Case]:
        """One case a row, in their order."""
        del limit
        seen: dict[str, int] = {}
        wanted = [self._columns[each] for each in ("text", "mask", "id", "reasoning") if each in self._columns]
        others = [name for name in _FURTHER if name in self.table.columns]
        for (number, row), picture in zip(
            self.table.rows([*dict.fromkeys(wanted), *others]), self._images, strict=True
        ):
            where = f"{self.path}: row {number}"
            targets, apart = masks_of(row[self._columns["mask"]], f"{where}: {self._columns['mask']}")
            yield Case(
                id=self._id(number, row, seen),
                picture=str(picture),
                query=_text(row[self._columns["text"]], f"{where}: {self._columns['text']}"),
                size=self._size(number, targets),
                targets=targets,
                others=tuple(masks_of(row[name], f"{where}: {name}")[0] for name in others),
                strata=self._strata(row),
                by_instance=apart,
            )

    def picture(self, case: Case) -> Source:
        """Decode the image of the row that the case names: upright, or as stored where that is the mask's size."""
        where = f"{self.path}: row {case.picture}"
        if not case.picture.isdecimal():
            raise InputError(f"{where}: a case of another dataset")
        data = self.table.image(int(case.picture), self._columns["image"])
        pixels, _ = read_source(data)  # (H, W, 3)
        if pixels.shape[:2] != case.size and _turned(data):
            pixels, _ = read_source(_as_stored(data))
        if pixels.shape[:2] != case.size:
            raise InputError(f"{where}: an image of {list(pixels.shape[:2])} for a mask of {list(case.size)}")
        return pixels

    @cached_property
    def _columns(self) -> dict[str, str]:
        """The table's column for each meaning that it has one for."""
        there = self.table.columns
        found = {
            meaning: name for meaning, names in NAMES.items() if (name := next((n for n in names if n in there), None))
        }
        for meaning in _NEEDED:
            if meaning not in found:
                raise InputError(
                    f"{self.path}: no column for the {meaning} ({', '.join(NAMES[meaning])}); it has {', '.join(there)}"
                )
        return found

    @cached_property
    def _images(self) -> list[int]:
        """For each row, the first row with the same image: cases about one image are resampled together."""
        asked = [self._columns[each] for each in ("image_id", "height", "width") if each in self._columns]
        if "image_id" not in self._columns:
            return list(range(sum(1 for _ in self.table.rows([self._columns["text"]]))))
        first: dict[tuple[str, ...], int] = {}
        return [
            first.setdefault(tuple(str(row[name].as_py()) for name in asked), number)
            for number, row in self.table.rows(asked)
        ]

    @cached_property
    def _classes(self) -> bool:
        """Whether the column of reasoning holds a handful of words."""
        if "reasoning" not in self._columns:
            return False
        name = self._columns["reasoning"]
        values: set[str] = set()
        for _, row in self.table.rows([name]):
            value = row[name].as_py()
            if not isinstance(value, str | None) or len(values) > _MOST_CLASSES:
                return False
            values.add(value or "")
        return len(values) > 1

    def _strata(self, row: dict[str, Any]) -> dict[str, str]:
        return {"reasoning": row[self._columns["reasoning"]].as_py() or "none"} if self._classes else {}

    def _id(self, number: int, row: dict[str, Any], seen: dict[str, int]) -> str:
        """The id that the table gives; one that comes again is numbered."""
        value = row[self._columns["id"]].as_py() if "id" in self._columns else None
        name = str(value) if isinstance(value, str | int) and str(value) else f"row-{number}"
        seen[name] = seen.get(name, 0) + 1
        return name if seen[name] == 1 else f"{name}#{seen[name]}"

    def _size(self, number: int, targets: tuple[Rle, ...]) -> tuple[int, int]:
        sizes = {rle.size for rle in targets}
        if len(sizes) > 1:
            raise InputError(f"{self.path}: row {number}: masks of the sizes {sorted(sizes)}")
        if sizes:
            return sizes.pop()
        width, height = image_size(self.table.image(number, self._columns["image"]))
        return height, width


def _text(cell: Any, where: str) -> str:
    value: Any = cell.as_py()
    if isinstance(value, list) and value:  # as in LISA's files, the first is asked
        value = cast(list[Any], value)[0]
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: no text")
    return value


def _turned(data: bytes) -> bool:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.getexif().get(TAG, UPRIGHT) != UPRIGHT


def _as_stored(data: bytes) -> Any:
    """(H, W, 3) uint8 without the turn that EXIF asks for, as `datasets` decodes."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))
