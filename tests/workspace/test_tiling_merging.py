"""Many views, one answer: each object once and whole, whatever the tiles are."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.tiling.truth_segmenter import TruthSegmenter, map_picture
from sam3_agent import masks
from sam3_agent.masks import Rle, Window
from sam3_agent.types import Candidate, ConceptPrompt, Detection, DetectOptions, ModelInfo
from sam3_agent.workspace.query import Question
from sam3_agent.workspace.tiling import Found, found_in
from sam3_agent.workspace.tiling.planning import grid
from sam3_agent.workspace.tiling.tile_detections import View
from tests.fixtures_workspace import disc, square

HEIGHT, WIDTH = 90, 120
PICTURE = (0, 0, WIDTH, HEIGHT)
MAP = map_picture(HEIGHT, WIDTH)
SEGMENTER = ModelInfo("truth", "cpu", "float32", input_side=48, queries=200, patch=4)
ASKED = [ConceptPrompt("thing")]


def views_of(bitmaps: Sequence[NDArray[np.bool_]], windows: Sequence[Window], *, blind: bool = False) -> list[View]:
    """What the truth looks like through the windows, the whole first; a `blind` whole shows nothing."""
    segmenter = TruthSegmenter({"thing": [masks.encode(bitmap) for bitmap in bitmaps]}, SEGMENTER)
    views: list[View] = []
    for window in (PICTURE, *windows):
        x0, y0, x1, y1 = window
        (found,) = segmenter.detect(
            segmenter.encode(np.ascontiguousarray(MAP[y0:y1, x0:x1])), ASKED, DetectOptions(threshold=0)
        )
        views.append(View(window, Detection(0.02, ()) if blind and window == PICTURE else found, SEGMENTER))
    return views


def answer(views: Sequence[View], question: Question | None = None) -> Found:
    return found_in(views, question or Question(), HEIGHT, WIDTH)


def kept(found: Found) -> set[Rle]:
    rles = [finding.rle for finding in found.findings if finding.kept]
    assert len(rles) == len(set(rles))
    return set(rles)


def rles(*bitmaps: NDArray[np.bool_]) -> set[Rle]:
    return {masks.encode(bitmap) for bitmap in bitmaps}


def bar(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.bool_]:
    return square(x0, y0, x1, y1, HEIGHT, WIDTH)


def dot(x: float, y: float, radius: float) -> NDArray[np.bool_]:
    return disc(x, y, radius, HEIGHT, WIDTH)


@st.composite
def worlds(draw: st.DrawFn) -> list[NDArray[np.bool_]]:
    """Objects of all sizes that touch but do not overlap, each in one piece."""
    taken = np.zeros((HEIGHT, WIDTH), dtype=bool)
    found: list[NDArray[np.bool_]] = []
    for _ in range(draw(st.integers(1, 12))):
        x, y = draw(st.integers(0, WIDTH - 3)), draw(st.integers(0, HEIGHT - 3))
        w, h = draw(st.integers(2, 70)), draw(st.integers(2, 70))
        shape = bar(x, y, x + w, y + h)
        if draw(st.booleans()):  # an L
            shape &= ~bar(x + w // 3, y + h // 3, x + w, y + h)
        if shape.any() and not (shape & taken).any():
            taken |= shape
            found.append(shape)
    return found


tilings = st.tuples(st.integers(20, 60), st.integers(4, 10))


@settings(max_examples=60, deadline=None)
@given(worlds(), tilings, st.booleans())
def test_every_object_is_found_once_and_whole(
    world: list[NDArray[np.bool_]], tiling: tuple[int, int], blind: bool
) -> None:
    found = answer(views_of(world, grid(PICTURE, *tiling), blind=blind))
    assert kept(found) == rles(*world)
    assert len(found.findings) == len(world)


@settings(max_examples=30, deadline=None)
@given(worlds(), st.tuples(st.integers(44, 60), st.integers(11, 20)), st.tuples(st.integers(20, 40), st.integers(4, 9)))
def test_tiles_of_tiles_count_nothing_twice(
    world: list[NDArray[np.bool_]], outer: tuple[int, int], inner: tuple[int, int]
) -> None:
    windows = grid(PICTURE, *outer)
    closer = dict.fromkeys(tile for window in windows[::2] for tile in grid(window, *inner))
    assert kept(answer(views_of(world, [*windows, *closer], blind=True))) == rles(*world)


def test_an_object_over_four_tiles_is_one_where_the_whole_picture_hides_it() -> None:
    large = dot(60, 45, 30)
    views = views_of([large], grid(PICTURE, 60, 12), blind=True)
    assert sum(len(view.detection.kept) for view in views) > 4
    assert kept(answer(views)) == rles(large)


def test_touching_objects_across_a_seam_stay_two() -> None:
    upper, lower = bar(10, 30, 110, 45), bar(10, 45, 110, 60)
    assert kept(answer(views_of([upper, lower], grid(PICTURE, 50, 10), blind=True))) == rles(upper, lower)


def test_touching_objects_stay_two_where_one_tile_blurs_them_into_one() -> None:
    upper, lower = bar(10, 30, 110, 45), bar(10, 45, 110, 60)
    tiles: list[Window] = [(0, 0, 50, HEIGHT), (40, 0, 90, HEIGHT), (80, 0, WIDTH, HEIGHT)]
    views = views_of([upper, lower], tiles, blind=True)
    both = masks.encode((upper | lower)[:, 40:90])
    views[2] = View(tiles[1], Detection(0.95, (Candidate(both, masks.box(both), 0.9),)), SEGMENTER)
    found = [masks.decode(f.rle) for f in answer(views).findings if f.kept]
    assert not any((mask & upper).any() and (mask & lower)[:, :40].any() for mask in found)
    assert any(np.array_equal(mask[:, :40], upper[:, :40]) for mask in found)


def test_a_part_inside_a_whole_stays() -> None:
    whole, part = bar(10, 10, 110, 80), dot(45, 40, 5)
    assert kept(answer(views_of([whole, part], grid(PICTURE, 40, 20)))) == rles(whole, part)


def test_a_large_object_is_that_of_the_whole_picture_and_its_fragments_are_not_counted() -> None:
    large = bar(10, 10, 110, 80)
    views = views_of([large], grid(PICTURE, 40, 10))
    fragment = masks.encode(bar(40, 40, 60, 50)[30:70, 30:70])
    crumbs = Detection(0.9, (Candidate(fragment, masks.box(fragment), 0.9),))
    cut = masks.encode(bar(30, 35, 45, 55)[30:70, 30:70])
    views.append(View((30, 30, 70, 70), Detection(0.9, (Candidate(cut, masks.box(cut), 0.9),)), SEGMENTER))
    assert kept(answer(views)) == rles(large)
    views[-1] = View((30, 30, 70, 70), crumbs, SEGMENTER)  # what no edge cuts is an object of its own
    assert len(kept(answer(views))) == 2


def test_a_blur_seen_from_afar_gives_way_to_what_it_is_made_of() -> None:
    crowd = [bar(x, y, x + 9, y + 9) for x in (30, 40, 50) for y in (30, 40, 50)]
    blur = masks.encode(bar(30, 30, 59, 59))
    views = views_of(crowd, grid(PICTURE, 40, 15), blind=True)
    views[0] = View(PICTURE, Detection(0.9, (Candidate(blur, masks.box(blur), 0.8),)), SEGMENTER)
    assert kept(answer(views)) == rles(*crowd)


def test_a_rough_mask_from_afar_gives_way_to_the_closer_one_of_the_same_object() -> None:
    small = dot(33, 33, 4)
    rough = masks.encode(bar(25, 27, 39, 43))
    views = views_of([small], grid(PICTURE, 40, 15), blind=True)
    views[0] = View(PICTURE, Detection(0.95, (Candidate(rough, masks.box(rough), 0.99),)), SEGMENTER)
    found = answer(views)
    assert kept(found) == rles(small)
    assert found.findings[0].object_score == 0.99  # the scores are those of the view that is surest


def test_a_fragment_that_a_neighbor_does_not_confirm_is_dropped() -> None:
    tiles: list[Window] = [(0, 0, 60, HEIGHT), (40, 0, WIDTH, HEIGHT)]
    edge = masks.encode(bar(40, 20, 46, 30)[:, 40:])
    seen = Detection(0.9, (Candidate(edge, masks.box(edge), 0.9),))
    nothing = Detection(0.02, ())
    views = [View(PICTURE, nothing, SEGMENTER), View(tiles[0], nothing, SEGMENTER), View(tiles[1], seen, SEGMENTER)]
    assert answer(views).findings == ()
    alone = [views[0], views[2]]  # no view shows that place uncut
    assert len(answer(alone).findings) == 1


def test_presence_is_the_strongest_and_the_score_that_of_the_view_that_saw() -> None:
    small = masks.encode(bar(50, 50, 58, 58))
    tile: Window = (40, 40, 80, 80)
    local = masks.encode(bar(50, 50, 58, 58)[40:80, 40:80])
    whole = Detection(0.3, (), (Candidate(small, masks.box(small), 0.8),))
    seen = Detection(0.9, (Candidate(local, masks.box(local), 0.7),))
    found = answer(
        [
            View(PICTURE, whole, SEGMENTER),
            View(tile, seen, SEGMENTER),
            View((0, 0, 40, 40), Detection(0.1, ()), SEGMENTER),
        ]
    )
    assert (found.presence, found.tiles) == (0.9, 2)
    (instance,) = found.findings
    assert (instance.kept, instance.object_score, instance.score) == (True, 0.7, pytest.approx(0.63))


def test_a_tile_that_does_not_believe_is_mute_and_what_it_saw_a_near_miss() -> None:
    local = masks.encode(bar(50, 50, 58, 58)[40:80, 40:80])
    doubt = Detection(0.1, (), (Candidate(local, masks.box(local), 0.9),))
    found = answer([View(PICTURE, Detection(0.95, ()), SEGMENTER), View((40, 40, 80, 80), doubt, SEGMENTER)])
    assert [(f.kept, f.score) for f in found.findings] == [(False, pytest.approx(0.09))]


def test_assumed_in_the_picture_is_not_assumed_in_each_tile() -> None:
    def tile(x: int, presence: float) -> View:
        mask = masks.encode(bar(10, 10, 18, 18)[:40, :40])
        return View((x, 40, x + 40, 80), Detection(presence, (Candidate(mask, masks.box(mask), 0.8),)), SEGMENTER)

    views = [View(PICTURE, Detection(0.01, ()), SEGMENTER), tile(0, 0.2), tile(40, 0.19), tile(80, 0.02)]
    found = answer(views, Question(assume_present=True))
    assert [f.kept for f in found.findings] == [True, True, False]
    assert [round(f.score, 3) for f in found.findings] == [0.16, 0.152, 0.016]
    assert not any(f.kept for f in answer(views).findings)
    sure = [View(PICTURE, Detection(0.9, ()), SEGMENTER), *views[1:]]  # now no tile comes near the whole picture
    assert not any(f.kept for f in answer(sure, Question(assume_present=True)).findings)


def test_near_misses_are_the_eight_best_and_repeat_nothing_that_was_found() -> None:
    spots = [bar(10 * n, 10, 10 * n + 7, 17) for n in range(11)]
    seen = Detection(
        0.9, (), tuple(Candidate(r, masks.box(r), 0.3 + 0.01 * n) for n, r in enumerate(map(masks.encode, spots)))
    )
    strip: Window = (0, 0, WIDTH, 40)
    local = masks.encode(spots[4][:40])
    views = [
        View(PICTURE, seen, SEGMENTER),
        View(strip, Detection(0.9, (Candidate(local, masks.box(local), 0.9),)), SEGMENTER),
    ]
    found = answer(views)
    assert [f.kept for f in found.findings] == [True] + [False] * 8
    assert [round(f.object_score, 2) for f in found.findings[1:]] == [0.4, 0.39, 0.38, 0.37, 0.36, 0.35, 0.33, 0.32]
