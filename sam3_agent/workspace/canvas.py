"""Canvas: examples beside the image on one picture.

SAM 3 was trained on examples of the same picture only. With an example of another picture drawn beside the image, a
frozen SAM 3 finds its like at 66.6 mIoU on COCO-20i (FSS-SAM3, arXiv 2604.05433); Intel's geti-instant-learn gives the
examples 30 % of the canvas. It costs an encode an image and concept, and shows both parts smaller.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.masks import Box
from sam3_agent.types import Candidate, CanvasExample, ConceptPrompt, Detection, Exemplar
from sam3_agent.workspace.sampling import evenly

SHARE = 0.3
"""Of the canvas's width, for the examples."""
MOST_EXAMPLES = 3
"""Under one another; a prompt of SAM 3's own training has few boxes."""
MARGIN = 0.5
"""Around an object, as a share of its sides: its surroundings are part of what tells it apart."""
LONGEST = 320
"""Pixels of the longer side of a kept example: a third of SAM 3's own square."""
_QUALITY = 92
_GRAY = 127


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """Image with examples at its right; what lies left of `width` has the image's own pixels."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB"""
    width: int
    """Of the image."""
    exemplars: tuple[Exemplar, ...]


def example_of(pixels: NDArray[np.uint8], box: Box) -> CanvasExample:
    """Cut an object with its surroundings out of (H, W, 3) RGB pixels."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box
    dx, dy = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    left, top = max(0, int(x0 - dx)), max(0, int(y0 - dy))
    right, bottom = min(width, max(left + 1, round(x1 + dx))), min(height, max(top + 1, round(y1 + dy)))
    picture = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    scale = min(1.0, LONGEST / max(picture.size))
    if scale < 1:
        picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    inside = (x0 - left, y0 - top, x1 - left, y1 - top)
    sides = (picture.width, picture.height) * 2
    kept = tuple(round(min(max(v * scale, 0.0), float(side)), 2) for v, side in zip(inside, sides, strict=True))
    return CanvasExample(buffer.getvalue(), (kept[0], kept[1], kept[2], kept[3]))


def examples_of(examples: Sequence[tuple[NDArray[np.uint8], Box]]) -> tuple[CanvasExample, ...]:
    """Cut out up to MOST_EXAMPLES of (pixels, box), evenly chosen."""
    return tuple(example_of(*example) for example in evenly(examples, MOST_EXAMPLES))


def canvas_of(pixels: NDArray[np.uint8], examples: Sequence[CanvasExample]) -> Canvas:
    """Draw the examples under one another at the right of an image, each as large as fits."""
    height, width = pixels.shape[:2]
    strip = max(8, round(width * SHARE / (1 - SHARE)))
    canvas = np.full((height, width + strip, 3), _GRAY, np.uint8)
    canvas[:, :width] = pixels
    exemplars: list[Exemplar] = []
    cell = max(1, height // len(examples))
    for place, example in enumerate(examples):
        with Image.open(io.BytesIO(example.picture)) as opened:
            picture = opened.convert("RGB")
        scale = min(strip / picture.width, cell / picture.height)
        wide, high = max(1, int(picture.width * scale)), max(1, int(picture.height * scale))
        top = place * cell
        canvas[top : top + high, width : width + wide] = np.asarray(picture.resize((wide, high)))
        x0, y0, x1, y1 = (v * scale for v in example.box)
        exemplars.append(Exemplar((width + x0, top + y0, width + x1, top + y1), positive=True))
    return Canvas(canvas, width, tuple(exemplars))


def prompt_on(canvas: Canvas, prompt: ConceptPrompt) -> ConceptPrompt:
    """The prompt with the examples of the canvas in place of its learned tokens."""
    return ConceptPrompt(prompt.phrase, (*canvas.exemplars, *prompt.exemplars), None)


def in_image(answer: Detection, canvas: Canvas) -> Detection:
    """Cut an answer to the image's part of the canvas, in the image's own pixels.

    The model's presence is of the canvas, on which the thing is in any case. So the presence is the best score in the
    image's part, and object scores are shares of it: their products are the scores that the model gave.
    """
    kept, missed = ([c for each in some if (c := _cut(each, canvas))] for some in (answer.kept, answer.near_misses))
    best = max((each.object_score for each in (*kept, *missed)), default=0.0)
    if not best:
        return Detection(0.0, (), ())
    shared = [tuple(replace(c, object_score=c.object_score / best) for c in some) for some in (kept, missed)]
    return Detection(answer.presence * best, shared[0], shared[1])


def _cut(candidate: Candidate, canvas: Canvas) -> Candidate | None:
    """None for what lies among the examples, or has no pixel in the image."""
    x0, y0, x1, y1 = candidate.box
    if (x0 + x1) / 2 >= canvas.width:
        return None
    rle = masks.encode(masks.decode(candidate.rle)[:, : canvas.width])
    return (
        Candidate(rle, (x0, y0, min(x1, float(canvas.width)), y1), candidate.object_score) if masks.area(rle) else None
    )
