"""Reader of COCO instance JSON as other programs write it.

Each entry is read by itself, so that a broken one costs no other. What others leave out or write as null or as text is
found out where that is safe, and remarked on where it was read in another way.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import pydantic

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage
from sam3_agent.formats.notes import Notes
from sam3_agent.formats.reading import read_json
from sam3_agent.formats.validation_error import first_error
from sam3_agent.masks import Rle

SizeOf = Callable[[str], tuple[int, int] | None]
"""(height, width) of an image by its file name; None where it is not known."""
Key = int | str
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_FLAT_NOTE = "segmentation: a list of polygons is meant; its numbers are read as one polygon"


def read_coco(path: Path, notes: Notes | None = None, size_of: SizeOf | None = None) -> CocoDataset:
    """Read an instance file with polygons, RLE (compressed or not), crowds and box-only entries.

    Args:
        path: the file.
        notes: takes what is left out; without it the first broken entry is an error, as truth must be whole.
        size_of: gives sizes for images without width and height.

    Raises:
        InputError: the file is not such a file; the message names file, entry and field.
    """
    document = read_json(path)
    try:
        return from_json(document, notes, size_of, path.name if notes is not None else "")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def from_json(
    document: object, notes: Notes | None = None, size_of: SizeOf | None = None, name: str = ""
) -> CocoDataset:
    """Read a parsed document; see `read_coco`. `name` begins the place of every remark."""
    try:
        parsed = _File.model_validate(document)
    except pydantic.ValidationError as error:
        raise InputError(f"not COCO instances: {first_error(error)}") from error
    reader = _Reader(notes if notes is not None else Notes(strict=True), size_of, f"{name}: " if name else "")
    images = reader.images(parsed.images)
    categories = reader.categories(parsed.categories)
    annotations = tuple(reader.annotations(parsed.annotations, images, categories))
    return CocoDataset(tuple(images.values()), annotations, tuple(categories.values()), parsed.info or {})


def _none_if_unreadable(value: object, read: pydantic.ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except pydantic.ValidationError:
        return None


_IfReadable = pydantic.WrapValidator(_none_if_unreadable)
"""Of fields that can be found out without the file."""
_Name = Annotated[str, pydantic.Field(min_length=1, pattern=r"\S")]
_Side = Annotated[int, pydantic.Field(gt=0, lt=2**31)]


class _Entry(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", coerce_numbers_to_str=True)

    id: Any = None

    def further(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class _Image(_Entry):
    file_name: _Name
    width: Annotated[_Side | None, _IfReadable] = None
    height: Annotated[_Side | None, _IfReadable] = None


class _Category(_Entry):
    name: _Name
    supercategory: Annotated[str | None, _IfReadable] = None


class _Annotation(_Entry):
    image_id: Any
    category_id: Any
    bbox: Annotated[
        Annotated[list[pydantic.FiniteFloat], pydantic.Field(min_length=4, max_length=4)] | None,
        pydantic.BeforeValidator(lambda value: None if value == [] else value),
    ] = None
    segmentation: Any = None
    area: Annotated[Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)] | None, _IfReadable] = None
    iscrowd: bool | None = None
    score: Annotated[pydantic.FiniteFloat | None, _IfReadable] = None


class _File(pydantic.BaseModel):
    images: list[Any]
    annotations: list[Any]
    categories: list[Any]
    info: Annotated[dict[str, Any] | None, _IfReadable] = None


_E = TypeVar("_E", bound=_Entry)


class _Reader:
    """Reads the lists of one file; what it leaves out goes into its notes."""

    def __init__(self, notes: Notes, size_of: SizeOf | None, prefix: str) -> None:
        self._notes = notes
        self._size_of = size_of
        self._prefix = prefix

    def images(self, entries: Sequence[object]) -> dict[Key, CocoImage]:
        """Images by the ids that the file gives them, which may be texts."""
        found: dict[Key, CocoImage] = {}
        for key, number, entry in self._named(_Image, "images", entries, lambda image: image.file_name):
            height, width = entry.height or 0, entry.width or 0
            if not height or not width:
                height, width = (self._size_of(entry.file_name) if self._size_of else None) or (0, 0)
            if not height or height * width > masks.MOST_PIXELS:
                place = f"{self._prefix}image {key!s:.40} ({entry.file_name:.200})"
                self._notes.leave_out(place, "no usable width and height, and no image to take them from", 0)
                continue
            found[key] = CocoImage(number, entry.file_name, width, height, entry.further())
        return found

    def categories(self, entries: Sequence[object]) -> dict[Key, CocoCategory]:
        """Classes by the ids that the file gives them."""
        return {
            key: CocoCategory(number, entry.name, entry.supercategory or "")
            for key, number, entry in self._named(_Category, "categories", entries, lambda category: category.name)
        }

    def annotations(
        self, entries: Sequence[object], images: Mapping[Key, CocoImage], categories: Mapping[Key, CocoCategory]
    ) -> Iterator[CocoAnnotation]:
        """Objects; those without an id of their own get one."""
        read = list(self._entries(_Annotation, "annotations", entries, 1))
        numbers = _numbers([key for key, _ in read])
        spare = count(max(numbers, default=0) + 1)
        known: set[int] = set()
        for (key, entry), own in zip(read, numbers, strict=True):
            place = f"{self._prefix}annotation {own if key is None else key!s:.40}"
            if own in known:
                self._notes.leave_out(f"{self._prefix}annotation id {own}", "it occurs twice", 0)
            number = next(spare) if own in known else own
            known.add(number)
            try:
                image, category = _referred("image_id", entry, images), _referred("category_id", entry, categories)
                yield self._annotation(number, entry, image, category, place)
            except InputError as error:
                self._notes.leave_out(place, str(error))

    def _annotation(
        self, number: int, entry: _Annotation, image: CocoImage, category: CocoCategory, place: str
    ) -> CocoAnnotation:
        try:
            rle = self._mask(entry.segmentation, (image.height, image.width), place, fallback=entry.bbox is not None)
        except InputError as error:
            raise InputError(f"segmentation: {error}") from error
        x, y, w, h = entry.bbox or (0.0, 0.0, -1.0, -1.0)
        if rle is None and entry.bbox is None:
            raise InputError("neither bbox nor segmentation")
        if rle is None and (w < 0 or h < 0):
            raise InputError(f"bbox: a box of {w:g} x {h:g}")
        box = (x, y, x + w, y + h) if rle is None or (w >= 0 and h >= 0) else masks.box(rle)
        area = entry.area if entry.area is not None else float(masks.area(rle) if rle is not None else 0)
        crowd = bool(entry.iscrowd)
        return CocoAnnotation(number, image.id, category.id, box, rle, area, crowd, entry.score, entry.further())

    def _mask(self, value: Any, size: tuple[int, int], place: str, *, fallback: bool) -> Rle | None:
        """Give the mask of a segmentation; None where there is none, or stray points and a box to fall back on."""
        if isinstance(value, dict) and value:
            return masks.from_json(cast(object, value), size)
        polygons, flat = _polygons(value)
        if flat:
            self._notes.tolerate(place, _FLAT_NOTE)
        if not polygons:
            return None
        whole = [polygon for polygon in polygons if len(polygon) > 4 or len(polygon) % 2]
        if not whole and not fallback:
            raise InputError(f"a polygon is at least three x, y pairs, got {len(polygons[0])} numbers")
        if len(whole) < len(polygons):
            self._notes.tolerate(place, "segmentation: polygons of one or two points are left out")
        return masks.from_polygons(whole, size) if whole else None

    def _entries(
        self, model: type[_E], kind: str, entries: Sequence[object], lost: int
    ) -> Iterator[tuple[Key | None, _E]]:
        for index, raw in enumerate(entries):
            try:
                entry = model.model_validate(raw)
                yield _key(entry.id), entry
            except pydantic.ValidationError as error:
                place, _, words = f"{self._prefix}{kind}.{index}.{first_error(error, 'entry')}".rpartition(": ")
                self._notes.leave_out(place, words, lost)
            except InputError as error:
                self._notes.leave_out(f"{self._prefix}{kind}.{index}", str(error), lost)

    def _named(
        self, model: type[_E], kind: str, entries: Sequence[object], name_of: Callable[[_E], str]
    ) -> Iterator[tuple[Key, int, _E]]:
        """Entries that others refer to, each id once; an id of two things means neither."""
        read: dict[Key, _E] = {}
        doubtful: set[Key] = set()
        for key, entry in self._entries(model, kind, entries, 0):
            if key is None:
                self._notes.leave_out(f"{self._prefix}{kind}", f"{name_of(entry)!r:.100} has no id", 0)
            elif key not in read:
                read[key] = entry
            else:
                place = f"{self._prefix}{kind.removesuffix('s') if kind == 'images' else 'category'} id {key!s:.40}"
                self._notes.leave_out(place, "it occurs twice", 0)
                doubtful |= {key} if name_of(entry) != name_of(read[key]) else set()
        kept = [(key, entry) for key, entry in read.items() if key not in doubtful]
        for (key, entry), number in zip(kept, _numbers([key for key, _ in kept]), strict=True):
            yield key, number, entry


_T = TypeVar("_T")


def _referred(field: str, entry: _Annotation, table: Mapping[Key, _T]) -> _T:
    key = _key(entry.image_id if field == "image_id" else entry.category_id)
    if key is None or key not in table:
        raise InputError(f"{field} {key!s:.40} is not in {'images' if field == 'image_id' else 'categories'}")
    return table[key]


def _key(value: Any) -> Key | None:
    """Give an id as the file means it: 7, 7.0 and "7" are one id; None where there is none."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = value.strip()
        return int(text) if _INTEGER.fullmatch(text) else text
    raise InputError(f"an id is a number or a text, got {value!r:.60}")


