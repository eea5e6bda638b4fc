"""Looks at images: what is found on one, beside what is marked there."""

from collections.abc import Sequence
from dataclasses import dataclass

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.teaching.views import TeachingImage
from sam3_agent.types import ConceptPrompt, DetectOptions

SAME = 0.5
"""IoU of masks from which on a finding is an object, as in the metrics."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding."""

    rle: Rle
    score: float
    """Presence times object score."""
    overlap: float | None
    """IoU with the object that it is; None where it is none, or one that a better finding is already."""


@dataclass(frozen=True, slots=True)
class Look:
    """Findings on an image, the best first."""

    objects: int
    """Marked."""
    presence: float
    findings: tuple[Finding, ...]


def look(segmenter: Sam3, image: TeachingImage, prompt: ConceptPrompt, threshold: float) -> Look:
    """Ask about an image down to a score, and compare with what is marked."""
    (answer,) = segmenter.detect(segmenter.encode(image.pixels), [prompt], DetectOptions(threshold, near_misses=0))
    return look_of(image, answer.presence, [(answer.presence * each.object_score, each.rle) for each in answer.kept])


def look_of(image: TeachingImage, presence: float, found: Sequence[tuple[float, Rle]]) -> Look:
    """Compare findings, the best first, each with its score, with what is marked."""
    hits = matched([rle for _, rle in found], image.objects)
    findings = [Finding(rle, score, hit) for (score, rle), hit in zip(found, hits, strict=True)]
    return Look(len(image.objects), presence, tuple(findings))


def matched(found: Sequence[Rle], objects: Sequence[Rle]) -> list[float | None]:
    """The IoU of each finding, best first, with the object that it takes: the one it covers best of those left."""
    if not found or not objects:
        return [None] * len(found)
    free, hits = set(range(len(objects))), list[float | None]()
    for row in masks.iou(found, objects):
        best = max(free, key=lambda column: row[column], default=None)
        if best is None or row[best] < SAME:
            hits.append(None)
            continue
        free.remove(best)
        hits.append(float(row[best]))
    return hits
