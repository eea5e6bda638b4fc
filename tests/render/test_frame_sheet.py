"""Sheets of frames: they fit, cells are in order, objects keep their colors."""

from collections.abc import Iterator

import numpy as np
import pytest

from sam3_agent import masks
from sam3_agent.render import FrameCell, Mark, draw_frame_sheet


def cells(count: int, size: tuple[int, int]) -> Iterator[FrameCell]:
    width, height = size
    for number in range(count):
        yield FrameCell(np.full((height, width, 3), 10 * number + 5, dtype=np.uint8), f"#{number}")


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (40, 30), (3000, 20), (20, 3000), (1, 1), (4096, 2304)])
@pytest.mark.parametrize("count", [1, 2, 6, 16])
def test_any_number_of_frames_of_any_shape_fits(count: int, size: tuple[int, int]) -> None:
    picture = draw_frame_sheet(cells(count, size), count, size, longest=1024)
    assert max(picture.image.size) <= 1024
    assert picture.scale > 0


def test_frames_stand_in_reading_order() -> None:
    pixels = np.asarray(draw_frame_sheet(cells(4, (300, 200)), 4, (300, 200), longest=1024).image)
    levels = [int(pixels[y, x, 0]) for y in (250, 650) for x in (250, 760)]
    assert levels == [5, 15, 25, 35]


def test_an_object_is_outlined_and_labeled_and_keeps_its_color() -> None:
    frame = np.full((200, 300, 3), 90, dtype=np.uint8)
    inside = np.zeros((200, 300), dtype=bool)
    inside[60:140, 100:200] = True
    frame[inside] = (200, 40, 40)
    rle = masks.encode(inside)
    cell = FrameCell(frame, "#7", (Mark("t1", rle, masks.box(rle)),))
    pixels = np.asarray(draw_frame_sheet([cell], 1, (300, 200), longest=1024).image)
    assert (pixels == (200, 40, 40)).all(axis=2).sum() > 0.9 * 8000 * (1012 / 300) ** 2
    assert (pixels == 255).all(axis=2).sum() > 1000
