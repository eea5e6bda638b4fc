"""SA-Co Gold and Silver: pairs of an image and a noun phrase, each with all its instances, by up to three annotators.

`saco:FILE[,FILE,FILE][@PICTURES]`: the files of the annotators of one subset (Gold has three, Silver one). Schema:
facebookresearch/sam3 scripts/eval/gold/README.md. An entry of "images" is a pair: `text_input` on `file_name`; a pair
without annotations is a negative one. Boxes and areas are shares of the image. As in `CGF1Evaluator` only pairs that
every annotator calls exhaustive (`is_instance_exhaustive`) are asked, and the best annotator counts.
"""

import logging
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
from sam3_evals.datasets.pictures import check_files, picture_folder, spec_of, split_files, split_pictures
from sam3_evals.sample import Case, Source

logger = logging.getLogger(__name__)

_Share = Annotated[float, pydantic.Field(ge=-0.001, le=1.001)]


class _Pair(pydantic.BaseModel):
    id: int
    file_name: str
    text_input: Annotated[str, pydantic.Field(min_length=1)]
    width: Annotated[int, pydantic.Field(gt=0)]
    height: Annotated[int, pydantic.Field(gt=0)]
    is_instance_exhaustive: bool
    is_pixel_exhaustive: bool


class _Annotation(pydantic.BaseModel):
    id: int
    image_id: int
    bbox: tuple[_Share, _Share, _Share, _Share]
    area: _Share
    segmentation: dict[str, Any]
    iscrowd: bool = False


class _File(pydantic.BaseModel):
    images: Annotated[list[_Pair], pydantic.Field(min_length=1)]
    annotations: list[_Annotation]


@dataclass(frozen=True, slots=True)
class _Annotator:
    path: Path
    pairs: dict[int, _Pair]
    targets: dict[int, tuple[Rle, ...]]


@dataclass(frozen=True)
class SaCo:
    """One subset."""

    files: tuple[Path, ...]
    given: Path | None

    @classmethod
    def open(cls, argument: str, _solver: str, _seed: int) -> "SaCo":
        """Open "FILE[,FILE,FILE]" or that with "@PICTURES".

        Raises:
            InputError: a file or the folder is not there.
        """
        text, given = split_pictures(argument)
        files = split_files(text)
        check_files(*files)
        return cls(files, given)

    @property
    def name(self) -> str:
        """The spec."""
        return spec_of("saco", ",".join(map(str, self.files)), self.given)

    def cases(self, limit: int | None) -> Iterator[Case]:
        """One case a pair that all annotators call exhaustive, in the order of the first file."""
        del limit
        left_out = 0
        for pair in self._annotators[0].pairs.values():
            views = [_same_pair(annotator, pair) for annotator in self._annotators]
            if not all(view.is_instance_exhaustive for view in views):
                left_out += 1
                continue
            targets = [annotator.targets.get(pair.id, ()) for annotator in self._annotators]
            yield Case(
                id=str(pair.id),
                picture=pair.file_name,
                query=pair.text_input,
                size=(pair.height, pair.width),
                targets=targets[0],
                others=tuple(targets[1:]),
                strata={"pixels": "exhaustive" if all(v.is_pixel_exhaustive for v in views) else "not exhaustive"},
            )
        if left_out:
            logger.info("%s: %d pairs are not exhaustively annotated and are not asked", self.name, left_out)

    def picture(self, case: Case) -> Source:
        """The file."""
        return self._pictures / case.picture

    @cached_property
    def _pictures(self) -> Path:
        beside = self.files[0].parent
        first = next(iter(self._annotators[0].pairs.values())).file_name
        return picture_folder(self.given, (beside, beside / "images"), first)

    @cached_property
    def _annotators(self) -> tuple[_Annotator, ...]:
        return tuple(_read(file) for file in self.files)


def _read(path: Path) -> _Annotator:
    try:
        parsed = _File.model_validate(read_json(path))
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {first_error(error)}") from error
    pairs = {pair.id: pair for pair in parsed.images}
    if len(pairs) < len(parsed.images):
        raise InputError(f"{path}: images: an id occurs twice")
    targets: dict[int, list[Rle]] = {}
    for annotation in parsed.annotations:
        targets.setdefault(annotation.image_id, []).append(_mask(path, annotation, pairs))
    return _Annotator(path, pairs, {key: tuple(rles) for key, rles in targets.items()})


def _mask(path: Path, annotation: _Annotation, pairs: dict[int, _Pair]) -> Rle:
    where = f"{path}: annotation {annotation.id}"
    if annotation.image_id not in pairs:
        raise InputError(f"{where}: image_id: {annotation.image_id} is not in images")
    if annotation.iscrowd:
        raise InputError(f"{where}: iscrowd: SA-Co has no crowds")
    pair = pairs[annotation.image_id]
    try:
        return masks.from_json(annotation.segmentation, (pair.height, pair.width))
    except InputError as error:
        raise InputError(f"{where}: segmentation: {error}") from error


def _same_pair(annotator: _Annotator, pair: _Pair) -> _Pair:
    other = annotator.pairs.get(pair.id)
    if other is None:
        raise InputError(f"{annotator.path}: images: the pair {pair.id} of the first annotator is missing")
    for field in ("file_name", "text_input", "width", "height"):
        if getattr(other, field) != getattr(pair, field):
            raise InputError(f"{annotator.path}: images: {pair.id}: {field}: not that of the first annotator")
    return other
