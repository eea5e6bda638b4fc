"""Thresholds of the score rule as a run uses them: from its concept file, or fitted to reviewed labels."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from sam3_agent.errors import InputError
from sam3_agent.labeling.ontology.ontology import Thresholds
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.label import Label
from sam3_agent.labeling.verify.score_rule import rechecked, verify_all

_KEY = "thresholds"


def thresholds_of(journal: Journal) -> dict[str, Thresholds]:
    """Read the thresholds by class; raises InputError where the journal is damaged."""
    known = cast(dict[str, dict[str, Any]], journal.meta(_KEY) or {})
    try:
        return {name: Thresholds(**given) for name, given in known.items()}
    except (TypeError, AttributeError, InputError) as error:
        raise InputError(f"the journal {journal.path} holds damaged thresholds: {error}") from error


def thresholds_json(thresholds: Mapping[str, Thresholds]) -> dict[str, object]:
    """Give the entry of the journal that remembers them, to be written together with others."""
    return {_KEY: {name: asdict(each) for name, each in thresholds.items()}}


def set_thresholds(journal: Journal, thresholds: Mapping[str, Thresholds]) -> int:
    """Remember thresholds and route every undecided label anew by them; gives how many changed their route."""
    journal.remember(thresholds_json(thresholds))
    before = journal.labels()
    after = verify_all(before, thresholds)
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
