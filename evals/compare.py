"""Two runs over the same cases, side by side."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evals.metrics import bootstrap
from evals.score import Score, Scored
from sam3_agent.errors import InputError

FLIP = 0.5
"""A case flips when its IoU crosses this."""
_TIE = 1e-6


@dataclass(frozen=True, slots=True)
class Row:
    """Paired gIoU (LISA) of two runs over some cases."""

    group: str
    cases: int
    a: float
    b: float
    difference: float
    """b - a."""
    low: float
    """Bounds of the difference's 95 % bootstrap interval, cases resampled in pairs."""
    high: float
    b_better: int
    ties: int
    a_better: int


@dataclass(frozen=True, slots=True)
class Flip:
    """A case that one run solves and the other does not."""

    case: str
    query: str
    a: float
    b: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rows "all" and one per stratum, and every flipped case."""

    a: str
    b: str
    complete: bool
    rows: tuple[Row, ...]
    flips: tuple[Flip, ...]

    def to_json(self) -> dict[str, Any]:
        """As one document."""
        return asdict(self)


def compare(a: Score, b: Score) -> Comparison:
    """Pair two runs case by case.

    Raises:
        InputError: they asked different cases.
    """
    if a.manifest.dataset_hash != b.manifest.dataset_hash:
        raise InputError(
            f"{a.run} and {b.run} asked different cases ({a.manifest.dataset}, {a.manifest.cases} cases; "
            f"{b.manifest.dataset}, {b.manifest.cases} cases); run both on one dataset with one --limit"
        )
    pairs = list(zip(a.cases, b.cases, strict=True))
    rows = [_row("all", pairs)]
    for name, groups in a.strata().items():
        for value in groups:
            rows.append(_row(f"{name}: {value}", [pair for pair in pairs if pair[0].strata.get(name) == value]))
    flips = [
        Flip(one.case, one.query, one.lisa.iou, other.lisa.iou)
        for one, other in pairs
        if (one.lisa.iou >= FLIP) != (other.lisa.iou >= FLIP)
    ]
    return Comparison(a.run, b.run, a.complete and b.complete, tuple(rows), tuple(flips))


def _row(group: str, pairs: Sequence[tuple[Scored, Scored]]) -> Row:
    first, second = ([pair[side].lisa.iou for pair in pairs] for side in (0, 1))
    differences = [two - one for one, two in zip(first, second, strict=True)]
    low, high = bootstrap.interval(differences)
    count = max(1, len(pairs))
    return Row(
        group=group,
        cases=len(pairs),
        a=sum(first) / count,
        b=sum(second) / count,
        difference=sum(differences) / count,
        low=low,
        high=high,
        b_better=sum(d > _TIE for d in differences),
        ties=sum(abs(d) <= _TIE for d in differences),
        a_better=sum(d < -_TIE for d in differences),
    )
