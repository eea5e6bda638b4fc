"""Queries about a video: each answer follows from the truth by a stated rule, and doubtful ones are not asked."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from sam3_agent.scenes.video import (
    QUERY_CLIPS,
    ClipObject,
    draw_clip,
    temporal_queries_of,
    truth_of,
    union_of,
    video_concepts_of,
)
from sam3_agent.scenes.video.queries import coming, moving
from sam3_agent.scenes.video.queries.course import Course
from sam3_agent.scenes.video.queries.group import VideoGroup
from tests.scenes.video.conftest import Asked

WIDTH, HEIGHT, FRAMES = 200, 100, 20


def _course(
    number: int, x: NDArray[np.float64], y: float = 50.0, seen: slice = slice(None), half: float = 10.0
) -> Course:
    """An object whose box, 2 * half wide, is centered at `x` (T,) where it is in the picture and `seen`."""
    boxes = np.stack([x - half, np.full(FRAMES, y - half), x + half, np.full(FRAMES, y + half)], axis=1)
    whole = 4 * half * half
    clipped = boxes.copy()
    clipped[:, 0::2] = clipped[:, 0::2].clip(0, WIDTH)
    areas = (clipped[:, 2] - clipped[:, 0]) * (clipped[:, 3] - clipped[:, 1])
    mask = np.zeros(FRAMES)
    mask[seen] = 1
    areas = areas * mask
    thing = ClipObject(number, "fish", "plain", "animal", ("red",) * FRAMES, "line", None)
    return Course(thing, WIDTH, HEIGHT, areas / whole, clipped, areas.astype(np.int64))


def _ids(found: tuple[Course, ...] | None) -> list[int] | None:
    return None if found is None else [course.id for course in found]


def _rule(module: object, kind: str):
    return next(form.rule for form in module.FORMS if form.kind == kind)  # type: ignore[attr-defined]


LINE = np.linspace(0.0, 1.0, FRAMES)
STILL = _course(1, np.full(FRAMES, 100.0))
OUT_EARLY = _course(2, 150.0 + 260.0 * LINE)
OUT_LATE = _course(3, 100.0 + 130.0 * LINE)
IN = _course(4, -60.0 + 120.0 * LINE)
BACK = _course(5, 50.0 - 90.0 * np.sin(np.pi * LINE))
HIDDEN = _course(6, 60.0 + 20.0 * LINE)
HIDDEN.areas[8:12] = 0
HIDDEN.share[8:12] = 0.0
GONE = _course(7, np.full(FRAMES, 100.0), seen=slice(0, 10))


def test_leaving_is_being_last_seen_at_the_border() -> None:
    leaves = _rule(coming, "leaves")
    assert _ids(leaves(VideoGroup("fish", (STILL, OUT_EARLY, OUT_LATE, IN)))) == [2, 3]
    assert _ids(leaves(VideoGroup("fish", (STILL, IN)))) == []
    assert leaves(VideoGroup("fish", (STILL, OUT_EARLY, GONE))) is None  # it vanishes in the middle
    assert leaves(VideoGroup("fish", (STILL, OUT_EARLY, BACK))) is None  # it leaves too, but returns


def test_who_leaves_first_and_last_must_lead_clearly() -> None:
    first, last = _rule(coming, "leaves_first"), _rule(coming, "leaves_last")
    group = VideoGroup("fish", (STILL, OUT_EARLY, OUT_LATE))
    assert _ids(first(group)) == [2]
    assert _ids(last(group)) == [3]
    close = _course(8, 150.0 + 250.0 * LINE)
    assert first(VideoGroup("fish", (OUT_EARLY, close))) is None
    assert first(VideoGroup("fish", (STILL, OUT_EARLY))) is None  # of one alone nobody says so
    assert _ids(first(VideoGroup("fish", (STILL, IN)))) == []


def test_entering_returning_and_hiding() -> None:
    assert _ids(_rule(coming, "enters")(VideoGroup("fish", (STILL, IN, OUT_LATE)))) == [4]
    assert _ids(_rule(coming, "returns")(VideoGroup("fish", (STILL, BACK)))) == [5]
    assert _rule(coming, "returns")(VideoGroup("fish", (BACK, HIDDEN))) is None
    assert _ids(_rule(coming, "hides")(VideoGroup("fish", (STILL, HIDDEN)))) == [6]
    assert _rule(coming, "hides")(VideoGroup("fish", (HIDDEN, BACK))) is None


def test_directions_speeds_and_standing_still() -> None:
    slow = _course(9, 90.0 + 20.0 * LINE, y=20.0)
    right, left = _rule(moving, "moves_right"), _rule(moving, "moves_left")
    assert _ids(right(VideoGroup("fish", (STILL, OUT_LATE)))) == [3]
    assert _ids(left(VideoGroup("fish", (STILL, OUT_LATE)))) == []
    assert right(VideoGroup("fish", (OUT_LATE, slow))) is None  # a tenth of the width is neither
    assert _ids(_rule(moving, "fastest")(VideoGroup("fish", (slow, OUT_EARLY)))) == [2]
    assert _rule(moving, "fastest")(VideoGroup("fish", (OUT_EARLY, _course(8, 150.0 + 250.0 * LINE)))) is None
    assert _ids(_rule(moving, "still")(VideoGroup("fish", (STILL, OUT_EARLY)))) == [1]
    assert _rule(moving, "still")(VideoGroup("fish", (STILL, _course(9, 90.0 + 8.0 * LINE)))) is None


def test_two_meet_when_their_boxes_touch_after_having_been_apart() -> None:
    meets = _rule(moving, "meets")
    one, other = _course(1, 30.0 + 60.0 * LINE), _course(2, 170.0 - 60.0 * LINE)
    far = _course(3, np.full(FRAMES, 100.0), y=12.0, half=5.0)
    assert _ids(meets(VideoGroup("fish", (one, far, other)))) == [1, 2]
    assert _ids(meets(VideoGroup("fish", (one, far)))) == []
    assert meets(VideoGroup("fish", (STILL, _course(2, np.full(FRAMES, 110.0))))) is None  # together from the start
    assert meets(VideoGroup("fish", (STILL, _course(2, 170.0 - 44.0 * LINE)))) is None  # they come near


def test_every_kind_is_asked_and_no_text_is_asked_twice(asked: Asked) -> None:
    kinds = Counter(query.kind for _, queries in asked for query in queries)
    expected = {
        "leaves", "leaves_first", "leaves_last", "enters", "enters_first", "enters_last", "returns", "hides", "longest",
        "moves_left", "moves_right", "moves_up", "moves_down", "fastest", "still", "meets", "grows", "shrinks",
        "recolors", "turns", "at_start", "at_end", "plain", "no_target",
    }  # fmt: skip
    assert set(kinds) == expected
    for _, queries in asked:
        texts = [query.text for query in queries]
        assert len(set(texts)) == len(texts)
        assert not any("{" in text for text in texts)


def test_only_no_target_has_no_target_and_pairs_are_pairs(asked: Asked) -> None:
    for truth, queries in asked:
        for query in queries:
            assert (query.kind == "no_target") == (query.target_ids == ())
            assert query.kind != "meets" or len(query.target_ids) == 2
            assert list(query.target_ids) == sorted(set(query.target_ids))
            assert all(truth.areas[:, number - 1].any() for number in query.target_ids)


def test_the_words_of_a_query_fit_its_targets(asked: Asked) -> None:
    for truth, queries in asked:
        things = {thing.id: thing for thing in truth.objects}
        for query in queries:
            for noun in {thing.noun for thing in truth.objects}:
                if f" {noun} " in f" {query.text} " and query.kind not in ("hides", "no_target"):
                    assert all(things[number].noun == noun for number in query.target_ids)
            if query.kind == "turns":
                assert all(things[number].colors[-1] in query.text for number in query.target_ids)


def test_across_a_cut_only_what_has_no_time_is_asked(asked: Asked) -> None:
    cut = [queries for truth, queries in asked if truth.cuts]
    assert cut
    assert {query.kind for queries in cut for query in queries} <= {"plain", "no_target"}


def test_the_same_seed_asks_the_same() -> None:
    truth = truth_of(draw_clip(5, 24, (240, 180), QUERY_CLIPS))
    first, second = (temporal_queries_of(truth, np.random.default_rng(9)) for _ in range(2))
    assert first == second


def test_phrases_hold_and_negatives_do_not(asked: Asked) -> None:
    for truth, _ in asked[:30]:
        things = {thing.id: thing for thing in truth.objects}
        concepts = video_concepts_of(truth, np.random.default_rng(0))
        assert len({concept.phrase for concept in concepts}) == len(concepts)
        for concept in concepts:
            assert (concept.target_ids == ()) == concept.kind.startswith("negative")
            for number in concept.target_ids:
                thing = things[number]
                words = {thing.noun, thing.supercategory, "household", "item", *thing.colors}
                assert set(concept.phrase.split(" ")) <= words


def test_the_mask_of_an_answer_is_the_union_of_its_objects() -> None:
    clip = draw_clip(2, 6, (160, 120))
    truth = truth_of(clip)
    union = union_of(truth, (1, 2))
    both = clip.masks[:, :2].any(axis=1)
    assert [rle is not None for rle in union] == both.any(axis=(1, 2)).tolist()
    assert union_of(truth, ()) == (None,) * 6
