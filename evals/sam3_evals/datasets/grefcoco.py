"""gRefCOCO: expressions that mean several objects, one, or none; grefs(unc).json and instances.json in one folder.

`grefcoco:FOLDER:SPLIT`, such as `grefcoco:data/grefcoco:val`. Every expression is a case of its own. Schema: GRES
(arXiv 2306.00968) and its loader: `ann_id` lists the objects that are meant, [-1] beside `no_target` means none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import pydantic

from sam3_agent.errors import InputError
from sam3_agent.formats.coco import CocoAnnotation, CocoDataset
from sam3_agent.formats.coco_reading import read_coco
from sam3_agent.formats.reading import read_json
from sam3_agent.formats.validation_error import first_error
from sam3_agent.masks import Rle
from sam3_evals.datasets.pictures import check_files, picture_folder, spec_of, split_pictures
from sam3_evals.datasets.refcoco import usual_folders
from sam3_evals.datasets.refer import Sentence, of_split
from sam3_evals.sample import Case, Source

REFS = "grefs(unc).json"


class _Ref(pydantic.BaseModel):
    ref_id: int
    ann_id: list[int] | int
    image_id: int
    split: str
    no_target: bool = False
    sentences: Annotated[list[Sentence], pydantic.Field(min_length=1)]

    @property
    def annotations(self) -> list[int]:
        ids = self.ann_id if isinstance(self.ann_id, list) else [self.ann_id]
        return [number for number in ids if number != -1]


@dataclass(frozen=True)
class GRefCoco:
    """One split."""

    folder: Path
    split: str
    given: Path | None

    @classmethod
    def open(cls, argument: str, _solver: str, _seed: int) -> "GRefCoco":
        """Open "FOLDER:SPLIT", with "@PICTURES" behind it or without.

        Raises:
            InputError: it is not of that form, or a file is missing.
        """
        text, given = split_pictures(argument)
        path, colon, split = text.rpartition(":")
        if not colon:
            raise InputError(f"grefcoco:{argument}: expected grefcoco:FOLDER:SPLIT, such as data/grefcoco:val")
        folder = Path(path).expanduser()
        check_files(folder / REFS, folder / "instances.json")
        return cls(folder, split, given)

    @property
    def name(self) -> str:
        """The spec."""
        return spec_of("grefcoco", f"{self.folder}:{self.split}", self.given)

    def cases(self, limit: int | None) -> Iterator[Case]:
        """One case an expression, image by image."""
        del limit
        images = {image.id: image for image in self._instances.images}
        for ref in sorted(self._refs, key=lambda ref: (ref.image_id, ref.ref_id)):
            if ref.image_id not in images:
                raise self._broken(ref, f"image_id: {ref.image_id} is not in instances.json")
            image, targets = images[ref.image_id], self._targets(ref)
            strata = {"objects": "none" if not targets else "one" if len(targets) == 1 else "several"}
            for sentence in ref.sentences:
                yield Case(
                    id=f"{ref.ref_id}-{sentence.sent_id}",
                    picture=image.file_name,
                    query=sentence.sent,
                    size=(image.height, image.width),
                    targets=targets,
                    strata=strata,
                )

    def picture(self, case: Case) -> Source:
        """The file."""
        return self._pictures / case.picture

    @cached_property
    def _pictures(self) -> Path:
        return picture_folder(self.given, usual_folders(self.folder), self._instances.images[0].file_name)

    @cached_property
    def _instances(self) -> CocoDataset:
        return read_coco(self.folder / "instances.json")

    @cached_property
    def _annotations(self) -> dict[int, CocoAnnotation]:
        return {annotation.id: annotation for annotation in self._instances.annotations}

    @cached_property
    def _refs(self) -> list[_Ref]:
        path = self.folder / REFS
        try:
            refs = pydantic.TypeAdapter(list[_Ref]).validate_python(read_json(path))
        except pydantic.ValidationError as error:
            raise InputError(f"{path}: ref {first_error(error)}") from error
        return of_split(refs, self.split, path)

    def _targets(self, ref: _Ref) -> tuple[Rle, ...]:
        if ref.no_target == bool(ref.annotations):
            raise self._broken(ref, f"no_target: {ref.no_target}, but ann_id is {ref.ann_id}")
        targets: list[Rle] = []
        for number in ref.annotations:
            annotation = self._annotations.get(number)
            if annotation is None:
                raise self._broken(ref, f"ann_id: {number} is not in instances.json")
            if annotation.image_id != ref.image_id:
                raise self._broken(ref, f"ann_id: {number} is on image {annotation.image_id}, not {ref.image_id}")
            if annotation.rle is None:
                raise InputError(f"{self.folder / 'instances.json'}: annotation {number}: segmentation: there is none")
            targets.append(annotation.rle)
        return tuple(targets)

    def _broken(self, ref: _Ref, words: str) -> InputError:
        return InputError(f"{self.folder / REFS}: ref {ref.ref_id}: {words}")
