"""RefCOCO, RefCOCO+ and RefCOCOg: FOLDER holds refs(SPLITTER).p and instances.json, as the REFER API lays them out.

`refcoco:FOLDER:SPLITTER:SPLIT`, such as `refcoco:data/refcoco+:unc:testA` or `refcoco:data/refcocog:umd:val`. As in
LISA every expression is a case of its own; the truth is the annotation's mask.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.formats.coco import CocoAnnotation, CocoDataset
from sam3_agent.formats.coco_reading import read_coco
from sam3_evals.datasets.pictures import check_files, picture_folder, split_pictures
from sam3_evals.datasets.refer import Ref, of_split, read_refs
from sam3_evals.sample import Case, Source


@dataclass(frozen=True)
class RefCoco:
    """One split by one splitter."""

    folder: Path
    splitter: str
    split: str
    given: Path | None

    @classmethod
    def open(cls, argument: str, _solver: str, _seed: int) -> "RefCoco":
        """Open "FOLDER:SPLITTER:SPLIT", with "@PICTURES" behind it or without.

        Raises:
            InputError: it is not of that form, or a file is missing.
        """
        text, given = split_pictures(argument)
        parts = text.rsplit(":", 2)
        if len(parts) < 3:
            raise InputError(
                f"refcoco:{argument}: expected refcoco:FOLDER:SPLITTER:SPLIT, such as data/refcoco:unc:val"
            )
        folder = Path(parts[0]).expanduser()
        check_files(folder / f"refs({parts[1]}).p", folder / "instances.json")
        return cls(folder, parts[1], parts[2], given)

    @property
    def name(self) -> str:
        """The spec."""
        pictures = f"@{self.given}" if self.given is not None else ""
        return f"refcoco:{self.folder}:{self.splitter}:{self.split}{pictures}"

    def cases(self, limit: int | None) -> Iterator[Case]:
        """One case an expression, image by image."""
        del limit
        annotations = {annotation.id: annotation for annotation in self._instances.annotations}
        for ref in sorted(self._refs, key=lambda ref: (ref.image_id, ref.ref_id)):
            if ref.ann_id not in annotations:
                raise InputError(f"{self._path}: ref {ref.ref_id}: ann_id: {ref.ann_id} is not in instances.json")
            yield from self._ask(ref, annotations[ref.ann_id])

    def picture(self, case: Case) -> Source:
        """The file."""
        return self._pictures / case.picture

    @cached_property
    def _pictures(self) -> Path:
        return picture_folder(self.given, usual_folders(self.folder), self._instances.images[0].file_name)

    @property
    def _path(self) -> Path:
        return self.folder / f"refs({self.splitter}).p"

    @cached_property
    def _instances(self) -> CocoDataset:
        return read_coco(self.folder / "instances.json")

    @cached_property
    def _refs(self) -> list[Ref]:
        return of_split(read_refs(self._path), self.split, self._path)

    @cached_property
    def _images(self) -> dict[int, tuple[str, tuple[int, int]]]:
        return {image.id: (image.file_name, (image.height, image.width)) for image in self._instances.images}

    def _ask(self, ref: Ref, annotation: CocoAnnotation) -> Iterator[Case]:
        if annotation.image_id != ref.image_id:
            raise InputError(
                f"{self._path}: ref {ref.ref_id}: image_id: {ref.image_id}, but its annotation"
                f" {annotation.id} is on image {annotation.image_id}"
            )
        if annotation.rle is None:
            raise InputError(
                f"{self.folder / 'instances.json'}: annotation {annotation.id}: segmentation: there is none"
            )
        picture, size = self._images[ref.image_id]
        for sentence in ref.sentences:
            yield Case(f"{sentence.sent_id}", picture, sentence.sent, size, targets=(annotation.rle,))


def usual_folders(folder: Path) -> tuple[Path, ...]:
    """Find the folder in which REFER users keep COCO's images."""
    above = folder.parent
    return (
        folder,
        folder / "images",
        folder / "train2014",
        above / "images" / "mscoco" / "images" / "train2014",
        above / "images" / "train2014",
        above / "train2014",
    )
