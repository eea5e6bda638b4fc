"""All views of one concept -> one answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from sam3_agent.instances import ImageView
from sam3_agent.types import ConceptPrompt, Instance, Segmentation
from sam3_agent.workspace.crops import candidate_in_image
from sam3_agent.workspace.mask_store import Finding
from sam3_agent.workspace.query import Question
from sam3_agent.workspace.tiling.merging import groups_of, stitched, without_leftovers
from sam3_agent.workspace.tiling.tile_detections import View, pieces_of

NEAR_MISSES = 8
"""As many as one look at a whole image tells."""


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to one concept before its masks get ids."""

    presence: float
    findings: tuple[Finding, ...]
    """Best first, those above the threshold before the near misses."""
    tiles: int

    def segmentation(
        self,
        name: str,
        view: ImageView,
        image_id: str,
        prompt: ConceptPrompt,
        question: Question,
        instances: Sequence[Instance],
    ) -> Segmentation:
        """The answer with its ids; `instances` are the findings after they got theirs, in the same order."""
        kept = sum(finding.kept for finding in self.findings)
        return Segmentation(
            id=name,
            image_id=image_id,
            prompt=prompt,
            presence=self.presence,
            threshold=question.threshold,
            instances=tuple(instances[:kept]),
            near_misses=tuple(instances[kept:]),
            assume_present=question.assume_present,
            tiles=self.tiles,
            view=view,
        )


def found_in(views: Sequence[View], question: Question, height: int, width: int) -> Found:
    """One answer in pixels of a (height, width) image, each object once.

    Presence is the strongest of all views: what is in a part is in the image. It multiplies nothing here; the score
    of an instance holds the presence of the view that saw it.

    Args:
        views: the first of them of the whole image (or region).
        question: threshold, assumed presence, suppression.
        height: of the image.
        width: of the image.
    """
    if len(views) == 1:
        findings = _as_detected(views[0], height, width)
    else:
        pieces = pieces_of(views, question, height, width)
        objects = without_leftovers([stitched([pieces[n] for n in group]) for group in groups_of(pieces)], views)
        findings = [Finding(o.rle, o.box, o.score, o.object_score, kept=o.kept) for o in objects]
    kept, missed = [f for f in findings if f.kept], [f for f in findings if not f.kept]
    ranked = [*kept, *missed[:NEAR_MISSES]]
    staying = question.suppression.keep([f.rle for f in ranked], len(ranked) - len(kept))
    presence = max(view.detection.presence for view in views)
    return Found(presence, tuple(ranked[number] for number in staying), len(views) - 1)


def _as_detected(view: View, height: int, width: int) -> list[Finding]:
    """Place the answer of a single view into the image; nothing has to be merged, and the model chose what is kept."""
    findings: list[Finding] = []
    for candidates, kept in ((view.detection.kept, True), (view.detection.near_misses, False)):
        for candidate in candidates:
            placed = candidate_in_image(candidate, view.window, width, height)
            score = view.detection.presence * placed.object_score
            findings.append(Finding(placed.rle, placed.box, score, placed.object_score, kept=kept))
    return findings
