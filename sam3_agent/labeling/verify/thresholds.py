"""The lines of the score rule as a run uses them: from its concept file, or fitted to reviewed labels."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import cast

from sam3_agent.labeling.ontology.ontology import Strictness
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.label import Label
from sam3_agent.labeling.verify.score_rule import rechecked, verify_all

_KEY = "lines"


def lines_of(journal: Journal) -> dict[str, Strictness]:
    """Strictness by class."""
    known = cast(dict[str, dict[str, float]], journal.meta(_KEY) or {})
    return {name: Strictness(**lines) for name, lines in known.items()}


def set_lines(journal: Journal, lines: Mapping[str, Strictness]) -> int:
    """Remember the lines and route every undecided label anew by them; gives how many changed their route."""
    journal.remember({_KEY: {name: asdict(each) for name, each in lines.items()}})
    before = journal.labels()
    after = verify_all(before, lines)
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    journal.put_labels(changed)
    recheck(journal)
    return sum(old.route != new.route for old, new in zip(before, after, strict=True))


def recheck(journal: Journal, sha: str | None = None) -> None:
    """Say anew how exhaustive the classes are, on one image or all, by their labels as they are now."""
    by_place: dict[tuple[str, str], list[Label]] = {}
    for label in journal.labels(sha):
        by_place.setdefault((label.sha, label.class_name), []).append(label)
    known = journal.checks(sha)
    anew = [rechecked(check, by_place.get((check.sha, check.class_name), ())) for check in known]
    journal.put_checks([new for old, new in zip(known, anew, strict=True) if old != new])
