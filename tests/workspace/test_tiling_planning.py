"""When tiles pay, and which they are."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Window
from sam3_agent.types import Candidate, Detection, ModelInfo
from sam3_agent.workspace.query import Question
from sam3_agent.workspace.tiling.planning import Wish, grid, tiles_for, wish_of
from sam3_agent.workspace.tiling.tile_detections import View

SEGMENTER = ModelInfo("eye", "cpu", "float32", input_side=1000, queries=10, patch=10)
PICTURE = (0, 0, 4000, 2000)
RLE = masks.empty(2000, 4000)


def view(*boxes: tuple[float, float, float, float], presence: float = 0.9, score: float = 0.9) -> View:
    """A whole picture, half as high as wide, with objects in these boxes."""
    return View(PICTURE, Detection(presence, tuple(Candidate(RLE, box, score) for box in boxes)), SEGMENTER)


def wish(seen: View, question: Question | None = None, *, whole: bool = True) -> Wish | None:
    return wish_of(seen, question or Question(), whole=whole)


def tiles(picture: Window, called: Wish, room: int = 999) -> list[Window]:
    return list(tiles_for({picture: called}, picture, SEGMENTER, room))


LARGE, SMALL = (0, 0, 800, 600), (100, 100, 130, 150)


@given(st.integers(0, 40), st.integers(1, 300), st.integers(1, 300), st.integers(2, 90), st.data())
def test_a_grid_covers_the_window_with_tiles_of_one_size_that_overlap(
    corner: int, width: int, height: int, side: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, side // 2))
    window = (corner, corner, corner + width, corner + height)
    tiles = grid(window, side, overlap)
    assert {(x1 - x0, y1 - y0) for x0, y0, x1, y1 in tiles} == {(min(side, width), min(side, height))}
    for axis, start, stop in ((0, corner, corner + width), (1, corner, corner + height)):
        spans = sorted({(tile[axis], tile[axis + 2]) for tile in tiles})
        assert (spans[0][0], spans[-1][1]) == (start, stop)
        assert all(before[1] - after[0] >= overlap for before, after in pairwise(spans))
    assert len(tiles) == len(set(tiles))


@given(st.integers(2, 60), st.tuples(*[st.floats(0, 1)] * 4), st.data())
def test_the_tiles_of_a_part_belong_to_the_grid_and_hold_whole_what_is_centerd_there(
    side: int, place: tuple[float, float, float, float], data: st.DataObject
) -> None:
    picture, overlap = (10, 20, 210, 150), data.draw(st.integers(0, side // 2))
    x, y = 10 + place[0] * 150, 20 + place[1] * 100
    part = (int(x), int(y), int(x) + 50, int(y) + 30)
    tiles = grid(picture, side, overlap, part)
    assert set(tiles) <= set(grid(picture, side, overlap))
    center = (part[0] + 50 * place[2], part[1] + 30 * place[3])
    box = [max(c - overlap / 2, low) for c, low in zip(center, picture[:2], strict=True)]
    box += [min(c + overlap / 2, high) for c, high in zip(center, picture[2:], strict=True)]
    assert any(t[0] <= box[0] and t[1] <= box[1] and t[2] >= box[2] and t[3] >= box[3] for t in tiles)
    assert all(t[0] < part[2] and t[2] > part[0] and t[1] < part[3] and t[3] > part[1] for t in tiles)


def test_large_objects_call_for_no_tiles() -> None:
    assert wish(view(LARGE)) is None
    assert wish(view(LARGE, LARGE, LARGE, LARGE, SMALL)) is None


def test_small_objects_call_for_tiles_that_show_them_three_patches_large_and_hold_them() -> None:
    called = wish(view(LARGE, SMALL))
    assert called is not None
    assert called.side == pytest.approx((30 * 50) ** 0.5 * 1000 / 30)
    assert called.reach == 50


def test_an_empty_mask_says_nothing_of_sizes() -> None:
    nothing = (0, 0, 0, 0)
    assert wish(view(nothing, LARGE)) is None
    assert wish(view(nothing, SMALL, SMALL)) == wish(view(SMALL, SMALL))


def test_a_candidate_that_is_hardly_one_tells_nothing_however_low_the_threshold() -> None:
    assert wish(view(SMALL, score=0.2), Question(threshold=0.0)) is None
    assert wish(view(*[LARGE] * 10, score=0.2), Question(threshold=0.0)) is None


def test_queries_in_use_call_for_tiles_of_half_the_size() -> None:
    assert wish(view(*[LARGE] * 9)) is None
    assert wish(view(*[LARGE] * 10)) == Wish(2000)


def test_a_concept_that_is_believed_in_and_not_seen_is_looked_for() -> None:
    assert wish(view(presence=0.6)) == Wish(2000)
    assert wish(view(presence=0.4)) is None
    assert wish(view(presence=0.01), Question(assume_present=True)) == Wish(2000)
    assert wish(view(presence=0.01), Question(assume_present=True), whole=False) is None


def test_never_is_never_and_always_goes_down_step_by_step() -> None:
    assert wish(view(SMALL), Question(tiles="never")) is None
    assert wish(view(presence=0.01), Question(tiles="always"), whole=False) == Wish(2000)
    assert wish(view(SMALL), Question(tiles="always")) == Wish(2000, 50)
    assert tiles((0, 0, 600, 600), Wish(300)) == []  # it ends where tiles would be enlarged more than twice
    with pytest.raises(InputError, match="tiles must be one of auto, never, always; got 'yes'"):
        Question(tiles="yes")  # pyright: ignore[reportArgumentType]


def test_questions_that_differ_a_little_meet_in_the_same_tiles() -> None:
    assert tiles(PICTURE, Wish(1000)) == tiles(PICTURE, Wish(1100))
    sides = {tiles(PICTURE, Wish(side))[0][2] for side in np.linspace(300, 2000, 50)}
    assert sides == {500, 707, 1000, 1414, 2000}


def test_tiles_that_would_show_hardly_more_are_none() -> None:
    assert tiles((0, 0, 600, 600), Wish(100)) == []  # 500 is the least that is worth enlarging
    assert len(tiles((0, 0, 700, 700), Wish(100))) == 4
    assert tiles(PICTURE, Wish(3500)) == []


def test_no_tile_is_stretched_more_than_twice() -> None:
    for x0, y0, x1, y1 in tiles((0, 0, 9000, 300), Wish(2000)):
        assert (x1 - x0) / (y1 - y0) <= 2


def test_too_many_tiles_become_larger_and_fewer(caplog: pytest.LogCaptureFixture) -> None:
    few = tiles(PICTURE, Wish(500), 30)
    assert 1 < len(few) <= 30
    assert "too many" in caplog.text
    assert tiles(PICTURE, Wish(500), 0) == []


def test_windows_that_call_for_more_share_the_tiles_between_them() -> None:
    left, right = (0, 0, 1414, 1414), (1060, 0, 2474, 1414)
    both = tiles_for({left: Wish(700, 50), right: Wish(700, 300)}, PICTURE, SEGMENTER, 999)
    assert {len(callers) for callers in both.values()} == {1, 2}
    assert set(both) <= set(tiles(PICTURE, Wish(700, 300)))
    one, other = (set(tiles_for({window: Wish(700, 300)}, PICTURE, SEGMENTER, 999)) for window in (left, right))
    assert set(both) == one | other
    assert len(both) < len(one) + len(other)


@given(st.floats(20, 200), st.floats(0, 1), st.floats(0, 1))
def test_what_is_held_lies_clear_in_one_tile_at_least(reach: float, across: float, down: float) -> None:
    x, y = across * (4000 - reach), down * (2000 - reach)
    views = [View(tile, Detection(0, ()), SEGMENTER) for tile in tiles(PICTURE, Wish(500, reach))]
    clear = [each.clear(PICTURE) for each in views]
    assert any(x0 <= x and y0 <= y and x + reach <= x1 and y + reach <= y1 for x0, y0, x1, y1 in clear)
