"""Summary of a labeling run: counts by state, class, route and source, and what it was begun with."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic

from sam3_agent.errors import InputError
from sam3_agent.labeling.store.documents import ImageRow, State, image_row, read_label
from sam3_agent.labeling.store.journal import IMAGE, Journal
from sam3_agent.labeling.store.label import ROUTES


class _Class(pydantic.BaseModel):
    name: Annotated[str, pydantic.Field(min_length=1, max_length=1000)]
    phrases: list[str] = []


class _Ontology(pydantic.BaseModel):
    classes: list[_Class]


class _Model(pydantic.BaseModel):
    name: str


class _Folder(pydantic.RootModel[Annotated[str, pydantic.Field(min_length=1, pattern=r"^[^\x00]*$")]]):
    """Path of the folder of images."""


_M = TypeVar("_M", bound=pydantic.BaseModel)


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of one journal."""

    images: dict[str, int]
    """Files by state."""
    unreadable: tuple[ImageRow, ...]
    duplicates: tuple[ImageRow, ...]
    classes: dict[str, dict[str, int]]
    """Class -> route -> labels."""
    sources: dict[str, int]
    """Labels by what proposed them: phrases, exemplars, queries, files and people."""
    judged: dict[str, int]
    """Labels by the verdict of the judge."""
    proposals: int
    """Detections that the labels stand for; those of one object are one label."""
    unsure_images: int
    """Pairs of image and class in which something may have been missed."""
    usd: float
    seconds: float
    """Of work on images, over all calls."""

    def to_json(self) -> dict[str, Any]:
        """Give one document in plain values."""
        return {
            "images": self.images,
            "unreadable": [{"path": row.path, "reason": row.reason} for row in self.unreadable],
            "duplicates": [{"path": row.path, "of": row.reason} for row in self.duplicates],
            "classes": self.classes,
            "sources": self.sources,
            "judged": self.judged,
            "proposals": self.proposals,
            "may_be_missed": self.unsure_images,
            "usd": round(self.usd, 6),
            "seconds": round(self.seconds, 2),
        }


def summarize(journal: Journal) -> Summary:
    """Count the images and labels of a journal, one after another: a million of them are not held."""
    states: Counter[State] = Counter()
    seconds, listed = 0.0, list[ImageRow]()
    for row in map(image_row, journal.rows(f"SELECT {IMAGE} FROM images ORDER BY path")):
        states[row.state] += 1
        seconds += row.seconds
        listed += [row] if row.state in ("unreadable", "duplicate") else []
    classes: dict[str, dict[str, int]] = {name: _no_labels() for name in class_names(journal)}
    sources: Counter[str] = Counter()
    judged: Counter[str] = Counter()
    proposals = 0
    for label in (read_label(*row) for row in journal.rows("SELECT document, id FROM labels ORDER BY id")):
        classes.setdefault(label.class_name, _no_labels())[label.route] += 1
        sources[label.source] += 1
        judged.update([label.evidence.judged] if label.evidence.judged else [])
        proposals += len(label.evidence.supports)
    unsure = journal.read("SELECT COUNT(*) FROM checks WHERE route='review'")[0][0]
    return Summary(
        images={state: states.get(state, 0) for state in ("done", "pending", "duplicate", "unreadable")},
        unreadable=tuple(row for row in listed if row.state == "unreadable"),
        duplicates=tuple(row for row in listed if row.state == "duplicate"),
        classes=classes,
        sources=dict(sources),
        judged=dict(sorted(judged.items())),
        proposals=proposals,
        unsure_images=int(unsure),
        usd=journal.usd(),
        seconds=seconds,
    )


def class_names(journal: Journal) -> list[str]:
    """List the classes of the ontology that a run was begun with, in order."""
    return [each.name for each in _facts(journal, "ontology", _Ontology, {"classes": []}).classes]


def first_phrase(journal: Journal, class_name: str) -> str | None:
    """Find the first phrase of a class, to be asked with an example; None where it has none."""
    classes = _facts(journal, "ontology", _Ontology, {"classes": []}).classes
    return next((each.phrases[0] for each in classes if each.name == class_name and each.phrases), None)


def model_name(journal: Journal) -> str:
    """Name the model that a run was begun with; "" where it has not begun."""
    return _facts(journal, "model", _Model, {"name": ""}).name


def images_folder(journal: Journal) -> Path:
    """Find the folder that the paths of images are relative to.

    Raises:
        InputError: the run has not begun.
    """
    return Path(_facts(journal, "images", _Folder, "").root)


def _facts(journal: Journal, key: str, kind: type[_M], default: object) -> _M:
    """Read what a run was begun with; raises InputError where the journal of a stranger says nonsense."""
    known = journal.meta(key)
    try:
        return kind.model_validate(default if known is None else known)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in (key, *first["loc"]))
        raise InputError(f"the journal {journal.path} holds a damaged entry {place}: {first['msg']:.200}") from error


def _no_labels() -> dict[str, int]:
    return {route: 0 for route in ROUTES}
