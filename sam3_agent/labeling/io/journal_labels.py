"""Label set of a journal, read image by image while it is gone through: those of a million images are never held."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, overload

from sam3_agent.errors import InputError
from sam3_agent.formats.label_set import LabeledImage, LabelSet, MaskLabel
from sam3_agent.formats.shard_rows import SHARD_BYTES
from sam3_agent.labeling.io.splits import split_of
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.labeling.store.label import Label, Route
from sam3_agent.labeling.store.summary import class_names, model_name

_PAGE = 100
"""Rows of images that are read at once."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Choice of the labels of a journal that are exported."""

    routes: tuple[Route, ...] = ("accepted",)
    val: float = 0.0
    seed: int = 0
    simplify: float = 0.0
    """Tolerance of polygons in pixels; 0 for exact ones."""
    shard_bytes: int = SHARD_BYTES
    """Size at which a sharded format begins a new file."""


def label_set(journal: Journal, selection: Selection) -> LabelSet:
    """Give the chosen labels of every labeled image, in a fixed order; duplicates of a file are left out.

    They are read from the journal whenever they are gone through, which must be open and the same until then: give
    `Journal.snapshot` where others may write.
    """
    names = class_names(journal)
    marks = ", ".join("?" * len(selection.routes))
    found = journal.read(f"SELECT DISTINCT class FROM labels WHERE route IN ({marks})", selection.routes)
    classes = (*names, *sorted({str(name) for (name,) in found} - set(names)))
    places = {name: index for index, name in enumerate(classes)}
    splits = split_of(journal.images("done"), selection.val, selection.seed) if selection.val else {}
    images = JournalImages(journal, selection.routes, places, splits)
    return LabelSet(classes, images, JournalAbsence(journal, places), model_name(journal), selection.simplify)


@dataclass(frozen=True, slots=True)
class JournalImages(Sequence[LabeledImage]):
    """Labeled images of a journal in the order of their paths, a page of them at a time."""

    journal: Journal
    routes: Collection[Route]
    places: Mapping[str, int]
    """Indices of classes by their names."""
    splits: Mapping[str, str] = field(default_factory=dict[str, str])
    """Split by SHA-256; "train" for any other."""

    def __len__(self) -> int:
        ((count,),) = self.journal.read("SELECT COUNT(*) FROM images WHERE state='done'")
        return int(count)

    def __iter__(self) -> Iterator[LabeledImage]:
        last = ""
        while page := self.journal.images_after(last, "done", _PAGE):
            yield from map(self._image, page)
            last = page[-1].path

    @overload
    def __getitem__(self, index: int) -> LabeledImage: ...

    @overload
    def __getitem__(self, index: slice) -> list[LabeledImage]: ...

    def __getitem__(self, index: int | slice) -> LabeledImage | list[LabeledImage]:
        """Find one by its number, going through those before it."""
        wanted = range(len(self))[index]
        if isinstance(wanted, int):
            return next(islice(self, wanted, None))
        return [image for number, image in enumerate(self) if number in wanted][:: 1 if wanted.step > 0 else -1]

    def _image(self, row: ImageRow) -> LabeledImage:
        labels = JournalLabels(self.journal, row, self.routes, self.places)
        return LabeledImage(row.path, row.width, row.height, labels, self.splits.get(row.sha, "train"))


class JournalLabels(Sequence[MaskLabel]):
    """Labels of one image, read from the journal whenever they are gone through: those of all images take GB."""

    def __init__(self, journal: Journal, row: ImageRow, routes: Collection[Route], places: Mapping[str, int]) -> None:
        """`places` are the indices of classes by their names."""
        self._journal, self._row, self._routes, self._places = journal, row, routes, places

    def __iter__(self) -> Iterator[MaskLabel]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    @overload
    def __getitem__(self, index: int) -> MaskLabel: ...

    @overload
    def __getitem__(self, index: slice) -> list[MaskLabel]: ...

    def __getitem__(self, index: int | slice) -> MaskLabel | list[MaskLabel]:
        return self._read()[index]

    def _read(self) -> list[MaskLabel]:
        """Read the chosen ones; raises InputError for one that is not of the image's size."""
        chosen = [label for label in self._journal.labels(self._row.sha) if label.route in self._routes]
        for label in chosen:
            if label.rle.size != (self._row.height, self._row.width):
                raise InputError(f"{self._row.path}: label {label.id} is of size {label.rle.size}, not of the image's")
        return [
            MaskLabel(
                label.id,
                self._places[label.class_name],
                label.rle,
                label.score,
                dict(label.attributes),
                provenance_of(label),
            )
            for label in chosen
        ]


_ALIVE = "SELECT 1 FROM labels WHERE sha=checks.sha AND class=checks.class AND route!='rejected'"
_ABSENT = (
    f"FROM images JOIN checks ON checks.sha=images.sha WHERE state='done' AND route='accepted' AND NOT EXISTS({_ALIVE})"
)


@dataclass(frozen=True, slots=True)
class JournalAbsence(Mapping[str, tuple[int, ...]]):
    """Classes that are not on an image as far as is known: verified so, and without a label that is alive."""

    journal: Journal
    places: Mapping[str, int]

    def __getitem__(self, name: str) -> tuple[int, ...]:
        found = self.journal.read(f"SELECT class {_ABSENT} AND path=?", (name,))
        absent = sorted(self.places[each] for (each,) in found if each in self.places)
        if not absent:
            raise KeyError(name)
        return tuple(absent)

    def __iter__(self) -> Iterator[str]:
        return (name for (name,) in self.journal.read(f"SELECT DISTINCT path {_ABSENT} ORDER BY path") if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def provenance_of(label: Label) -> dict[str, Any]:
    """Tell everything that is known about how a label came to be, in plain values."""
    evidence = label.evidence
    return {
        "source": label.source,
        "phrase": label.phrase,
        "score": round(label.score, 4),
        "object_score": round(label.object_score, 4),
        "presence": round(label.presence, 4),
        "quality": round(label.quality, 4),
        "agreement": round(evidence.agreement, 4),
        "competing_label": [evidence.competing_label, round(evidence.competing_score, 4)]
        if evidence.competing_label
        else None,
        "verdict": label.verdict,
        "judge": {"verdict": evidence.judged, "said": evidence.note, "model": evidence.judge}
        if evidence.judged
        else None,
        "reason": label.reason,
        "route": label.route,
        "decided_by": label.decided_by,
        "reviewer": label.reviewer or None,
        "model": label.model,
        "usd": label.usd,
    }
