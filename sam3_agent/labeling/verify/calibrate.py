"""Calibration of the score rule: thresholds fitted to labels that people have decided about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from scipy.special import betaincinv  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from sam3_agent.errors import InputError
from sam3_agent.labeling.ontology.ontology import Thresholds
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.label import Label
from sam3_agent.labeling.verify.score_rule import quality_of
from sam3_agent.labeling.verify.thresholds import set_thresholds, thresholds_of

Points = Sequence[tuple[float, bool]]
LEAST = 10
"""Decided labels that a class needs for thresholds of its own; with fewer, those of all classes speak for it."""
PRECISION = 0.95
SURE = 0.8
"""Probability with which accepted labels are to be as precise as asked; over 0.5, as the lowest threshold that
reaches it is a lucky one."""
PRIOR = 20
"""Decided labels of a class that weigh as much as what is known of all classes."""
NEAR, NEAR_RIGHT = 10, 0.8
"""Of so many labels of all classes just over a threshold at least this share is right: many sure labels above it say
nothing of those beside it."""
LOST = 0.02
"""Share of right labels that may fall under the threshold of review."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Thresholds of one class as calibration found and left them."""

    class_name: str
    decided: int
    right: int
    before: Thresholds
    after: Thresholds
    own: bool
    """Fitted to its own labels, not to those of all classes."""

    def to_json(self) -> dict[str, Any]:
        """Give it in plain values."""
        now = {"review": self.after.review, "accept": self.after.accept}
        was = {"review": self.before.review, "accept": self.before.accept}
        return {
            "class": self.class_name,
            "decided": self.decided,
            "right": self.right,
            "own": self.own,
            **now,
            "before": was,
        }


def calibrate(journal: Journal, precision: float = PRECISION) -> list[Fit]:
    """Fit the thresholds of every class, remember them and route all undecided labels anew.

    The threshold of acceptance is the lowest quality over which the share of right labels reaches `precision` with a
    probability of SURE, by a beta posterior in which all classes together count as PRIOR labels and the class's own
    for themselves, and where what lies just over it is mostly right. The threshold of review is the highest under
    which at most LOST of the right labels lie. Only what people saw can speak: reviewing some images whole says
    more than reviewing the queue alone.

    Raises:
        InputError: fewer than LEAST labels are decided.
    """
    decided = [label for label in journal.labels() if label.decided_by == "person" and label.source != "human"]
    if len(decided) < LEAST:
        raise InputError(f"{len(decided)} labels are decided; calibration needs at least {LEAST}: review some images")
    fits = [_fit(name, before, decided, precision) for name, before in thresholds_of(journal).items()]
    set_thresholds(journal, {fit.class_name: fit.after for fit in fits})
    return fits


def fitted(points: Points, before: Thresholds, precision: float = PRECISION, pool: Points = ()) -> Thresholds:
    """Fit thresholds to (quality, whether right) of decided labels; where none reaches the precision, 1.0 accepts.

    `pool` is what is known of all classes.
    """
    known = _over(pool)
    rising = sorted(pool or points, key=lambda point: point[0])
    accept = 1.0
    for quality, count, right in _over(points):
        most, good = next(((n, r) for q, n, r in reversed(known) if q >= quality), (0, 0))
        prior = PRIOR if most else 1
        share = (good + 0.5) / (most + 1)
        least = float(betaincinv(right + prior * share, count - right + prior * (1 - share), 1 - SURE))
        near = [good for other, good in rising if other >= quality][:NEAR]
        if least >= precision and sum(near) >= NEAR_RIGHT * len(near):
            accept = quality
    good_ones = sorted(quality for quality, good in points if good)
    review = good_ones[int(LOST * len(good_ones))] if good_ones else before.review
    accept, review = round(accept, 4), round(min(review, accept), 4)
    return replace(before, accept=accept, review=round(max(min(review, accept) - 1e-4, 0.0), 4))


def _over(points: Points) -> list[tuple[float, int, int]]:
    """Count (quality, labels of at least it, right ones of those) for every quality, the best first."""
    ordered = sorted(points, key=lambda point: -point[0])
    steps: list[tuple[float, int, int]] = []
    right = 0
    for count, (quality, good) in enumerate(ordered, start=1):
        right += good
        if count == len(ordered) or ordered[count][0] < quality:
            steps.append((quality, count, right))
    return steps


def _fit(name: str, before: Thresholds, decided: Sequence[Label], precision: float) -> Fit:
    mine = [label for label in decided if _proposed_as(label) == name]
    pool = [(quality_of(label), _is_right(label)) for label in decided]
    own = [(quality_of(label), _is_right(label)) for label in mine]
    after = fitted(own if len(mine) >= LEAST else pool, before, precision, pool)
    right = sum(_is_right(label) for label in mine)
    return Fit(name, len(mine), right, before, after, len(mine) >= LEAST)


def _proposed_as(label: Label) -> str:
    """Name the class that the label was proposed as: a person may have given it another one."""
    return label.proposed_class or label.class_name


def _is_right(label: Label) -> bool:
    return label.route == "accepted" and _proposed_as(label) == label.class_name
