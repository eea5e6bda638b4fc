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
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.types import CloseUps, ConceptPrompt, Exemplar, ExemplarTokens
from sam3_agent.workspace.mask_store import Finding
from sam3_agent.workspace.query import Asking
from sam3_agent.workspace.tiling import Found

MARGIN = 1.6
"""Side of the square in longer sides of the box. At 1.3 and 2.0 it told true from false as well (.94, .94; .93)."""
OTHERS = 0.3
"""Weight of the likeness to other things: with ten images of gears and hourglasses in three draws each, absent was
refused .95 on average and at least .90; at 0 .93 and .85, at 0.6 .97 and .90 with F1 .81 for .88."""
VERSIONS = 3
"""Readings of each example and other thing: as it is, then turned by a right angle more each time and with its color
channels rotated. From three images (gears in four draws) F1 was .50 with one reading and .73 with three, absent refused
1.00 and .98; from ten (three draws) .71 and .75, .95 and .98."""
LEAST_IMAGES = 3
"""With an example on each, from which on an example is compared with those of other images alone."""
LEAST_EXAMPLES = 5
"""On so many images; of fewer no share can be told."""
SHRINKAGE = 1.0
"""Of the scatter, in its mean variance: of some hundred tokens of 64 to 256 numbers little is known. With ten images of
gears (three draws) F1 was .75, .74 and .75 at 1, 0.3 and 3, absent refused .98, .98 and .97."""
MOST_KEPT = 40
"""Examples, and as many other things: each costs VERSIONS encodes when it is learned."""
MOST_SEEN = 64
"""Findings of one answer that are looked at, those of the lowest scores."""
SEEN_FROM = 0.35
"""Score where 0.5 would be the threshold: what is weaker is refused without a look whatever was asked for, as each
look costs an encode. Labeling asks down to 0.2."""
SOFTNESS = 0.4
"""Of the scatter of likeness, between 0.25 (F1 .74, absent refused .92 at a threshold of .25, five draws of gears) and
0.5 (.72, .95). A score that is lowered by doubt orders right before false, as none of the model's own
does: over all findings of gears that scored .2 and more (learned from three and ten images, four draws) the model's
score had a recall of .20 at a precision of .95, and lowered so .67."""
UNLIKE_SHARE = 0.1
"""Of the examples themselves that may be less alike than what is asked of findings, where nothing else is known."""
FEW_IMAGES, FEW_SHARE = 5, 0.2
"""With fewer images than that; the least alike of seven examples says little. With three (eight draws of gears and
hourglasses) absent was refused .94 and at least .85, F1 .66; at 0.1 .86, .50 and .68."""
SURE_SHARE = 0.03
"""Of the other things that may be more alike: people leave some examples unmarked, and one outlier is no reason to
refuse what is right."""
LEAST_TOLD = 0.75
"""Area under the curve of examples against other things, each left out, from which on it tells them apart."""
STRICTNESS = 0.8
"""Place of the least likeness in the gap that the two leave: 1 is the examples' side of it, 0 that of other things.
With ten images of gears (three draws) F1 was .75 and absent refused .98, at 0.5 and 0.65 .74 and .97."""
STRICTNESS_OF_FEW = 0.15
"""The same with fewer than LEAST_IMAGES images, where the examples' side is only how alike the readings of one example
are, far more than two things of a kind. With one image (14 draws of gears and hourglasses) absent was refused .82 and
F1 .64 at score .4, without a second look .69 and .64 at .5; at 0.3 .87 and .61."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Tokens of boxes seen close by, and the image of each."""

    rows: NDArray[np.float32]
    """(N x versions, C), those of a box one after the other, the first of them as it is."""
    owners: tuple[str, ...]
    """N, of the boxes."""
    segmenter: str
    """Fingerprint of the weights that read them."""
    versions: int = 1

    @property
    def tokens(self) -> ExemplarTokens:
        """All rows, of which there must be one."""
        return ExemplarTokens.of(self.rows, self.segmenter)

    @property
    def plain(self) -> NDArray[np.float32]:
        """(N, C) rows of the boxes as they are."""
        return self.rows[:: self.versions]

    def only(self, places: Sequence[int]) -> "Seen":
        """The boxes at these places."""
        rows = [place * self.versions + version for place in places for version in range(self.versions)]
        return Seen(self.rows[rows], tuple(self.owners[place] for place in places), self.segmenter, self.versions)

    def without(self, owner: str) -> NDArray[np.float32]:
        """(M, C) rows of other images."""
        return self.only([place for place, its in enumerate(self.owners) if its != owner]).rows

    def without_box(self, place: int) -> NDArray[np.float32]:
        """(M, C) rows of other boxes."""
        return np.delete(self.rows, range(place * self.versions, (place + 1) * self.versions), axis=0)


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


