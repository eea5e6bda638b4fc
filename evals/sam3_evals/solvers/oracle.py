"""The oracle: the best subset of the model's masks, chosen with the truth in hand. An upper bound, no contender.

The model is asked for the query, for "object", and for every word and pair of neighboring words of the query, with its
near misses and presence assumed. Of all masks that it draws, the subset whose union has the largest IoU with the target
is the answer; where there is no target, nothing is.
"""

import itertools
import re
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_agent.types import Instance, Usage
from sam3_agent.workspace import Workspace
from sam3_evals.prediction import Prediction
from sam3_evals.sample import Case, Source
from sam3_evals.solvers.open_image import OpenedImage

THRESHOLD = 0.1
MOST_PHRASES = 24
_SAME = 0.95
"""Masks that overlap by this IoU are one."""
_STOP = re.compile(
    "an?|the|of|in|on|at|to|and|or|is|are|be|by|with|that|which|who|what|there|this|these|those|its?|from|for|not?"
    "|than|other|all|any|every|each|do|does|can|could|would|you"
)


class OracleSolver:
    """Upper bound of an agent over this model: it always chooses best."""

    def __init__(self, workspace: Workspace) -> None:
        self._sitting = OpenedImage(workspace)

    def solve(self, case: Case, picture: Source) -> Prediction:
        """Choose among everything that the model draws for the query and its parts."""
        workspace = self._sitting.workspace
        began, encodes = time.monotonic(), workspace.encodes
        image_id = self._sitting.open(case, picture)
        chosen: list[Rle] = []
        if case.targets:
            chosen = best_subset(pool_of(workspace, image_id, case.query), case.target, case.ignore)
        return Prediction(
            case.id,
            rles=tuple(chosen),
            scores=(1.0,) * len(chosen),
            outcome="answered" if chosen else "no_match",
            reason="chosen with the truth in hand",
            usage=Usage(encodes=workspace.encodes - encodes, seconds=time.monotonic() - began),
        )


def pool_of(workspace: Workspace, image_id: str, query: str) -> list[Rle]:
    """Every mask that the model draws in an image for the query and its parts, each once."""
    whole, *parts = phrases_of(query)
    found: list[Rle] = []
    for phrases in ([whole], parts):
        for instance in _drawn(workspace, image_id, phrases):
            if not found or float(masks.iou([instance.rle], found).max()) < _SAME:
                found.append(instance.rle)
    return found


def _drawn(workspace: Workspace, image_id: str, phrases: list[str]) -> list[Instance]:
    """Everything for these phrases in one batched call; nothing where the model refuses one (a query too long)."""
    try:
        said = workspace.segment(image_id, phrases, threshold=THRESHOLD, assume_present=True, tiles="never")
    except InputError:
        return []
    return [instance for each in said for instance in (*each.instances, *each.near_misses)]


def phrases_of(query: str) -> list[str]:
    """The query, its words and pairs of neighboring words without stop words, "object"; each once."""
    words = re.findall(r"[^\W_]+(?:[-'][^\W_]+)*", query.lower())
    telling = [word for word in words if not _STOP.fullmatch(word)]
    pairs = [
        f"{one} {other}"
        for one, other in itertools.pairwise(words)
        if not _STOP.fullmatch(one) and not _STOP.fullmatch(other)
    ]
    return list(dict.fromkeys([" ".join(query.split()), "object", *pairs, *telling]))[:MOST_PHRASES]


def best_subset(pool: Sequence[Rle], target: Rle, ignore: Rle | None = None) -> list[Rle]:
    """The masks whose union has the largest IoU with the target; none where nothing overlaps it.

    For disjoint masks this is exact: the best subset is a prefix of the masks by their share inside the target, since
    adding a mask raises (sum I) / (T + sum O) if and only if its own I / O is above it. Overlapping masks are then
    exchanged, added and taken away one by one while that helps, which is a lower bound of the best.
    """
    counted = ~masks.decode(ignore) if ignore is not None else np.True_
    kept = [rle for rle in pool if masks.area(masks.intersect([rle, target]))]
    cells = _Cells([masks.decode(rle) & counted for rle in kept], masks.decode(target) & counted)
    order = sorted(range(len(kept)), key=lambda i: -cells.share(i))
    best, best_iou = list[int](), 0.0
    for length in range(1, len(order) + 1):
        if (reached := cells.iou(order[:length])) > best_iou:
            best, best_iou = order[:length], reached
    return [kept[i] for i in _improved(best, best_iou, cells, len(kept))]


class _Cells:
    """The image cut along every edge of masks and target: cells of many pixels that lie in the same of them.

    Unions are counted on a few hundred cells instead of a million pixels, exactly.
    """

    def __init__(self, bitmaps: Sequence[NDArray[np.bool_]], wanted: NDArray[np.bool_]) -> None:
        flags = np.stack([wanted, *bitmaps]).reshape(len(bitmaps) + 1, -1)  # (1 + K, H * W)
        flags = flags[:, flags.any(axis=0)]
        codes = np.ascontiguousarray(np.packbits(flags, axis=0).T)  # (N, bytes)
        _, first, sizes = np.unique(codes.view(f"V{codes.shape[1]}"), return_index=True, return_counts=True)
        self._inside = flags[1:, first]  # (K, cells)
        self._wanted = flags[0, first]
        self._sizes = sizes

    def share(self, index: int) -> float:
        """Of one mask, how much lies in the target."""
        inside = self._inside[index]
        return float(self._sizes[inside & self._wanted].sum() / max(1, self._sizes[inside].sum()))

    def iou(self, chosen: Sequence[int]) -> float:
        """Of the union of these masks with the target."""
        union = self._inside[list(chosen)].any(axis=0)
        together = self._sizes[union | self._wanted].sum()
        return float(self._sizes[union & self._wanted].sum() / together) if together else 0.0


def _improved(chosen: list[int], reached: float, cells: _Cells, count: int) -> list[int]:
    while True:
        moves = [_toggled(chosen, index) for index in range(count)]
        others = [index for index in range(count) if index not in chosen]
        moves += [[*(c for c in chosen if c != old), new] for old in chosen for new in others]
        scored = [(cells.iou(move), move) for move in moves if move]
        best = max(scored, key=lambda item: (item[0], -len(item[1])), default=(0.0, chosen))
        if best[0] < reached or (best[0] == reached and len(best[1]) >= len(chosen)):
            return chosen
        reached, chosen = best


def _toggled(chosen: list[int], index: int) -> list[int]:
    return [c for c in chosen if c != index] if index in chosen else [*chosen, index]