def _numbers(keys: Sequence[Key | None]) -> list[int]:
    """Give a number for each id: itself, or for texts and absent ids one that no other has."""
    free = count(max((key for key in keys if isinstance(key, int)), default=0) + 1)
    named: dict[str, int] = {}
    numbers: list[int] = []
    for key in keys:
        if isinstance(key, str) and key not in named:
            named[key] = next(free)
        numbers.append(key if isinstance(key, int) else next(free) if key is None else named[key])
    return numbers


def _polygons(value: Any) -> tuple[list[list[float]], bool]:
    """Polygons as lists of numbers, empty ones left out, and whether they stood there as one flat list.

    Corners may be pairs, too: [[x, y], [x, y], ...] inside of a polygon.
    """
    if value is None or value in ({}, [], ""):
        return [], False
    if not isinstance(value, list):
        raise InputError(f"neither an RLE nor a list of polygons: {value!r:.60}")
    listed = cast(list[Any], value)
    if all(isinstance(number, int | float) for number in listed):
        return [listed], True
    if not all(isinstance(polygon, list) for polygon in listed):
        raise InputError(f"neither an RLE nor a list of polygons: {value!r:.60}")
    return [_flattened(polygon) for polygon in cast(list[list[Any]], listed) if polygon], False


def _flattened(polygon: list[Any]) -> list[float]:
    pairs = all(isinstance(pair, list) and len(cast(list[Any], pair)) == 2 for pair in polygon)
    return [number for pair in polygon for number in pair] if pairs else polygon