def read_close_ups(
    segmenter: Segmenter,
    boxes: Sequence[tuple[str, Box]],
    pixels_of: Callable[[str], NDArray[np.uint8]],
    versions: int = 1,
) -> Seen:
    """Read close-ups of (image id, box), each in so many versions; an encode for each, and none is kept."""
    tokens: list[ExemplarTokens] = []
    for image_id, box in boxes:
        pixels = pixels_of(image_id)
        (x0, y0, x1, y1), inside = square_around(box, pixels.shape[1], pixels.shape[0])
        for version in range(versions):
            part, where = turned(pixels[y0:y1, x0:x1], inside, version)
            tokens.append(segmenter.read_exemplars(segmenter.encode(part), [Exemplar(where)]))
    owners = tuple(image_id for image_id, _ in boxes)
    if not tokens:
        return Seen(np.zeros((0, 0), np.float32), (), "", versions)
    return Seen(np.concatenate([each.array for each in tokens]), owners, tokens[0].segmenter, versions)


def turned(pixels: NDArray[np.uint8], box: Box, version: int) -> tuple[NDArray[np.uint8], Box]:
    """Turn pixels and a box in them by so many right angles against the clock; rotate the color channels as often."""
    x0, y0, x1, y1 = box
    width = pixels.shape[1]
    for _ in range(version % 4):
        x0, y0, x1, y1 = y0, width - x1, y1, width - x0
        pixels = np.rot90(pixels)
        width = pixels.shape[1]
    return np.ascontiguousarray(np.roll(pixels, version % 3, axis=2)), (x0, y0, x1, y1)


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
    """The least likeness; None where it would not tell examples from other things.

    One image at a time is left out. With fewer than LEAST_IMAGES a finding must be more alike than each of the other
    things.

    Args:
        examples: of the concept.
        others: things that it must not be, on the same images or on any; see `without_unmarked`.
        unlike: share of the examples that may be less alike than what is asked of findings; None for the usual one.
    """
    if not len(examples.rows):
        return None
    images = len(set(examples.owners))
    if images < LEAST_IMAGES:
        if not len(others.rows) or examples.versions < 2:
            return None
        own, other = (_likeness_of_few(each, examples, others) for each in (examples, others))
        least = STRICTNESS_OF_FEW * float(np.median(own)) + (1 - STRICTNESS_OF_FEW) * float(other.max())
        return _close_ups(examples, others, least, (own, other))
    if len(examples.owners) < LEAST_EXAMPLES:
        return None
    own, other = (likeness_left_out(each, examples, others) for each in (examples, others))
    usual = FEW_SHARE if images < FEW_IMAGES else UNLIKE_SHARE
    least = float(np.quantile(own, usual if unlike is None else unlike))
    if len(other):
        if (own[:, None] > other[None]).mean() < LEAST_TOLD:
            return None
        sure = float(np.quantile(other, 1 - SURE_SHARE))
        least = min(least, STRICTNESS * least + (1 - STRICTNESS) * sure)
    return _close_ups(examples, others, least, (own, other))


