"""Change of an image's labels when a class is asked in another version."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated

import pydantic

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.label import Label

LAST_ROUND = "last_round"
"""Entry of the journal: the unit of work that the last round over a run does on every image."""
SAME = 0.5
"""IoU from which on two versions speak of one object, as in the metrics."""


class _ClassCounts(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(allow_inf_nan=False)
    found: Annotated[int, pydantic.Field(ge=0)]
    lost: Annotated[int, pydantic.Field(ge=0)]


class _Change(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(allow_inf_nan=False)
    classes: dict[str, _ClassCounts]
    disagreement: Annotated[float, pydantic.Field(ge=0)]


@dataclass(frozen=True, slots=True)
class ClassChange:
    """Labels of one class that one version has and the other has not; rejected ones do not count."""

    found: int = 0
    """By the new version alone."""
    lost: int = 0
    """By the old version alone."""

    def __add__(self, other: "ClassChange") -> "ClassChange":
        return ClassChange(self.found + other.found, self.lost + other.lost)


@dataclass(frozen=True, slots=True)
class Change:
    """Difference of the labels of one image between two versions."""

    classes: dict[str, ClassChange] = field(default_factory=dict[str, ClassChange])
    """Those that differ."""
    disagreement: float = 0.0
    """Sum of the qualities of what one version alone found: surer labels count more."""

    def pack(self) -> bytes:
        """Write it as a unit of work keeps it."""
        given = {name: asdict(each) for name, each in self.classes.items()}
        text = _Change.model_validate({"classes": given, "disagreement": self.disagreement}).model_dump_json()
        return text.encode()

    @classmethod
    def read(cls, payload: bytes) -> "Change":
        """Read what `pack` wrote; raises InputError where it is damaged."""
        try:
            given = _Change.model_validate_json(payload)
        except pydantic.ValidationError as error:
            raise InputError(f"the journal holds a damaged record of what changed: {str(error)[:200]}") from error
        return cls({name: ClassChange(c.found, c.lost) for name, c in given.classes.items()}, given.disagreement)


def change_of(before: Sequence[Label], after: Sequence[Label]) -> Change:
    """Compare the labels of an image; those that people or files settled are in both."""
    settled = [each for each in before if each.is_settled and each.route == "accepted"]
    old = [each for each in before if not each.is_settled and each.route != "rejected"]
    new = [each for each in after if not each.is_settled and each.route != "rejected"]
    lost, found = _only(old, [*new, *settled]), _only(new, [*old, *settled])
    names = sorted({each.class_name for each in (*lost, *found)})
    classes = {
        name: ClassChange(sum(each.class_name == name for each in found), sum(each.class_name == name for each in lost))
        for name in names
    }
    return Change(classes, round(sum(each.quality for each in (*lost, *found)), 6))


def last_changes(journal: Journal) -> dict[str, Change]:
    """Read by image what the last round over the run changed so far; empty where there was none."""
    rows = journal.read("SELECT sha, payload FROM units WHERE unit=?", (str(journal.meta(LAST_ROUND) or ""),))
    return {sha: Change.read(payload) for sha, payload in rows}


def _only(labels: Sequence[Label], others: Sequence[Label]) -> list[Label]:
    """Those that no other label of their class covers."""
    alone: list[Label] = []
    for each in labels:
        rles = [other.rle for other in others if other.class_name == each.class_name]
        if not rles or float(masks.iou([each.rle], rles).max()) < SAME:
            alone.append(each)
    return alone
