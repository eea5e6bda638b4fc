"""A picture with known things on it, a model that knows them, and a workspace over both."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent.masks import Box
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.workspace import Workspace

HEIGHT, WIDTH = 200, 320
RED, BLUE, GREEN = (210, 30, 30), (40, 70, 220), (30, 160, 60)


def disc(x: float, y: float, radius: float, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:height, :width]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def square(x0: int, y0: int, x1: int, y1: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


RED_CIRCLES = (disc(50, 50, 30), disc(250, 60, 20))
BLUE_CIRCLE = disc(150, 140, 35)
GREEN_SQUARE = square(230, 120, 290, 180)


def picture() -> NDArray[np.uint8]:
    """Two red circles, a blue circle and a green square on grey."""
    pixels = np.full((HEIGHT, WIDTH, 3), 200, dtype=np.uint8)
    for mask, color in (*((m, RED) for m in RED_CIRCLES), (BLUE_CIRCLE, BLUE), (GREEN_SQUARE, GREEN)):
        pixels[mask] = color
    return pixels


def fake_segmenter() -> FakeSegmenter:
    """Knows the things of `picture`; takes the green square for a weak circle, and doubts that there is a star."""
    circles = [*RED_CIRCLES, BLUE_CIRCLE]
    return FakeSegmenter(
        {
            "circle": detection([*circles, GREEN_SQUARE], [0.9, 0.88, 0.86, 0.3], presence=0.95),
            "red circle": detection(RED_CIRCLES, [0.92, 0.9], presence=0.97),
            "square": detection([GREEN_SQUARE], [0.9], presence=0.9),
            "star": detection([BLUE_CIRCLE], [0.8], presence=0.2),
            "button": detection([BLUE_CIRCLE], [0.7], presence=0.9),
        }
    )


def make_workspace() -> Workspace:
    """A workspace with `picture` open as img1."""
    workspace = Workspace(fake_segmenter())
    workspace.open(picture())
    return workspace


def boxes_of_discs() -> list[Box]:
    """Four boxes in a row, of the discs of `workspace_of_discs`."""
    return [(float(x), 80.0, float(x + 41), 121.0) for x in (20, 90, 160, 230)]


def workspace_of_discs() -> Workspace:
    """A workspace with four discs on img1; a negative example on the second one takes the first and third along."""
    discs = [disc(box[0] + 20, 100, 20) for box in boxes_of_discs()]
    answers = {"disc": detection(discs), "trio": detection(discs[:3]), "first": detection(discs[:1])}
    workspace = Workspace(FakeSegmenter(answers))
    workspace.open(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    return workspace


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
