"""Fitting the lines of the score rule to labels that people have decided about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from scipy.special import betaincinv  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from sam3_agent.errors import InputError
from sam3_agent.labeling.io.import_labels import IMPORT
from sam3_agent.labeling.ontology.ontology import Strictness
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.label import Label
from sam3_agent.labeling.verify.score_rule import quality_of
from sam3_agent.labeling.verify.thresholds import lines_of, set_lines

Points = Sequence[tuple[float, bool]]
LEAST = 10
"""Decided labels that a class needs for lines of its own; with fewer, those of all classes speak for it."""
PRECISION = 0.95
SURE = 0.8
"""Probability with which accepted labels are to be as precise as asked; over 0.5, as the lowest line that does is a
lucky one."""
PRIOR = 20
"""Decided labels of a class that weigh as much as what is known of all classes."""
NEAR, NEAR_RIGHT = 10, 0.8
"""Of so many labels of all classes just over a line at least this share is right: many sure labels above it say
nothing of those beside it."""
LOST = 0.02
"""Share of right labels that may fall under the line of review."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What calibration made of one class."""

    class_name: str
    decided: int
    right: int
    before: Strictness
    after: Strictness
    own: bool
    """Fitted to its own labels, not to those of all classes."""

    def to_json(self) -> dict[str, Any]:
        """In plain values."""
        lines = {"review": self.after.review, "accept": self.after.accept}
        was = {"review": self.before.review, "accept": self.before.accept}
        return {
            "class": self.class_name,
            "decided": self.decided,
            "right": self.right,
            "own": self.own,
            **lines,
            "before": was,
        }


def calibrate(journal: Journal, precision: float = PRECISION) -> list[Fit]:
    """Fit the lines of every class, remember them and route all undecided labels anew.

    The line of acceptance is the lowest quality over which the share of right labels reaches `precision` with a
    probability of SURE, by a beta posterior in which all classes together count as PRIOR labels and the class's own
    for themselves, and where what lies just over it is mostly right. The line of review is the highest under which at
    most LOST of the right labels lie. Only what people saw can speak: reviewing some pictures whole says more than
    reviewing the queue alone.

    Raises:
        InputError: fewer than LEAST labels are decided.
    """
    decided = [label for label in journal.labels() if label.reviewer not in ("", IMPORT) and label.source != "human"]
    if len(decided) < LEAST:
        raise InputError(f"{len(decided)} labels are decided; calibration needs at least {LEAST}: review some pictures")
    fits = [_fit(name, lines, decided, precision) for name, lines in lines_of(journal).items()]
    set_lines(journal, {fit.class_name: fit.after for fit in fits})
    return fits


def fitted(points: Points, lines: Strictness, precision: float = PRECISION, pool: Points = ()) -> Strictness:
    """Lines for (quality, whether it is right) of decided labels; where no line reaches the precision, 1.0 accepts.

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
    review = good_ones[int(LOST * len(good_ones))] if good_ones else lines.review
    accept, review = round(accept, 4), round(min(review, accept), 4)
    return replace(lines, accept=accept, review=round(max(min(review, accept) - 1e-4, 0.0), 4))


def _over(points: Points) -> list[tuple[float, int, int]]:
    """(quality, labels of at least it, right ones of those) for every quality, the best first."""
    ordered = sorted(points, key=lambda point: -point[0])
    steps: list[tuple[float, int, int]] = []
    right = 0
    for count, (quality, good) in enumerate(ordered, start=1):
        right += good
        if count == len(ordered) or ordered[count][0] < quality:
            steps.append((quality, count, right))
    return steps


def _fit(name: str, lines: Strictness, decided: Sequence[Label], precision: float) -> Fit:
    mine = [label for label in decided if _proposed_as(label) == name]
    pool = [(quality_of(label), _is_right(label)) for label in decided]
    own = [(quality_of(label), _is_right(label)) for label in mine]
    after = fitted(own if len(mine) >= LEAST else pool, lines, precision, pool)
    right = sum(_is_right(label) for label in mine)
    return Fit(name, len(mine), right, lines, after, len(mine) >= LEAST)


def _proposed_as(label: Label) -> str:
    """The class that the label was proposed as: a person may have given it another one."""
    return label.proposed_class or label.class_name


def _is_right(label: Label) -> bool:
    return label.route == "accepted" and _proposed_as(label) == label.class_name
