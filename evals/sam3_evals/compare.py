"""Two runs over the same cases, side by side: paired differences, a permutation test, the cases that flipped."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.types import Usage
from sam3_evals.accumulator import Accumulator, Sums
from sam3_evals.manifest import Manifest, read_manifest
from sam3_evals.metrics.matched_sample import Scored
from sam3_evals.resampling import PERMUTATIONS, interval, p_value, signs
from sam3_evals.score import add_usage, score_cases

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
    low: float | None
    """Bounds of the difference's 95 % bootstrap interval, images resampled in pairs; None for a single image."""
    high: float | None
    p: float
    """Two-sided permutation test: how often the difference would be as large if A and B traded places by chance."""
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
    """The rows "all" and one per stratum, the differences of all other figures, and every flipped case."""

    a: str
    b: str
    complete: bool
    rows: tuple[Row, ...]
    differences: dict[str, dict[str, dict[str, float | None]]]
    """By metric and figure: a, b, difference, low, high; over all cases."""
    flips: tuple[Flip, ...]
    images: int = 0
    """That the cases are about: what intervals and p rest on."""
    costs: dict[str, dict[str, float | None]] = field(default_factory=dict[str, dict[str, float | None]])
    """By what a run costs (tokens, LLM calls, dollars, seconds, encodes): a, b, b / a, each a mean over the cases."""
    gain_per_1000_tokens: float | None = None
    """gIoU that B gains over A for 1000 tokens more a case; None where it takes no more."""

    def to_json(self) -> dict[str, Any]:
        """As one document."""
        return asdict(self)


@dataclass(slots=True)
class _Pairs:
    """Sums over the pairs of one group, besides the tallies."""

    permuted: NDArray[np.float64] = field(default_factory=lambda: np.zeros(PERMUTATIONS))
    """Summed difference under each exchange of places."""
    b_better: int = 0
    ties: int = 0
    a_better: int = 0


def compare(a: Path, b: Path, each: Callable[[Scored, Scored], None] | None = None) -> Comparison:
    """Pair two runs case by case; one pass, only flipped cases are kept. `each` is told of every pair.

    Raises:
        InputError: they asked different cases, or one of them is no run.
    """
    first, second = read_manifest(a), read_manifest(b)
    _check_comparable(a, b, first, second)
    tallies, pairs, flips = (Accumulator(), Accumulator()), dict[tuple[str, str], _Pairs](), list[Flip]()
    missing, usages = 0, [Usage(), Usage()]
    for one, other in _paired(a, b):
        usages = [add_usage(known, case.usage) for known, case in zip(usages, (one, other), strict=True)]
        tallies[0].add(one)
        tallies[1].add(other)
        missing += one.missing or other.missing
        _take(pairs, one, other)
        if (one.lisa.iou >= FLIP) != (other.lisa.iou >= FLIP):
            flips.append(Flip(one.case, one.query, one.lisa.iou, other.lisa.iou))
        if each:
            each(one, other)
    groups_a, groups_b = tallies[0].groups(), tallies[1].groups()
    rows = tuple(_row(key, groups_a[key], groups_b[key], found) for key, found in _in_order(groups_a, pairs))
    everything = ("", "all")
    differences = _differences(groups_a[everything], groups_b[everything])
    images = groups_a[everything].pictures
    costs = _costs(*usages, cases=groups_a[everything].cases)
    gained = _gain(rows[0].difference if rows else 0.0, costs["tokens"])
    return Comparison(str(a), str(b), not missing, rows, differences, tuple(flips), images, costs, gained)


def _costs(a: Usage, b: Usage, *, cases: int) -> dict[str, dict[str, float | None]]:
    """Mean costs of a case."""
    totals = {
        "tokens": (a.input_tokens + a.output_tokens, b.input_tokens + b.output_tokens),
        **{name: (getattr(a, name), getattr(b, name)) for name in ("llm_calls", "usd", "seconds", "encodes")},
    }
    return {
        name: {"a": one / max(1, cases), "b": other / max(1, cases), "ratio": other / one if one else None}
        for name, (one, other) in totals.items()
    }


def _gain(difference: float, tokens: dict[str, float | None]) -> float | None:
    more = (tokens["b"] or 0.0) - (tokens["a"] or 0.0)
    return 1000 * difference / more if more > 0 else None


def _check_comparable(a: Path, b: Path, first: Manifest, second: Manifest) -> None:
    if (first.dataset_hash, first.shard) != (second.dataset_hash, second.shard):
        asked = "; ".join(
            f"{made.dataset}, {made.cases} cases{', shard ' + made.shard if made.shard else ''}"
            for made in (first, second)
        )
        raise InputError(f"{a} and {b} asked different cases ({asked}); run both on one dataset with one --limit")


def _paired(a: Path, b: Path) -> Iterator[tuple[Scored, Scored]]:
    for one, other in zip(score_cases(a), score_cases(b), strict=True):
        if one.case != other.case:
            raise InputError(f"{a} has case {one.case!r} where {b} has {other.case!r}; a file was changed by hand")
        yield one, other


def _take(pairs: dict[tuple[str, str], _Pairs], one: Scored, other: Scored) -> None:
    difference = other.lisa.iou - one.lisa.iou
    exchanged = difference * signs(one.picture) if abs(difference) > _TIE else None
    for key in [("", "all"), *one.strata.items()]:
        found = pairs.setdefault(key, _Pairs())
        if exchanged is None:
            found.ties += 1
            continue
        found.permuted += exchanged
        found.b_better += difference > 0
        found.a_better += difference < 0


def _in_order(
    groups: dict[tuple[str, str], Sums], pairs: dict[tuple[str, str], _Pairs]
) -> Iterator[tuple[tuple[str, str], _Pairs]]:
    return ((key, pairs[key]) for key in groups if key in pairs)


def _row(key: tuple[str, str], a: Sums, b: Sums, pairs: _Pairs) -> Row:
    (_, point_a, spread_a), (_, point_b, spread_b) = next(a.values()), next(b.values())  # LISA's comes first
    difference = float(point_b["giou"]) - float(point_a["giou"])
    low, high = interval(spread_b["giou"] - spread_a["giou"])
    return Row(
        group=f"{key[0]}: {key[1]}" if key[0] else key[1],
        cases=a.cases,
        a=float(point_a["giou"]),
        b=float(point_b["giou"]),
        difference=difference,
        low=low if a.pictures > 1 else None,
        high=high if a.pictures > 1 else None,
        p=p_value(difference * a.cases, pairs.permuted),
        b_better=pairs.b_better,
        ties=pairs.ties,
        a_better=pairs.a_better,
    )


def _differences(a: Sums, b: Sums) -> dict[str, dict[str, dict[str, float | None]]]:
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for (metric, point_a, spread_a), (_, point_b, spread_b) in zip(a.values(), b.values(), strict=True):
        for name, value in point_a.items():
            low, high = interval(spread_b[name] - spread_a[name])
            bounds = (low, high) if a.pictures > 1 else (float("nan"), float("nan"))
            figures = (float(value), float(point_b[name]), float(point_b[name]) - float(value), *bounds)
            found.setdefault(metric, {})[name] = {
                key: None if np.isnan(figure) else figure
                for key, figure in zip(("a", "b", "difference", "low", "high"), figures, strict=True)
            }
    return found
