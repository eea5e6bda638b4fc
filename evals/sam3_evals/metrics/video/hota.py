"""HOTA, and pHOTA of SA-Co/VEval: detection and association of all masklets of a phrase, at once.

Source: Luiten et al., HOTA (IJCV 2020) as JonathonLuiten/TrackEval computes it; pHOTA takes every pair of a video and
a phrase as a sequence of its own and adds them up by detections (facebookresearch/sam3 `sam3/eval/hota_eval_toolkit`).
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from sam3_agent import masks
from sam3_evals.metrics.ratio import ratio
from sam3_evals.metrics.video.masklets import Masklet

ALPHAS: NDArray[np.float64] = np.arange(0.05, 0.99, 0.05)
"""(19,) thresholds of similarity."""
_EPS = float(np.finfo("float").eps)
_PARTS = 7
COLUMNS = _PARTS * len(ALPHAS)
"""By threshold: TP, FN, FP, and what the TPs add to AssA, AssRe, AssPr and LocA."""


def hota_row(predicted: Sequence[Masklet], truth: Sequence[Masklet]) -> NDArray[np.float64]:
    """(COLUMNS,) what one video (and phrase) adds; sums of rows go into `hota_figures`."""
    frames = sorted({index for masklet in (*predicted, *truth) for index in masklet})
    tables = [_frame(predicted, truth, index) for index in frames]
    sums = np.zeros((_PARTS, len(ALPHAS)))
    lengths = [np.array([len(m) for m in side], dtype=np.float64) for side in (truth, predicted)]
    alike = _global_alignment(tables, lengths[0], lengths[1])
    matches = np.zeros((len(ALPHAS), len(truth), len(predicted)))
    for true, said, similarity in tables:
        rows, columns = _assign(-(alike[np.ix_(true, said)] * similarity))
        matched = similarity[rows, columns]  # (pairs,)
        hits = matched[None, :] >= ALPHAS[:, None] - _EPS  # (19, pairs)
        found = hits.sum(axis=1)
        sums[:3] += np.stack([found, len(true) - found, len(said) - found])
        sums[6] += (hits * matched[None, :]).sum(axis=1)
        matches[:, np.asarray(true, dtype=int)[rows], np.asarray(said, dtype=int)[columns]] += hits
    true_length, said_length = lengths[0][None, :, None], lengths[1][None, None, :]
    for part, whole in ((3, true_length + said_length - matches), (4, true_length), (5, said_length)):
        sums[part] = (matches * matches / np.maximum(whole, 1)).sum(axis=(1, 2))
    return sums.ravel()


def hota_figures(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Figures of (..., COLUMNS) sums, each a mean over the thresholds; NaN where nothing is there or said."""
    parts = sums.reshape(*sums.shape[:-1], _PARTS, len(ALPHAS))
    hits, missed, false, ass_a, ass_re, ass_pr, loc = (parts[..., i, :] for i in range(_PARTS))
    some = np.maximum(hits, 1)
    det = hits / np.maximum(hits + missed + false, 1)
    values = {
        "hota": np.sqrt(det * ass_a / some),
        "det_a": det,
        "ass_a": ass_a / some,
        "det_re": hits / np.maximum(hits + missed, 1),
        "det_pr": hits / np.maximum(hits + false, 1),
        "ass_re": ass_re / some,
        "ass_pr": ass_pr / some,
        # TrackEval calls the localization of nothing perfect.
        "loc_a": np.maximum(loc, 1e-10) / np.maximum(hits, 1e-10),
    }
    basis = ratio(np.ones_like(hits[..., 0]), (hits + missed + false)[..., 0]) >= 0
    found = {name: np.where(basis, value.mean(axis=-1), np.nan) for name, value in values.items()}
    at_half = np.where(basis, values["hota"][..., 9], np.nan)
    return found | {"hota_50": at_half}


def _frame(
    predicted: Sequence[Masklet], truth: Sequence[Masklet], index: int
) -> tuple[list[int], list[int], NDArray[np.float64]]:
    """(true masklets there, predicted ones there, (true, predicted) IoU)."""
    true = [i for i, masklet in enumerate(truth) if index in masklet]
    said = [i for i, masklet in enumerate(predicted) if index in masklet]
    return true, said, masks.iou([truth[i][index] for i in true], [predicted[i][index] for i in said])


def _global_alignment(
    tables: Sequence[tuple[list[int], list[int], NDArray[np.float64]]],
    true_length: NDArray[np.float64],
    said_length: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(true, predicted) how well two masklets fit over the whole video, a Jaccard index of soft matches."""
    possible = np.zeros((len(true_length), len(said_length)))
    for true, said, similarity in tables:
        whole = similarity.sum(axis=0)[None, :] + similarity.sum(axis=1)[:, None] - similarity
        soft = np.divide(similarity, whole, out=np.zeros_like(similarity), where=whole > _EPS)
        possible[np.ix_(true, said)] += soft
    return possible / np.maximum(true_length[:, None] + said_length[None, :] - possible, _EPS)


def _assign(cost: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return cast(Any, linear_sum_assignment)(cost)
