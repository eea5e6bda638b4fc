"""Close-ups: each finding of a concept of examples is looked at once more, cut out and enlarged, beside the examples.

A model that was shown a few examples also finds what is like them from afar. A token that it reads off the box on the
whole image hardly tells the two apart (area under the curve .63 for gears that the embedded weights found, true
against false); read off a square that is cut out around the box, the same token does: .96 to .99, for hourglasses .84
to .89. Its likeness to the nearest example counts, less a part of that to the nearest thing that an example's image
shows beside it. Each finding costs an encode, so that only what would be kept is looked at.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_agent.masks import Box, Window
from sam3_agent.model.segmenter import Features, Segmenter
from sam3_agent.types import CloseUps, ConceptPrompt, Exemplar, ExemplarTokens
from sam3_agent.workspace.query import Asking
from sam3_agent.workspace.tiling import Found

MARGIN = 1.6
"""Side of the square in longer sides of the box. At 1.3 and 2.0 it told true from false as well (.94, .94; .93)."""
OTHERS = 0.3
"""Weight of the likeness to other things: with ten images of gears and hourglasses in three draws each, absent was
refused .95 on average and at least .90; at 0 .93 and .85, at 0.6 .97 and .90 with F1 .81 for .88."""
LEAST_IMAGES = 3
"""With an example on each; an example is compared with those of other images alone."""
LEAST_EXAMPLES = 5
"""Of fewer no share can be told."""
SHRINKAGE = 3.0
"""Of the scatter, in its mean variance: of 60 tokens of 64 numbers little is known. With it the area under the curve
was .953 (.940 without any whitening) and absent refused .98 (.95), F1 .839 (.848)."""
MOST_KEPT = 64
"""Examples, and as many other things: each costs an encode when it is learned."""
MOST_SEEN = 64
"""Findings of one answer that are looked at, those of the lowest scores."""
SEEN_FROM = 0.35
"""Score where 0.5 would be the threshold: what is weaker is refused without a look whatever was asked for, as each
look costs an encode. Labeling asks down to 0.2."""
UNLIKE_SHARE = 0.1
"""Of the examples themselves that may be less alike than what is asked of findings, where nothing else is known."""
FEW_IMAGES = 5
"""Below them little is known of either side, and what is asked for is likeness to as many as FEW_SHARE leaves."""
FEW_SHARE = 0.3
"""In their place. With three images (four draws) absent was refused .83 on average, at 0.1 .76; F1 .80 and .82."""
SURE_SHARE = 0.03
"""Of the other things that may be more alike: people leave some examples unmarked, and one outlier is no reason to
refuse what is right."""
LEAST_TOLD = 0.75
"""Area under the curve of examples against other things, each left out, from which on it tells them apart."""
STRICTNESS = 0.65
"""Place of the least likeness in the gap that the two leave: 1 is the examples' side of it, 0 that of other things.
From 0.5 to 0.8 (ten images, six draws) F1 was .88 to .87 and absent refused .95 to .96."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Tokens of boxes seen close by, and the image of each."""

    rows: NDArray[np.float32]
    """(N, C)"""
    owners: tuple[str, ...]
    segmenter: str
    """Fingerprint of the weights that read them."""

    @property
    def tokens(self) -> ExemplarTokens:
        """All rows, of which there must be one."""
        return ExemplarTokens.of(self.rows, self.segmenter)

    def without(self, owner: str) -> NDArray[np.float32]:
        """(M, C) rows of other images."""
        return self.rows[[place for place, its in enumerate(self.owners) if its != owner]]