def _close_ups(examples: Seen, others: Seen, least: float, likeness: Sequence[NDArray[np.float64]]) -> CloseUps:
    spread = SOFTNESS * float(np.concatenate(likeness).std())
    return CloseUps(examples.tokens, others.tokens if len(others.rows) else None, round(least, 6), round(spread, 6))


def _likeness_of_few(seen: Seen, examples: Seen, others: Seen) -> NDArray[np.float64]:
    """(N,) likeness of each box to the examples, as it is, where the others, but not itself, stand against it.

    An example is compared with its own other readings too.
    """
    found = np.zeros(len(seen.owners))
    for place, row in enumerate(seen.plain):
        own = np.delete(examples.rows, place * examples.versions, axis=0) if seen is examples else examples.rows
        other = others.without_box(place) if seen is others else others.rows
        found[place] = Likeness(own, other).of(row[None])[0]
    return found


def without_unmarked(others: Seen, examples: Seen) -> Seen:
    """Drop what is as much like an example as half of the examples are: people do not mark everything.

    With fewer than LEAST_IMAGES nobody can say.
    """
    if len(set(examples.owners)) < LEAST_IMAGES:
        return others
    none = others.only([])
    own, other = (likeness_left_out(each, examples, none) for each in (examples, others))
    return others.only([place for place, like in enumerate(other) if like < np.median(own)])


def likeness_left_out(seen: Seen, examples: Seen, others: Seen) -> NDArray[np.float64]:
    """(N,) likeness of each box, as it is, to what was seen on other images than its own."""
    found = np.zeros(len(seen.owners))
    for owner in set(seen.owners):
        places = [place for place, its in enumerate(seen.owners) if its == owner]
        found[places] = Likeness(examples.without(owner), others.without(owner)).of(seen.plain[places])
    return found


def belief(known: CloseUps, likeness: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) how likely findings of such likeness are what is meant, 0-1: .5 at the least likeness."""
    if not known.spread:
        return (likeness >= known.least).astype(np.float64)
    return 1 / (1 + np.exp(np.clip((known.least - likeness) / known.spread, -50, 50)))


def seen_closely(found: Found, prompt: ConceptPrompt, asking: Asking) -> Found:
    """Lower scores by how unlike the examples of a prompt's concept findings are; what falls short is a near miss.

    Where a box on this very image says what is meant, nothing is lowered.
    """
    learned = prompt.learned
    if learned is None or learned.close_ups is None or prompt.exemplars or prompt.by_canvas:
        return found
    sure, weak = asking.question.assume_present, learned.threshold_at(SEEN_FROM)

    def counted(finding: Finding) -> float:
        return finding.object_score if sure else finding.score

    strong = [finding for finding in found.findings if finding.kept and counted(finding) >= weak]
    missed = [finding for finding in found.findings if not finding.kept or counted(finding) < weak]
    staying, doubtful = strong[:-MOST_SEEN], strong[-MOST_SEEN:]
    if doubtful:
        for finding, share in zip(doubtful, _beliefs(doubtful, learned.close_ups, asking), strict=True):
            lowered = replace(finding, score=finding.score * share, object_score=finding.object_score * share)
            (staying if counted(lowered) > asking.question.threshold else missed).append(lowered)
    missed = [replace(finding, kept=False) for finding in missed]
    return replace(found, findings=(*_best_first(staying), *_best_first(missed)))


def _beliefs(findings: Sequence[Finding], known: CloseUps, asking: Asking) -> list[float]:
    """Read each finding off a square around it, and tell how likely it is what is meant."""
    height, width = asking.size
    squares = [square_around(finding.box, width, height) for finding in findings]
    tokens = [asking.segmenter.read_exemplars(asking.part(part), [Exemplar(inside)]) for part, inside in squares]
    return belief(known, _likeness_to(known).of(np.concatenate([each.array for each in tokens]))).tolist()


def _best_first(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: -finding.score)


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
