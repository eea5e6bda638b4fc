"""Any COCO instance file: category names as concepts, and for each image some names of what is not in it.

A region of a crowd counts neither for nor against a prediction. Which negatives are asked is settled by the seed and
the image's id, so that it does not depend on what else is in the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.coco import CocoAnnotation, CocoDataset, CocoImage
from sam3_agent.formats.coco_reading import read_coco
from sam3_agent.formats.orientation import upright_size
from sam3_evals.datasets.pictures import file_and_pictures, picture_folder, spec_of
from sam3_evals.sample import Case, Source

NEGATIVES = 3
"""Names of absent categories that are asked of each image (fewer where the file has no more)."""


@dataclass(frozen=True)
class Coco:
    """One instance file."""

    file: Path
    given: Path | None
    seed: int

    @classmethod
    def open(cls, argument: str, _: str, seed: int) -> "Coco":
        """Open "FILE" or "FILE@PICTURES".

        Raises:
            InputError: file or folder is not there.
        """
        return cls(*file_and_pictures(argument), seed)

    @property
    def name(self) -> str:
        """The spec: "coco:FILE" or "coco:FILE@PICTURES"."""
        return spec_of("coco", self.file, self.given)

    def cases(self, limit: int | None) -> Iterator[Case]:
        """Image by image: every category that is there, then the negatives."""
        del limit  # the caller takes as many as it wants
        by_image: dict[int, list[CocoAnnotation]] = {}
        for annotation in self._document.annotations:
            by_image.setdefault(annotation.image_id, []).append(annotation)
        for image in self._document.images:
            yield from self._ask(image, by_image.get(image.id, []))

    def picture(self, case: Case) -> Source:
        """The file."""
        return self._folder / case.picture

    @cached_property
    def _document(self) -> CocoDataset:
        document = read_coco(self.file, size_of=self._measured)
        if not document.images:
            raise InputError(f"{self.file}: images: there is none")
        return document

    def _measured(self, name: str) -> tuple[int, int] | None:
        """Measure (height, width) of an image whose entry has no size; None where it is not there."""
        for folder in (self.given,) if self.given is not None else self._usual:
            try:
                return upright_size(folder / name)
            except (OSError, ValueError):
                continue
        return None

    @property
    def _usual(self) -> tuple[Path, ...]:
        beside = self.file.parent
        return (beside, beside / "images", beside.parent, beside.parent / "images")

    @cached_property
    def _folder(self) -> Path:
        return picture_folder(self.given, self._usual, self._document.images[0].file_name)

    def _ask(self, image: CocoImage, annotations: list[CocoAnnotation]) -> Iterator[Case]:
        by_category: dict[int, list[CocoAnnotation]] = {}
        for annotation in annotations:
            if annotation.rle is None:
                raise InputError(f"{self.file}: annotation {annotation.id}: segmentation: there is none, only a box")
            by_category.setdefault(annotation.category_id, []).append(annotation)
        absent = [c.id for c in self._document.categories if c.id not in by_category]
        rng = np.random.default_rng([self.seed, image.id & (2**64 - 1)])
        drawn = rng.permutation(np.array(sorted(absent), dtype=np.int64))[:NEGATIVES]
        names = {category.id: category.name for category in self._document.categories}
        for category in [*(c for c in names if c in by_category), *(int(c) for c in drawn)]:
            yield _case(image, names[category], category, by_category.get(category, []))


def _case(image: CocoImage, name: str, category: int, found: list[CocoAnnotation]) -> Case:
    crowds = [a.rle for a in found if a.crowd and a.rle is not None]
    return Case(
        id=f"{image.id}-{category}",
        picture=image.file_name,
        query=name,
        size=(image.height, image.width),
        targets=tuple(a.rle for a in found if not a.crowd and a.rle is not None and masks.area(a.rle)),
        ignore=masks.union(crowds) if crowds else None,
        strata={"kind": "category" if found else "negative"},
    )
