"""CAFE: images in which one attribute was changed, each asked for what is there and for what only seems to be.

`cafe:FILE[@PICTURES]`: CAFEval2026_annotations.json, or the file of one kind of edit. Schema: T-S-Liang/CAFE
tools/eval_cafe_metrics.py (arXiv 2605.09591): as SA-Co, an entry of "images" is an image with a phrase; `fp_source_id`
marks a misleading phrase and names the entry with the true one. cgF1 over both kinds is the benchmark's leading figure;
AFPR, ACSR, SoftSwap and their like are in `metrics/counterfactual.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import pydantic

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.reading import read_json
from sam3_agent.formats.validation_error import first_error
from sam3_agent.masks import Rle
from sam3_evals.datasets.pictures import file_and_pictures, picture_folder, spec_of
from sam3_evals.sample import Case, Pair, Source

EDITS = {"Superficial Mimicry": "SM", "Context Conflict": "CC", "Ontological Conflict": "OC"}
_PICTURES = "CAFEval2026_imgs"


class _Entry(pydantic.BaseModel):
    id: int
    file_name: Annotated[str, pydantic.Field(min_length=1)]
    text_input: Annotated[str, pydantic.Field(min_length=1)]
    width: Annotated[int, pydantic.Field(gt=0)]
    height: Annotated[int, pydantic.Field(gt=0)]
    edit_type: str = ""
    fp_source_id: int | None = None


class _Annotation(pydantic.BaseModel):
    image_id: int
    segmentation: list[list[float]] | dict[str, Any]


class _File(pydantic.BaseModel):
    images: Annotated[list[_Entry], pydantic.Field(min_length=1)]
    annotations: list[_Annotation]


@dataclass(frozen=True)
class Cafe:
    """All pairs, or those of one kind of edit."""

    file: Path
    given: Path | None

    @classmethod
    def open(cls, argument: str, _solver: str, _seed: int) -> "Cafe":
        """Open "FILE" or "FILE@PICTURES".

        Raises:
            InputError: file or folder is not there.
        """
        return cls(*file_and_pictures(argument))

    @property
    def name(self) -> str:
        """The spec: "cafe:FILE" or "cafe:FILE@PICTURES"."""
        return spec_of("cafe", self.file, self.given)

    def cases(self, limit: int | None) -> Iterator[Case]:
        """Pair by pair in the order of the true phrases: the true phrase, then the misleading ones."""
        del limit
        targets: dict[int, list[Rle]] = {}
        entries = {entry.id: entry for entry in self._parsed.images}
        for number, annotation in enumerate(self._parsed.annotations):
            if annotation.image_id not in entries:
                raise InputError(f"{self.file}: annotation {number}: image_id: {annotation.image_id} is not in images")
            rle = self._mask(number, annotation, entries[annotation.image_id])
            targets.setdefault(annotation.image_id, []).append(rle)
        misleading: dict[int, list[_Entry]] = {}
        for entry in self._parsed.images:
            if entry.fp_source_id is not None:
                misleading.setdefault(entry.fp_source_id, []).append(entry)
        if unknown := misleading.keys() - {entry.id for entry in entries.values() if entry.fp_source_id is None}:
            raise InputError(f"{self.file}: images: fp_source_id: {min(unknown)} is no entry with a true phrase")
        for entry in entries.values():
            if entry.fp_source_id is not None:
                continue
            pair = misleading.get(entry.id, [])
            edit = next((each.edit_type for each in (entry, *pair) if each.edit_type), "")
            true = targets.get(entry.id, [])
            for each in (entry, *pair):
                yield _case(each, edit, tuple(targets.get(each.id, ())), Pair(str(entry.id), true[0]) if true else None)

    def picture(self, case: Case) -> Source:
        """The file."""
        return self._folder / case.picture

    @cached_property
    def _folder(self) -> Path:
        beside = self.file.parent
        return picture_folder(
            self.given, (beside / _PICTURES, beside, beside / "images"), self._parsed.images[0].file_name
        )

    @cached_property
    def _parsed(self) -> _File:
        try:
            parsed = _File.model_validate(read_json(self.file))
        except pydantic.ValidationError as error:
            raise InputError(f"{self.file}: {first_error(error)}") from error
        if len({entry.id for entry in parsed.images}) < len(parsed.images):
            raise InputError(f"{self.file}: images: an id occurs twice")
        for entry in parsed.images:
            if Path(entry.file_name).is_absolute() or ".." in Path(entry.file_name).parts:
                raise InputError(f"{self.file}: images: {entry.id}: file_name {entry.file_name!r} leads elsewhere")
        return parsed

    def _mask(self, number: int, annotation: _Annotation, entry: _Entry) -> Rle:
        size = (entry.height, entry.width)
        try:
            if isinstance(annotation.segmentation, list):
                return masks.from_polygons(annotation.segmentation, size)
            return masks.from_json(annotation.segmentation, size)
        except (InputError, ValueError) as error:
            raise InputError(f"{self.file}: annotation {number}: segmentation: {error}") from error


def _case(entry: _Entry, edit: str, targets: tuple[Rle, ...], pair: Pair | None) -> Case:
    prompt = "true" if entry.fp_source_id is None else "misleading"
    return Case(
        id=str(entry.id),
        picture=entry.file_name,
        query=entry.text_input,
        size=(entry.height, entry.width),
        targets=targets,
        strata={"edit": EDITS.get(edit, edit or "none"), "prompt": prompt},
        pair=pair,
    )
