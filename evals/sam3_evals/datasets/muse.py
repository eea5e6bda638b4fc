"""MUSE: questions that mean several objects of a COCO or LVIS image; PixelLM's JSON file, or StAR's tables.

`muse:FILE[@PICTURES]`, such as `muse:muse_val.json@coco/train2017`; a .parquet file or a folder of them is read as
`parquet.py` does. Schema: MaverickRen/PixelLM utils/multi_reason_seg_val_dataset.py. An entry is an image with
`questions`, and `answers` with the annotations that each question means. Few targets are up to three, as in the paper
(arXiv 2312.02228).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import pydantic

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.reading import read_json
from sam3_agent.formats.validation_error import first_error
from sam3_agent.masks import Rle
from sam3_evals.datasets.parquet import Parquet
from sam3_evals.datasets.pictures import file_and_pictures, picture_folder, spec_of
from sam3_evals.datasets.tables import table_files
from sam3_evals.sample import Case, Source

FEW = 3
"""Targets that are few."""


class _Annotation(pydantic.BaseModel):
    segmentation: list[list[float]] | dict[str, Any]


class _Entry(pydantic.BaseModel):
    height: Annotated[int, pydantic.Field(gt=0)]
    width: Annotated[int, pydantic.Field(gt=0)]
    file_name: str = ""
    coco_url: str = ""
    questions: Annotated[list[Annotated[str, pydantic.Field(min_length=1)]], pydantic.Field(min_length=1)]
    answers: list[list[_Annotation]]

    @property
    def picture(self) -> str:
        """Name of the file: its own, or the last part of the address at COCO."""
        return PurePosixPath(self.file_name or self.coco_url).name


@dataclass(frozen=True)
class Muse:
    """One JSON file."""

    file: Path
    given: Path | None

    @classmethod
    def open(cls, argument: str, _solver: str, _seed: int) -> "Muse | Parquet":
        """Open "FILE" or "FILE@PICTURES", or a table.

        Raises:
            InputError: file or folder is not there.
        """
        if table_files(Path(argument).expanduser()):
            return Parquet.of("muse", argument)
        return cls(*file_and_pictures(argument))

    @property
    def name(self) -> str:
        """The spec: "muse:FILE" or "muse:FILE@PICTURES"."""
        return spec_of("muse", self.file, self.given)

    def cases(self, limit: int | None) -> Iterator[Case]:
        """One case a question, in the order of the file."""
        del limit
        for number, entry in enumerate(self._entries):
            where = f"{self.file}: entry {number}"
            if len(entry.answers) != len(entry.questions):
                raise InputError(f"{where}: {len(entry.questions)} questions, but {len(entry.answers)} answers")
            if not entry.picture:
                raise InputError(f"{where}: neither file_name nor coco_url")
            for index, (question, answer) in enumerate(zip(entry.questions, entry.answers, strict=True)):
                size = (entry.height, entry.width)
                targets = tuple(_mask(each, size, f"{where}: answer {index}") for each in answer)
                yield Case(
                    id=f"{number}-{index}",
                    picture=entry.picture,
                    query=question,
                    size=size,
                    targets=tuple(rle for rle in targets if masks.area(rle)),
                    strata={"targets": "few" if len(targets) <= FEW else "many"},
                )

    def picture(self, case: Case) -> Source:
        """The file."""
        return self._folder / case.picture

    @cached_property
    def _folder(self) -> Path:
        beside = self.file.parent
        usual = (beside, *(beside / name for name in ("images", "train2017", "val2017", "train2014")))
        return picture_folder(self.given, usual, self._entries[0].picture)

    @cached_property
    def _entries(self) -> list[_Entry]:
        try:
            entries = pydantic.TypeAdapter(list[_Entry]).validate_python(read_json(self.file))
        except pydantic.ValidationError as error:
            raise InputError(f"{self.file}: entry {first_error(error)}") from error
        if not entries:
            raise InputError(f"{self.file}: no entry in it")
        return entries


def _mask(annotation: _Annotation, size: tuple[int, int], where: str) -> Rle:
    try:
        if isinstance(annotation.segmentation, list):
            return masks.from_polygons(annotation.segmentation, size)
        return masks.from_json(annotation.segmentation, size)
    except (InputError, ValueError) as error:
        raise InputError(f"{where}: segmentation: {error}") from error
