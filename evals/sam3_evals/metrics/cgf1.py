"""cgF1: how well every instance of a phrase is found, times how well its presence is told.

Source: SAM 3 (arXiv 2511.16719, section E.3) and facebookresearch/sam3 `sam3/eval/cgf1_eval.py`, whose numbers this
file reproduces, epsilons included. The unit is a *pair* of an image and a phrase; figures lie in 0..1 (papers print
them x 100).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle

if TYPE_CHECKING:
    from sam3_evals.metrics.matched_sample import Scored

THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
"""(10,) IoU thresholds .50, .55, ... .95, exactly as pycocotools spaces them."""
_AT_50, _AT_75 = 0, 5
_F1_EPS = 1e-4
_MCC_EPS = 1e-6


@dataclass(frozen=True, slots=True)
class PairCounts:
    """One (image, phrase) pair after matching; false positives and negatives follow from these three."""

    true_positives: tuple[int, ...]
    """Matches per IoU threshold, in the order of THRESHOLDS."""
    predictions: int
    """Predictions that were kept (score at or above the threshold)."""
    targets: int
    """Instances in the truth; 0 makes the pair a negative one."""
    iou: float = 0.0
    """Sum over the matches."""
    intersection: float = 0.0
    """Pixels over the matches; 0 where only IoUs are known."""
    union: float = 0.0
    """Pixels over the matches and whatever is left over on either side."""

    def false_positives(self) -> NDArray[np.int64]:
        """(10,) kept predictions without a match, per threshold."""
        return self.predictions - np.asarray(self.true_positives, dtype=np.int64)

    def false_negatives(self) -> NDArray[np.int64]:
        """(10,) instances without a match, per threshold."""
        return self.targets - np.asarray(self.true_positives, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class CgF1:
    """The cgF1 family over a set of pairs. Without suffix: mean over IoU .50:.05:.95; `_50` and `_75`: at that IoU."""

    cgf1: float
    """positive_micro_f1 * il_mcc."""
    il_mcc: float
    """Matthews correlation of "anything kept" against "anything there", over all pairs."""
    positive_micro_f1: float
    """F1 over all instances; false positives on negative pairs do not count (the MCC punishes those)."""
    positive_macro_f1: float
    """Mean F1 of the positive pairs that have a kept prediction (Meta's pmF1: a wholly missed pair is left out)."""
    positive_macro_f1_with_missed: float
    """Mean F1 of all positive pairs, a wholly missed one counting 0 (Meta's `_w0dt`)."""
    f1: float
    """F1 over all instances, false positives on negative pairs included."""
    precision: float
    recall: float
    recall_50: float
    cgf1_50: float
    cgf1_75: float
    positive_micro_f1_50: float
    positive_micro_f1_75: float
    f1_50: float
    f1_75: float
    il_tp: int
    il_fp: int
    il_fn: int
    il_tn: int

    @property
    def pairs(self) -> int:
        """Count the pairs that went in."""
        return self.il_tp + self.il_fp + self.il_fn + self.il_tn

    def to_json(self) -> dict[str, float]:
        """Every figure by name."""
        return asdict(self)


def score_pair(
    ious: NDArray[np.floating], scores: NDArray[np.floating] | Sequence[float] | None = None, *, threshold: float = 0.5
) -> PairCounts:
    """Match the predictions of one pair to its truth, one to one, by the largest total IoU (Hungarian).

    `ious` is (predictions, targets): also with no prediction, shape (0, G), or no target, (P, 0). Predictions with
    score < `threshold` are dropped first; None keeps all. As in Meta's code the matching ignores the IoU thresholds.

    Raises:
        InputError: `ious` is not two-dimensional or `scores` has another length.
    """
    table = np.asarray(ious, dtype=np.float64)
    if table.ndim != 2:
        raise InputError(f"ious must have shape (predictions, targets), got {table.shape}")
    if scores is not None:
        kept = np.asarray(scores, dtype=np.float64)
        if kept.shape != (table.shape[0],):
            raise InputError(f"scores must have shape ({table.shape[0]},) like the rows of ious, got {kept.shape}")
        table = table[kept >= threshold]  # (P kept, G)
    return _counts(table, *_assign(-table))


def _counts(table: NDArray[np.float64], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> PairCounts:
    """Count the matches of a (P, G) table by threshold."""
    matched = table[rows, columns]  # (min(P, G),)
    hits = (matched[None, :] >= THRESHOLDS[:, None]).sum(axis=1)  # (10,)
    return PairCounts(tuple(int(n) for n in hits), *table.shape, iou=float(matched.sum()))


def score_masks(
    predicted: Sequence[Rle],
    truth: Sequence[Rle],
    scores: Sequence[float] | None = None,
    *,
    threshold: float = 0.5,
    crowd: Rle | None = None,
) -> PairCounts:
    """`score_pair` on masks of one image.

    A prediction that lies with more than half of its pixels in `crowd` (a region of more instances than were told
    apart) and reaches no target by an IoU of .5 is dropped: it is neither right nor wrong. Meta's files have no crowds.
    """
    table = masks.iou(predicted, truth)
    kept = np.ones(len(predicted), dtype=bool) if scores is None else np.asarray(scores, dtype=np.float64) >= threshold
    if crowd is not None and len(predicted):
        inside = masks.containment(predicted, [crowd])[:, 0] > 0.5
        kept &= ~(inside & (table.max(axis=1, initial=0.0) < THRESHOLDS[0]))
    table = table[kept]
    rows, columns = _assign(-table)
    drawn = np.array([masks.area(rle) for rle in predicted], dtype=np.float64)[kept]  # (P kept,) pixels
    there = np.array([masks.area(rle) for rle in truth], dtype=np.float64)  # (G,)
    matched = table[rows, columns]
    both = (drawn[rows] + there[columns]) * matched / (1 + matched)  # from IoU = I / (A + B - I)
    intersection = float(np.rint(both).sum())
    union = float(drawn.sum() + there.sum()) - intersection
    return replace(_counts(table, rows, columns), intersection=intersection, union=union)


def best_annotator(pairs: Sequence[PairCounts]) -> int:
    """Choose the annotator's truth that a prediction is held against: the one that serves it best.

    Source: `CGF1Evaluator._select_best_scoring`: a rightly empty prediction wins (the last such annotator), else the
    largest mean F1 over the thresholds (the first such).
    """
    best = 0
    for index in range(1, len(pairs)):
        if _silent(pairs[index]) or (not _silent(pairs[best]) and local_f1(pairs[index]) > local_f1(pairs[best])):
            best = index
    return best


def local_f1(pair: PairCounts) -> float:
    """Mean F1 of one pair over the thresholds."""
    counts = np.asarray(pair.true_positives, dtype=np.int64), pair.false_positives(), pair.false_negatives()
    return float(_f1(*_precision_recall(*counts)).mean())


def row(pair: PairCounts) -> NDArray[np.float64]:
    """(COLUMNS,) what one pair adds: TP, FP, FP on positive pairs, FN and F1 by threshold; then IL TP, FP, FN, TN."""
    hits, false, missed = np.asarray(pair.true_positives), pair.false_positives(), pair.false_negatives()
    told, there = pair.predictions > 0, pair.targets > 0
    macro = _f1(*_precision_recall(hits, false, missed)) * (there and told)
    presence = [told and there, told and not there, there and not told, not there and not told]
    return np.concatenate([hits, false, false * there, missed, macro, presence]).astype(np.float64)


COLUMNS = 5 * len(THRESHOLDS) + 4


def aggregate(pairs: Iterable[PairCounts]) -> CgF1:
    """The whole family over any number of pairs; one pass, nothing kept.

    As in Meta's code a figure without a basis is 0 (an MCC without a negative pair, an F1 without a positive one).
    """
    sums = np.zeros(COLUMNS)
    for pair in pairs:
        sums += row(pair)
    values = {name: float(value) for name, value in family(sums).items()}
    counts = {name: round(values.pop(name)) for name in ("il_tp", "il_fp", "il_fn", "il_tn")}
    return CgF1(**values, **counts)


def family(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Every figure by name of (..., COLUMNS) sums."""
    hits, false, false_on_positive, missed, macro = (sums[..., 10 * i : 10 * i + 10] for i in range(5))
    il_tp, il_fp, il_fn, il_tn = (sums[..., 50 + i] for i in range(4))
    mcc = _mcc(il_tp, il_fp, il_fn, il_tn)
    precision, recall = _precision_recall(hits, false, missed)
    f1 = _f1(precision, recall)
    positive = _f1(*_precision_recall(hits, false_on_positive, missed))
    return {
        "cgf1": positive.mean(axis=-1) * mcc,
        "il_mcc": mcc,
        "positive_micro_f1": positive.mean(axis=-1),
        "positive_macro_f1": macro.mean(axis=-1) / np.maximum(il_tp, 1),
        "positive_macro_f1_with_missed": macro.mean(axis=-1) / np.maximum(il_tp + il_fn, 1),
        "f1": f1.mean(axis=-1),
        "precision": precision.mean(axis=-1),
        "recall": recall.mean(axis=-1),
        "recall_50": recall[..., _AT_50],
        "cgf1_50": positive[..., _AT_50] * mcc,
        "cgf1_75": positive[..., _AT_75] * mcc,
        "positive_micro_f1_50": positive[..., _AT_50],
        "positive_micro_f1_75": positive[..., _AT_75],
        "f1_50": f1[..., _AT_50],
        "f1_75": f1[..., _AT_75],
        "il_tp": il_tp,
        "il_fp": il_fp,
        "il_fn": il_fn,
        "il_tn": il_tn,
    }


class InstanceMetric:
    """The cgF1 family over the cases whose truth tells instances apart."""

    name = "instances"
    columns = COLUMNS

    def row(self, case: Scored) -> list[float]:
        """Compute what one case adds."""
        return row(case.pair).tolist() if case.pair is not None else [0.0] * COLUMNS

    def figures(self, sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """`family`, NaN where a figure means nothing: an MCC without negative pairs, an F1 without positive ones."""
        found = family(sums)
        positive, negative = found["il_tp"] + found["il_fn"], found["il_fp"] + found["il_tn"]
        for name, value in found.items():
            if name.startswith(("cgf1", "il_mcc")):
                found[name] = np.where((positive > 0) & (negative > 0), value, np.nan)
            elif name.startswith("il_"):
                found[name] = np.where(positive + negative > 0, value, np.nan)
            elif name == "precision":
                found[name] = np.where(found["il_tp"] + found["il_fp"] > 0, value, np.nan)
            else:
                found[name] = np.where(positive > 0, value, np.nan)
        return found


def _silent(pair: PairCounts) -> bool:
    return pair.predictions == 0 and pair.targets == 0


def _assign(cost: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return cast(Any, linear_sum_assignment)(cost)


def _precision_recall(hits: Any, false: Any, missed: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return hits / (hits + false + _F1_EPS), hits / (hits + missed + _F1_EPS)


def _f1(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    return 2 * precision * recall / (precision + recall + _F1_EPS)


def _mcc(
    tp: NDArray[np.float64], fp: NDArray[np.float64], fn: NDArray[np.float64], tn: NDArray[np.float64]
) -> NDArray[np.float64]:
    spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / (spread**0.5 + _MCC_EPS)
