"""Outlines along pixel edges: every reader gets the mask back, holes and parts too."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from sam3_agent.formats.polygons_exact import Ring, inset, joined, parts_of, signed_area

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def by_area(rings: list[Ring], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """What pycocotools makes of the rings."""
    coded = coco.merge(coco.frPyObjects([ring.ravel().tolist() for ring in rings], *shape))
    return coco.decode(coded).astype(bool)


def by_border(rings: list[Ring], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """What OpenCV makes of them, whole pixels and border included."""
    canvas = np.zeros(shape, np.uint8)
    for ring in rings:
        cv2.fillPoly(canvas, [ring.astype(np.int32)], 1)
    return canvas.astype(bool)


def by_pillow(rings: list[Ring], shape: tuple[int, int]) -> NDArray[np.bool_]:
    picture = Image.new("1", shape[::-1])
    for ring in rings:
        ImageDraw.Draw(picture).polygon([tuple(corner) for corner in ring.tolist()], outline=1, fill=1)
    return np.asarray(picture)


@settings(max_examples=300, deadline=None)
@given(MASKS)
def test_every_reader_gets_the_mask_back(mask: NDArray[np.bool_]) -> None:
    rings = [inset(part.ring) for part in parts_of(mask)]
    if not rings:
        assert not mask.any()
        return
    np.testing.assert_array_equal(by_area(rings, mask.shape), mask)
    np.testing.assert_array_equal(by_border(rings, mask.shape), mask)


def test_a_ring_with_two_holes_and_an_island() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[5:35, 5:50] = True
    mask[10:20, 10:20] = mask[12:30, 25:40] = False
    mask[15:20, 30:35] = True
    outer, island = parts_of(mask)
    assert (len(outer.holes), len(island.holes)) == (2, 0)
    assert signed_area(outer.outer) == 30 * 45
    assert sorted(signed_area(hole) for hole in outer.holes) == [-18 * 15, -100]
    rings = [inset(outer.ring), inset(island.ring)]
    for reader in (by_area, by_border, by_pillow):
        np.testing.assert_array_equal(reader(rings, mask.shape), mask)


def test_parts_that_touch_in_a_corner_stay_apart() -> None:
    mask = np.zeros((4, 4), dtype=bool)
    mask[:2, :2] = mask[2:, 2:] = True
    assert [len(part.outer) for part in parts_of(mask)] == [4, 4]


def test_parts_are_joined_into_one_ring_by_a_thin_line() -> None:
    mask = np.zeros((50, 60), dtype=bool)
    mask[5:25, 5:25] = mask[30:45, 30:55] = True
    ring = joined(parts_of(mask))
    np.testing.assert_array_equal(by_area([ring], mask.shape), mask)
    painted = by_border([ring], mask.shape)
    assert (painted & mask).sum() == mask.sum()
    assert (painted & mask).sum() / painted.sum() > 0.98


@pytest.mark.parametrize("side", [1, 2, 3])
def test_the_smallest_masks_have_outlines(side: int) -> None:
    mask = np.zeros((5, 5), dtype=bool)
    mask[1 : 1 + side, 2] = True
    (part,) = parts_of(mask)
    assert len(part.outer) == 4
    assert signed_area(part.outer) == side
