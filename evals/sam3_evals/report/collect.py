"""What a page shows of a run's cases, gathered while it is scored; of bounded size."""

import hashlib
import heapq
from dataclasses import dataclass, field
from typing import Any

from sam3_evals.metrics.matched_sample import Scored

SHOWN = 8
"""Best, worst and flipped cases on a page."""
BINS = 20
_POINTS = 1000


@dataclass(slots=True)
class Gathered:
    """Counts of IoUs, a sample of cost against IoU, the best and the worst cases."""

    histogram: list[int] = field(default_factory=lambda: [0] * BINS)
    """Cases with a target by IoU, BINS bins of equal width."""
    _best: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])
    _worst: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])
    _points: list[tuple[str, float, float, float]] = field(default_factory=list[tuple[str, float, float, float]])

    def take(self, case: Scored) -> None:
        """Take in one case."""
        chance = hashlib.blake2b(case.case.encode(), digest_size=8).hexdigest()  # breaks ties without favour
        if case.has_target:
            self.histogram[min(BINS - 1, int(case.lisa.iou * BINS))] += 1
            if case.lisa.iou > 0:
                _keep(self._best, (case.lisa.iou, chance, case.case), SHOWN)
        _keep(self._worst, (-case.lisa.iou, chance, case.case), SHOWN)
        _keep(self._points, (chance, case.usage.usd, case.usage.seconds, case.lisa.iou), _POINTS)

    def best(self) -> list[str]:
        """Ids of the cases with the largest IoU among those that have a target and overlap it, best first."""
        return [name for _, _, name in sorted(self._best, reverse=True)]

    def worst(self) -> list[str]:
        """Ids of the cases with the smallest IoU, worst first."""
        return [name for _, _, name in sorted(self._worst, reverse=True)]

    def costs(self) -> tuple[str, list[tuple[float, float]]]:
        """Unit and (cost, IoU) of up to 1000 cases: dollars where any were paid, else seconds."""
        paid = any(usd for _, usd, _, _ in self._points)
        unit = "USD" if paid else "seconds"
        return unit, [(usd if paid else seconds, iou) for _, usd, seconds, iou in self._points]


def _keep(heap: list[Any], item: Any, most: int) -> None:
    if len(heap) < most:
        heapq.heappush(heap, item)
    else:
        heapq.heappushpop(heap, item)
