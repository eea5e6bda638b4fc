"""What a labeling run has come to."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.labeling.store.label import ROUTES


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
    """How many labels came from phrases, exemplars, queries, files and people."""
    judged: dict[str, int]
    """How many labels a judge called right, wrong, or was unsure or not heard of."""
    proposals: int
    """Finds that the labels stand for; those of one object are one label."""
    unsure_images: int
    """Pairs of image and class in which something may have been missed."""
    usd: float
    seconds: float
    """Of work on images, over all calls."""

    def to_json(self) -> dict[str, Any]:
        """One document."""
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


def summarise(journal: Journal) -> Summary:
    """Count what is in a journal."""
    images = journal.images()
    states = Counter(row.state for row in images)
    classes: dict[str, dict[str, int]] = {name: _no_labels() for name in class_names(journal)}
    sources: Counter[str] = Counter()
    judged: Counter[str] = Counter()
    proposals = 0
    for label in journal.labels():
        classes.setdefault(label.class_name, _no_labels())[label.route] += 1
        sources[label.source] += 1
        judged.update([label.evidence.judged] if label.evidence.judged else [])
        proposals += len(label.evidence.supports)
    unsure = journal.read("SELECT COUNT(*) FROM checks WHERE route='review'")[0][0]
    return Summary(
        images={state: states.get(state, 0) for state in ("done", "pending", "duplicate", "unreadable")},
        unreadable=tuple(row for row in images if row.state == "unreadable"),
        duplicates=tuple(row for row in images if row.state == "duplicate"),
        classes=classes,
        sources=dict(sources),
        judged=dict(sorted(judged.items())),
        proposals=proposals,
        unsure_images=int(unsure),
        usd=journal.usd(),
        seconds=sum(row.seconds for row in images),
    )


def class_names(journal: Journal) -> list[str]:
    """The classes of the ontology that a run was begun with, in order."""
    document = cast(dict[str, list[dict[str, str]]], journal.meta("ontology") or {"classes": []})
    return [each["name"] for each in document["classes"]]


def _no_labels() -> dict[str, int]:
    return {route: 0 for route in ROUTES}
