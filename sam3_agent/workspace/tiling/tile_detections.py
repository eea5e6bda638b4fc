"""Detections of one tile, in coordinates of the whole image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sam3_agent import masks
from sam3_agent.masks import Box, Rle, Window
from sam3_agent.types import Candidate, Detection, ModelInfo
from sam3_agent.workspace.crops import candidate_in_image
from sam3_agent.workspace.nms import Suppression
from sam3_agent.workspace.query import Question


@dataclass(frozen=True, slots=True)
class View:
    """Answer of the model to one concept in one window; masks and boxes of the detection are those of the window."""

    window: Window
    detection: Detection
    segmenter: ModelInfo

    @property
    def longer(self) -> int:
        """The longer side of the window, pixels of the image."""
        return max(self.window[2] - self.window[0], self.window[3] - self.window[1])

    @property
    def zoom(self) -> float:
        """Pixels that the model had for each pixel of the image, along the longer side."""
        return self.segmenter.input_side / self.longer

    @property
    def margin(self) -> int:
        """Distance, in pixels of the image, at which a mask may end to an edge that cuts it: half a patch of the
        model.
        """
        return math.ceil(self.segmenter.patch / 2 / self.zoom)

    def seen_side(self, side: float) -> float:
        """Length of `side` pixels of the image in the model's own, the mean of across and down.

        A window is stretched to a square, so both differ where it is none.
        """
        x0, y0, x1, y1 = self.window
        return side * self.segmenter.input_side / math.sqrt((x1 - x0) * (y1 - y0))

    def clear(self, image: Window) -> Window:
        """The window without the margins along edges beyond which the image (or region) goes on.

        What lies in it is whole; what reaches out of it may be cut.
        """
        (x0, y0, x1, y1), near = self.window, self.margin
        return (
            x0 + near if x0 > image[0] else x0,
            y0 + near if y0 > image[1] else y0,
            x1 - near if x1 < image[2] else x1,
            y1 - near if y1 < image[3] else y1,
        )


REPEATED = 0.7
"""Masks of one view that overlap more than this (IoU) are one object, which the model pointed at twice."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One candidate of one view."""

    rle: Rle
    box: Box
    """As the model gave it."""
    area: int
    view: View
    object_score: float
    score: float
    """Presence of its view x object score."""
    rank: float
    """Value that was compared with the threshold: `score`, or what stands for it where presence is assumed."""
    kept: bool
    cut: bool
    """An edge of its view goes through it, as far as can be seen."""


def pieces_of(views: Sequence[View], question: Question, height: int, width: int) -> list[Piece]:
    """The candidates of several views of one concept, the whole image's first, each object once a view.

    Args:
        views: the first of them of the whole image (or region).
        question: the threshold, and whether presence is assumed.
        height: of the image.
        width: of the image.
    """
    image = views[0].window
    beliefs = beliefs_in(views, question)
    pieces: list[Piece] = []
    for view, belief in zip(views, beliefs, strict=True):
        detection = view.detection
        told = (*detection.kept, *detection.near_misses)
        for number in Suppression(max_iou=REPEATED).keep([c.rle for c in told]):
            placed = candidate_in_image(told[number], view.window, width, height)
            kept = number < len(detection.kept) and belief * placed.object_score > question.threshold
            pieces.append(_piece(placed, view, belief, image, kept=kept))
    return pieces


def beliefs_in(views: Sequence[View], question: Question) -> list[float]:
    """Return the factor of each view's object scores: its own presence, so that a tile without the concept is mute.

    What is assumed to be in the image is not assumed to be in each tile: tiles count in proportion to the view that
    believes most.
    """
    presence = [view.detection.presence for view in views]
    if not question.assume_present:
        return presence
    most = max(presence)
    return [1.0, *(value / most if most > 0 else 0.0 for value in presence[1:])]


def _piece(placed: Candidate, view: View, belief: float, image: Window, *, kept: bool) -> Piece:
    clear, box = view.clear(image), masks.box(placed.rle)
    return Piece(
        rle=placed.rle,
        box=placed.box,
        area=masks.area(placed.rle),
        view=view,
        object_score=placed.object_score,
        score=view.detection.presence * placed.object_score,
        rank=belief * placed.object_score,
        kept=kept,
        cut=box[0] < clear[0] or box[1] < clear[1] or box[2] > clear[2] or box[3] > clear[3],
    )
