"""A tally: sums over groups of cases, with resampled sums beside them; its size does not grow with the cases."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_evals.metrics import METRICS, VIDEO_METRICS, Metric
from sam3_evals.metrics.matched_sample import Scored
from sam3_evals.resampling import RESAMPLES, interval, weights
from sam3_evals.strata import ORDERS

_BLOCK = 64
"""Cases taken in before they are summed."""

Figure = tuple[float | None, float | None, float | None]
"""(value, low, high) with its 95 % interval; None where there is no basis: an interval needs two images."""


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sums over the cases of one group."""

    cases: int
    pictures: int
    """That the cases are about: what an interval rests on."""
    point: NDArray[np.float64]
    """(columns of all metrics,)."""
    resampled: NDArray[np.float64]
    """(RESAMPLES, columns)."""
    metrics: tuple[Metric, ...] = METRICS

    def figures(self) -> dict[str, dict[str, Figure]]:
        """Every figure with its interval, by metric and name."""
        found: dict[str, dict[str, Figure]] = {}
        for name, values, spread in self.values():
            found[name] = {key: _figure(float(values[key]), spread[key], self.pictures) for key in values}
        return found

    def values(self) -> Iterator[tuple[str, dict[str, Any], dict[str, NDArray[np.float64]]]]:
        """By metric: its figures, and the same over the resamples, each (RESAMPLES,)."""
        parts = _parts(self.metrics)
        for metric in self.metrics:
            part = parts[metric.name]
            yield metric.name, metric.figures(self.point[part]), metric.figures(self.resampled[:, part])

    def part(self, name: str) -> NDArray[np.float64]:
        """The sums of one metric, (columns,)."""
        return self.point[_parts(self.metrics)[name]]


class Accumulator:
    """Takes in cases one by one, for the group of all and for every stratum; the first one says what is measured."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._pictures: dict[tuple[str, str], tuple[int, str]] = {}  # how many, and the last
        self._rows: list[list[float]] = []
        self._weights: list[NDArray[np.uint8]] = []
        self._members: dict[tuple[str, str], list[int]] = {}
        self._last: tuple[str, NDArray[np.uint8]] | None = None
        self._metrics = METRICS

    def add(self, case: Scored) -> None:
        """Take in one case."""
        if self._last is None and case.video is not None:
            self._metrics = VIDEO_METRICS
        if self._last is None or self._last[0] != case.picture:
            self._last = (case.picture, weights(case.picture))
        for key in [("", "all"), *case.strata.items()]:
            self._members.setdefault(key, []).append(len(self._rows))
            self._counts[key] = self._counts.get(key, 0) + 1
            pictures, last = self._pictures.get(key, (0, ""))
            self._pictures[key] = (pictures + (not pictures or last != case.picture), case.picture)
        self._rows.append([value for metric in self._metrics for value in metric.row(case)])
        self._weights.append(self._last[1])
        if len(self._rows) == _BLOCK:
            self._flush()

    def groups(self) -> dict[tuple[str, str], Sums]:
        """The sums of ("", "all"), which is always there, and of every (stratum, value), in order of appearance."""
        self._flush()
        nothing = self._nothing()
        keys = [("", "all"), *sorted((key for key in self._counts if key[0]), key=self._order)]
        return {
            key: Sums(
                self._counts.get(key, 0),
                self._pictures.get(key, (0, ""))[0],
                *self._groups.get(key, nothing),
                self._metrics,
            )
            for key in keys
        }

    def _order(self, key: tuple[str, str]) -> tuple[int, int]:
        names = list(dict.fromkeys(name for name, _ in self._counts))
        values = ORDERS.get(key[0]) or [value for name, value in self._counts if name == key[0]]
        return names.index(key[0]), values.index(key[1])

    def _nothing(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        columns = sum(metric.columns for metric in self._metrics)
        return np.zeros(columns), np.zeros((RESAMPLES, columns))

    def _flush(self) -> None:
        if not self._rows:
            return
        rows = np.asarray(self._rows, dtype=np.float64)  # (B, COLUMNS)
        spread = np.stack(self._weights).astype(np.float64).T  # (RESAMPLES, B)
        for key, members in self._members.items():
            if key not in self._groups:
                self._groups[key] = self._nothing()
            point, resampled = self._groups[key]
            point += rows[members].sum(axis=0)
            resampled += spread[:, members] @ rows[members]
        self._rows, self._weights, self._members = [], [], {}


def _parts(metrics: tuple[Metric, ...]) -> dict[str, slice]:
    """The columns of each metric, by name."""
    ends = itertools.accumulate(metric.columns for metric in metrics)
    return {metric.name: slice(end - metric.columns, end) for metric, end in zip(metrics, ends, strict=True)}


def _figure(value: float, spread: NDArray[np.float64], pictures: int) -> Figure:
    if math.isnan(value):
        return (None, None, None)
    low, high = interval(spread)
    return (value, None, None) if pictures < 2 or math.isnan(low) else (value, low, high)
