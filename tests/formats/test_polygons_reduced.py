"""Polygons of few vertices: how many are saved, how close they stay, and that holes and parts survive."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sam3_agent import masks
from sam3_agent.formats.label_set import LabeledImage, LabelSet, MaskLabel
from sam3_agent.formats.polygons_exact import parts_of
from sam3_agent.formats.polygons_reduced import LEAST_IOU, cost_of, one_ring, outline_of


def disc(radius: int = 40, hole: int = 0) -> masks.Rle:
    rows, columns = np.mgrid[0:120, 0:160]
    apart = np.hypot(rows - 60, columns - 80)
    return masks.encode((apart <= radius) & (apart >= hole))


def filled(rle: masks.Rle, tolerance: float) -> masks.Rle:
    return masks.from_polygons([r.ravel().tolist() for r in outline_of(rle, tolerance).rings], rle.size)


def test_a_disc_needs_a_tenth_of_its_vertices_at_an_iou_of_98_percent() -> None:
    exact, reduced = outline_of(disc(), 0), outline_of(disc(), 1.5)
    assert (exact.exact, exact.iou) == (True, 1.0)
    assert reduced.vertices * 10 < exact.vertices
    assert reduced.iou > 0.98
    assert masks.iou([filled(disc(), 1.5)], [disc()])[0, 0] == reduced.iou


def test_vertices_fall_and_the_price_rises_with_the_tolerance() -> None:
    outlines = [outline_of(disc(), tolerance) for tolerance in (0.75, 1.5, 3.0)]
    assert [o.vertices for o in outlines] == sorted((o.vertices for o in outlines), reverse=True)
    assert outlines[0].iou > outlines[-1].iou


def test_a_ring_keeps_its_hole() -> None:
    ring = disc(40, hole=20)
    hole = masks.decode(filled(ring, 1.5))[55:65, 75:85]
    assert outline_of(ring, 1.5).holes == 1
    assert not hole.any()
    assert outline_of(ring, 1.5).iou > 0.97


def test_parts_stay_apart_and_can_be_tied_to_one_ring() -> None:
    two = masks.union([masks.place(disc(20), 120, 400, 0, 0), masks.place(disc(20), 120, 400, 200, 0)])
    assert len(outline_of(two, 1.5).rings) == 2
    ring, parts = one_ring(two, 1.5, 0.05)
    assert ring is not None
    assert (parts, len(ring)) == (2, outline_of(two, 1.5).vertices + 2)
    assert one_ring(masks.empty(4, 4), 1.5, 0.05) == (None, 0)


@pytest.mark.parametrize("side", [1, 2, 3])
def test_an_object_of_few_pixels_keeps_what_it_needs(side: int) -> None:
    pixels = np.zeros((20, 20), dtype=bool)
    pixels[5 : 5 + side, 5 : 5 + side] = True
    assert outline_of(masks.encode(pixels), 4.0).iou >= LEAST_IOU


@settings(max_examples=60, deadline=None)
@given(arrays(bool, (12, 16)), st.sampled_from([0.0, 0.8, 2.0]))
def test_no_mask_loses_more_than_is_allowed(coarse: np.ndarray, tolerance: float) -> None:
    rle = masks.encode(cv2.resize(coarse.astype(np.uint8), (64, 48), interpolation=cv2.INTER_NEAREST).astype(bool))
    outline = outline_of(rle, tolerance)
    assert outline.iou >= LEAST_IOU
    assert len(outline.rings) == len(parts_of(masks.decode(rle)))
    if masks.area(rle):
        assert masks.iou([filled(rle, tolerance)], [rle])[0, 0] >= LEAST_IOU


def test_the_price_of_a_set_is_told() -> None:
    image = LabeledImage("a.png", 160, 120, (MaskLabel("1", 0, disc()), MaskLabel("2", 0, disc(30, hole=10))))
    cost = cost_of(LabelSet(("ring",), (image,), simplify=1.5))
    assert cost.labels == 2
    assert 0.95 < cost.least_iou <= cost.mean_iou < 1.0
    assert cost.words().startswith("--simplify 1.5: ")
    assert f"{cost.vertices} vertices instead of {cost.exact_vertices}" in cost.words()