def square_around(box: Box, width: int, height: int) -> tuple[Window, Box]:
    """Whole pixels around a box of a (height, width) image, at least one, and the box in them."""
    x0, y0, x1, y1 = box
    half = MARGIN * max(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = (min(max(math.floor(v - half), 0), size - 1) for v, size in ((x, width), (y, height)))
    right, bottom = (
        max(min(math.ceil(v + half), size), low + 1) for v, size, low in ((x, width, left), (y, height, top))
    )
    clipped = (max(x0, left) - left, max(y0, top) - top, min(x1, right) - left, min(y1, bottom) - top)
    return (left, top, right, bottom), clipped


def _tokens_of(
    segmenter: Segmenter, boxes: Sequence[Box], size: tuple[int, int], features_of: Callable[[Window], Features]
) -> list[ExemplarTokens]:
    """Read the token of each box of a (height, width) image off a square around it.

    `features_of` encodes a part of the image.
    """
    height, width = size
    squares = [square_around(box, width, height) for box in boxes]
    return [segmenter.read_exemplars(features_of(part), [Exemplar(inside)]) for part, inside in squares]


def read_close_ups(
    segmenter: Segmenter, boxes: Sequence[tuple[str, Box]], pixels_of: Callable[[str], NDArray[np.uint8]]
) -> Seen:
    """Read close-ups of (image id, box); an encode each, and none is kept."""
    tokens: list[ExemplarTokens] = []
    for image_id, box in boxes:
        pixels = pixels_of(image_id)

        def part(window: Window, whole: NDArray[np.uint8] = pixels) -> Features:
            x0, y0, x1, y1 = window
            return segmenter.encode(np.ascontiguousarray(whole[y0:y1, x0:x1]))

        tokens += _tokens_of(segmenter, [box], (pixels.shape[0], pixels.shape[1]), part)
    owners = tuple(image_id for image_id, _ in boxes)
    if not tokens:
        return Seen(np.zeros((0, 0), np.float32), (), "")
    return Seen(np.concatenate([each.array for each in tokens]), owners, tokens[0].segmenter)


class Likeness:
    """Likeness of tokens to examples and not to other things.

    Tokens are compared by cosine, after what varies among the examples, and among the other things, was turned down:
    they are whitened by the scatter within both, shrunk towards a ball (linear discriminant analysis, Fisher 1936).
    """

    def __init__(self, examples: NDArray[np.float32], others: NDArray[np.float32]) -> None:
        """Of (M, C) examples, one at least, and (K, C) other things."""
        held = [_directions(rows) for rows in (examples, others) if len(rows)]
        self._whitening = _whitening(held)
        self._examples, *turned = (_directions(rows @ self._whitening) for rows in held)
        self._others = turned[0] if turned else self._examples[:0]

    def of(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N,) cosine of (N, C) tokens with the nearest example, less OTHERS that with the nearest other thing."""
        turned = _directions(_directions(rows) @ self._whitening)
        own, other = (turned @ each.T for each in (self._examples, self._others))  # (N, M), (N, K)
        return own.max(axis=1) - (OTHERS * other.max(axis=1) if len(self._others) else 0.0)


def calibrated(examples: Seen, others: Seen, unlike: float | None = None) -> CloseUps | None:
    """The least likeness by leaving out one image at a time; None where it would not tell examples from other things.

    Args:
        examples: of the concept.
        others: things that it must not be, on the same images or on any; see `without_unmarked`.
        unlike: share of the examples that may be less alike than what is asked of findings; None for the usual one.
    """
    if len(set(examples.owners)) < LEAST_IMAGES or len(examples.rows) < LEAST_EXAMPLES:
        return None
    own, other = likeness_left_out(examples, examples, others), likeness_left_out(others, examples, others)
    few = unlike is None and len(set(examples.owners)) < FEW_IMAGES
    least = float(np.quantile(own, FEW_SHARE if few else UNLIKE_SHARE if unlike is None else unlike))
    if len(other) and (own[:, None] > other[None]).mean() < LEAST_TOLD:
        return None
    if len(other) and not few:
        sure = float(np.quantile(other, 1 - SURE_SHARE))
        least = min(least, STRICTNESS * least + (1 - STRICTNESS) * sure)
    return CloseUps(examples.tokens, others.tokens if len(others.rows) else None, round(least, 6))


def without_unmarked(others: Seen, examples: Seen) -> Seen:
    """Drop what is as much like an example as half of the examples are: people do not mark everything."""
    none = Seen(others.rows[:0], (), others.segmenter)
    own, other = likeness_left_out(examples, examples, none), likeness_left_out(others, examples, none)
    chosen = [place for place, like in enumerate(other) if like < np.median(own)]
    return Seen(others.rows[chosen], tuple(others.owners[place] for place in chosen), others.segmenter)


def likeness_left_out(seen: Seen, examples: Seen, others: Seen) -> NDArray[np.float64]:
    """(N,) likeness of each row to what was seen on other images than its own."""
    found = np.zeros(len(seen.rows))
    for owner in set(seen.owners):
        places = [place for place, its in enumerate(seen.owners) if its == owner]
        found[places] = Likeness(examples.without(owner), others.without(owner)).of(seen.rows[places])
    return found


def seen_closely(found: Found, prompt: ConceptPrompt, asking: Asking) -> Found:
    """Take what is unlike the examples of a prompt's concept for near misses.

    Where a box on this very image says what is meant, nothing is refused.
    """
    learned = prompt.learned
    if learned is None or learned.close_ups is None or prompt.exemplars or prompt.by_canvas:
        return found
    sure = asking.question.assume_present
    kept, weak = [finding for finding in found.findings if finding.kept], learned.threshold_at(SEEN_FROM)
    strong = [finding for finding in kept if (finding.object_score if sure else finding.score) >= weak]
    doubtful, refused = strong[-MOST_SEEN:], {id(finding) for finding in kept} - {id(finding) for finding in strong}
    if doubtful:
        boxes = [finding.box for finding in doubtful]
        tokens = _tokens_of(asking.segmenter, boxes, asking.size, asking.part)
        alike = (
            _likeness_to(learned.close_ups).of(np.concatenate([each.array for each in tokens]))
            >= learned.close_ups.least
        )
        refused |= {id(finding) for finding, good in zip(doubtful, alike, strict=True) if not good}
    staying = [finding for finding in kept if id(finding) not in refused]
    missed = [replace(finding, kept=False) for finding in found.findings if not finding.kept or id(finding) in refused]
    return replace(found, findings=(*staying, *sorted(missed, key=lambda finding: -finding.score)))


@lru_cache(maxsize=32)
def _likeness_to(known: CloseUps) -> Likeness:
    """Compare with what a concept keeps."""
    examples = known.examples.array
    return Likeness(examples, examples[:0] if known.others is None else known.others.array)


def _directions(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Rows of length 1."""
    wide = rows.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)


def _whitening(classes: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(C, C) inverse square root of the shrunk scatter within (N, C) classes."""
    spread = np.concatenate([rows - rows.mean(axis=0) for rows in classes])
    scatter = spread.T @ spread / len(spread)
    size = max(float(np.trace(scatter)) / len(scatter), 1e-12)
    values, vectors = np.linalg.eigh(scatter + SHRINKAGE * size * np.eye(len(scatter)))
    return (vectors / np.sqrt(values)) @ vectors.T
