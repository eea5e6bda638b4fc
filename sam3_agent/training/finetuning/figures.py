"""Figures of an adapter with their intervals: of its own phrase, and of the words that it should have left alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_agent.training.finetuning.looks import Finding, Look

THRESHOLD = 0.5
RESAMPLES = 1000
"""Of the bootstrap (Efron 1979), over images: objects of one image are not independent."""

Counts = NDArray[np.float64]
"""(images, k) sums that a figure is a quotient of."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its 95 % interval; all None where nothing was there to count."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def to_json(self) -> list[float | None]:
        """[value, low, high]."""
        return [self.value, self.low, self.high]

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        return f"{self.value:.3f} ({self.low:.2f}-{self.high:.2f})"


@dataclass(frozen=True, slots=True)
class Pair:
    """A figure of the base and of the model with the adapter, on the same images."""

    before: Figure
    after: Figure
    lost: Figure
    """Before less after, resampled together."""

    def to_json(self) -> dict[str, Any]:
        """{"before", "after", "lost"}, each [value, low, high]."""
        return {"before": self.before.to_json(), "after": self.after.to_json(), "lost": self.lost.to_json()}


Quotient = Callable[[Counts], float | None]
"""Of summed counts, (k,)."""


def f1(sums: Counts) -> float | None:
    """2 TP / (2 TP + FP + FN) of [TP, FP, FN, ...]."""
    return _share(2 * sums[0], 2 * sums[0] + sums[1] + sums[2])


def precision(sums: Counts) -> float | None:
    """TP / (TP + FP)."""
    return _share(sums[0], sums[0] + sums[1])


def recall(sums: Counts) -> float | None:
    """TP / (TP + FN)."""
    return _share(sums[0], sums[0] + sums[2])


def refusal(sums: Counts) -> float | None:
    """Share of the questions about what is absent that nothing was found for: [..., asked, refused]."""
    return _share(sums[4], sums[3])


def first_share(sums: Counts) -> float | None:
    """Quotient of the first two sums: [part, whole]."""
    return _share(sums[0], sums[1])


def paired(before: Counts, after: Counts, quotient: Quotient, seed: int = 0) -> Pair:
    """A figure before and after, with intervals; both have a row an image."""
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(before), (RESAMPLES, len(before))) if len(before) else np.zeros((1, 0), np.int64)
    old, new = ([quotient(counts[pick].sum(axis=0)) for pick in picks] for counts in (before, after))
    lost = [a - b for a, b in zip(old, new, strict=True) if a is not None and b is not None]
    was, now = quotient(before.sum(axis=0)), quotient(after.sum(axis=0))
    difference = was - now if was is not None and now is not None else None
    return Pair(_interval(was, old), _interval(now, new), _interval(difference, lost))


def own_counts(looks: Sequence[Look], shift: float = 0.0) -> Counts:
    """(images, 6) [TP, FP, FN, absent, refused, IoU] of the phrase itself.

    Args:
        looks: what was found, down to low scores.
        shift: added to the object logits, as an adapter does, before THRESHOLD.
    """
    rows = np.zeros((len(looks), 6))
    for row, look in zip(rows, looks, strict=True):
        kept = kept_findings(look, shift)
        hits = [finding.overlap for finding in kept if finding.overlap is not None]
        missed, absent = look.objects - len(hits), not look.objects
        row[:] = (len(hits), len(kept) - len(hits), missed, absent, absent and not kept, sum(hits))
    return rows


def kept_findings(look: Look, shift: float) -> list[Finding]:
    """The findings of a look that are over THRESHOLD once they are shifted."""
    return [each for each in look.findings if shifted(each.score, look.presence, shift) > THRESHOLD]


def shifted(score: float, presence: float, shift: float) -> float:
    """A score (presence times object score) once the object's logit is shifted."""
    share = min(score / presence, 1 - 1e-9) if presence > 0 else 0.0
    return presence * share * math.exp(shift) / (1 - share + share * math.exp(shift))


def mean_iou(sums: Counts) -> float | None:
    """Mean IoU of what was found rightly."""
    return _share(sums[5], sums[0])


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None


def _interval(value: float | None, samples: Sequence[float | None]) -> Figure:
    known = [sample for sample in samples if sample is not None]
    if value is None or not known:
        return Figure(value, value, value)
    low, high = np.percentile(known, [2.5, 97.5])
    return Figure(round(value, 4), round(float(low), 4), round(float(high), 4))
