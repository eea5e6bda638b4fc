"""Metrics of videos: J, F and J&F of what a query means, HOTA of its instances; pure functions on masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sam3_agent.masks import Rle
from sam3_evals.metrics.ratio import ratio
from sam3_evals.metrics.video.hota import COLUMNS, hota_figures, hota_row
from sam3_evals.metrics.video.masklets import masklet_of, union_of
from sam3_evals.metrics.video.region import RegionScore, score_frames

if TYPE_CHECKING:
    from sam3_evals.metrics.matched_sample import Scored

_HOTA_NAMES = {"hota": "phota", "hota_50": "phota_50"}


@dataclass(frozen=True, slots=True, eq=False)
class VideoScore:
    """Figures of one video case, besides those of every case."""

    region: RegionScore
    """Of all targets together against all predictions together."""
    hota: NDArray[np.float64] | None
    """(COLUMNS,); None where the truth does not tell instances apart."""


def score_video(predicted: Sequence[Rle], truth: Sequence[Rle], frames: int, *, by_instance: bool) -> VideoScore:
    """Score the volumes of one case."""
    region = score_frames(union_of(predicted, frames), union_of(truth, frames))
    sides = [[masklet_of(volume, frames) for volume in volumes] for volumes in (predicted, truth)]
    return VideoScore(region, hota_row(*sides) if by_instance else None)


class VideoMetric:
    """J, F and J&F, a mean over queries as in RVOS; pHOTA, which adds up detections as in SA-Co/VEval.

    A query that means nothing in the video has J = F = 1 when nothing is predicted and else 1 in the frames without a
    prediction only; `j_target`, `f_target` and `jf_target` are over the queries that do mean something.
    """

    name = "video"
    columns = 6 + COLUMNS

    def row(self, case: Scored) -> list[float]:
        """Queries, J, F; the same of those with a target; the columns of HOTA. Zeros for an image."""
        if case.video is None:
            return [0.0] * self.columns
        region, there = case.video.region, float(case.has_target)
        hota = np.zeros(COLUMNS) if case.video.hota is None else case.video.hota
        return [1.0, region.j, region.f, there, there * region.j, there * region.f, *hota.tolist()]

    def figures(self, sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Figures of (..., columns) sums."""
        cases, j, f, there, j_there, f_there = (sums[..., i] for i in range(6))
        found = {"j": ratio(j, cases), "f": ratio(f, cases), "jf": ratio(j + f, 2 * cases)}
        found |= {"j_target": ratio(j_there, there), "f_target": ratio(f_there, there)}
        found["jf_target"] = ratio(j_there + f_there, 2 * there)
        hota = hota_figures(sums[..., 6:])
        return found | {_HOTA_NAMES.get(name, name): value for name, value in hota.items()}
