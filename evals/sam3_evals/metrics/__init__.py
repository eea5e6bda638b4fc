"""Metrics, one file each: pure functions on masks and numbers, no model and no files.

A metric turns a case into numbers that add up, and sums of them into figures; so every figure can be had over any group
of cases, over any resample of them, and without keeping the cases.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sam3_evals.metrics.cgf1 import InstanceMetric
from sam3_evals.metrics.counterfactual import CounterfactualMetric
from sam3_evals.metrics.counting import CountingMetric
from sam3_evals.metrics.gres import GresMetric
from sam3_evals.metrics.iou import LISA, VISION_REASONER
from sam3_evals.metrics.matched_sample import Scored
from sam3_evals.metrics.objects import ObjectMetric
from sam3_evals.metrics.presence import PresenceMetric
from sam3_evals.metrics.video import VideoMetric


class Metric(Protocol):
    """Figures that follow from sums over cases."""

    @property
    def name(self) -> str:
        """The group of its figures in a score."""
        ...

    @property
    def columns(self) -> int:
        """Count of the numbers that a case adds."""
        ...

    def row(self, case: Scored) -> list[float]:
        """Compute what one case adds; zeros where it has no say."""
        ...

    def figures(self, sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Figures by name of (..., columns) sums; NaN where they have no basis."""
        ...


METRICS: tuple[Metric, ...] = (
    LISA,
    VISION_REASONER,
    GresMetric(),
    InstanceMetric(),
    PresenceMetric(),
    CountingMetric(),
    ObjectMetric(),
    CounterfactualMetric(),
)
VIDEO_METRICS: tuple[Metric, ...] = (*METRICS, VideoMetric())
"""Of videos; apart, as their columns would double what a run over images costs to resample."""
