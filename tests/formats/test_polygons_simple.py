"""Polygons without holes paint exactly the mask they were made from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from sam3_agent.formats.polygons_simple import polygons_of
from sam3_agent.formats.reasonseg import TARGET, rasterize


def repainted(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return rasterize([("target", polygon) for polygon in polygons_of(mask)], (mask.shape[0], mask.shape[1])) == TARGET


def disc(side: int, radius: float, at: tuple[float, float] | None = None) -> NDArray[np.bool_]:
    y, x = np.mgrid[:side, :side]
    cx, cy = at or (side / 2, side / 2)
    return (x - cx) ** 2 + (y - cy) ** 2 <= radius**2


@settings(max_examples=200, deadline=None)
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24))))
def test_any_mask_is_painted_again_pixel_by_pixel(mask: NDArray[np.bool_]) -> None:
    assert np.array_equal(repainted(mask), mask)


def test_a_ring_keeps_its_hole_in_one_polygon() -> None:
    ring = disc(64, 28) & ~disc(64, 14)
    assert len(polygons_of(ring)) == 1
    assert np.array_equal(repainted(ring), ring)


def test_an_island_in_a_hole_beside_other_holes_survives() -> None:
    mask = disc(200, 95) & ~disc(200, 50, (80, 100)) | disc(200, 20, (80, 100))
    mask &= ~disc(200, 15, (150, 60)) & ~disc(200, 15, (155, 140)) & ~disc(200, 3, (178, 100))
    assert len(polygons_of(mask)) == 2
    assert np.array_equal(repainted(mask), mask)


@pytest.mark.parametrize(
    "mask", [np.ones((1, 1), bool), np.ones((1, 5), bool), np.eye(4, dtype=bool), np.ones((9, 7), bool)]
)
def test_dots_and_lines_are_kept(mask: NDArray[np.bool_]) -> None:
    assert np.array_equal(repainted(mask), mask)


def test_nothing_gives_no_polygon() -> None:
    assert polygons_of(np.zeros((5, 5), dtype=bool)) == []
