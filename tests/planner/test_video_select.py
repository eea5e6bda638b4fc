"""Tracks made of the truth about procedural videos: the chooser finds what each query means."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from sam3_agent import masks
from sam3_agent.planner.select import NoMatch
from sam3_agent.planner.video.parse import parse_video_query
from sam3_agent.planner.video.select import VideoChooser
from sam3_agent.scenes.video import QUERY_CLIPS, VideoTruth, draw_clip, temporal_queries_of, truth_of
from sam3_agent.scenes.vocabulary import SUPERCATEGORY_PHRASE
from sam3_agent.tools.track_colors import TrackColors
from sam3_agent.tracks import Track, TrackFrame
from sam3_agent.workspace.tracking import Clock, Motion

WIDTH, HEIGHT, FRAMES = 160, 90, 20
CLOCK = Clock(WIDTH, HEIGHT, FRAMES, 10.0)


def moving(name: str, places: Sequence[tuple[int, int] | None], side: int | Sequence[int] = 10) -> Motion:
    """A track of squares by their upper left corners, cut off at the border; None where it is not seen."""
    frames: list[TrackFrame] = []
    for index, place in enumerate(places):
        size = side if isinstance(side, int) else side[index]
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
        if place is not None:
            x, y = place
            mask[max(y, 0) : max(y + size, 0), max(x, 0) : max(x + size, 0)] = True
        if mask.any():
            rle = masks.encode(mask)
            frames.append(TrackFrame(index, rle, masks.box(rle), 0.9))
    return Motion(Track(name, "car", frames[0].index, frames[-1].index, "confirmed", 0.9, tuple(frames)), CLOCK)


def chosen(query: str, *motions: Motion, colors: dict[str, TrackColors] | None = None) -> list[str]:
    return VideoChooser(motions, colors or {}).choose(parse_video_query(query))


STANDING = moving("t1", [(70, 40)] * FRAMES)
LEAVING = moving("t2", [(40 - 5 * t, 20) for t in range(FRAMES)])
ENTERING = moving("t3", [(WIDTH - 6 * t + 12, 60) for t in range(FRAMES)])
LEAVING_LATER = moving("t4", [(20 - 2 * t, 70) for t in range(FRAMES)])
GROWING = moving("t5", [(20, 5)] * FRAMES, [10 + t for t in range(FRAMES)])
AWAY = moving("t6", [None if 6 <= t < 12 else (100, 10) for t in range(FRAMES)])
ALL = (STANDING, LEAVING, ENTERING, LEAVING_LATER, GROWING, AWAY)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("the car that leaves first", ["t2"]),
        ("all cars that leave the picture", ["t2", "t4"]),
        ("the last car to leave", ["t4"]),
        ("the car that leaves to the left last", ["t4"]),
        ("the car that enters", ["t3"]),
        ("all cars that move to the left", ["t2", "t3", "t4"]),
        ("the fastest car", ["t3"]),
        ("the two fastest cars", ["t2", "t3"]),
        ("the car that grows", ["t5"]),
        ("the car that is hidden for a while", ["t6"]),
        ("the car that is rightmost at the beginning of the video", ["t6"]),
        ("the lowest car at the end", ["t3"]),
        ("all cars", ["t1", "t2", "t3", "t4", "t5", "t6"]),
        ("all cars that do not move and never grow", ["t1", "t6"]),
    ],
)
def test_what_happens_to_made_tracks_is_seen(query: str, ids: list[str]) -> None:
    assert chosen(query, *ALL) == ids


def test_two_meet_that_touch_after_having_been_apart() -> None:
    one, other = moving("t7", [(4 * t, 10) for t in range(FRAMES)]), moving("t8", [(60, 12)] * FRAMES)
    assert chosen("the two cars that meet", STANDING, one, other) == ["t7", "t8"]
    beside = moving("t9", [(80, 42)] * FRAMES)  # touches the standing one from the beginning on
    with pytest.raises(NoMatch, match="none of 2 tracks meets"):
        chosen("the two cars that meet", STANDING, beside)


def test_colors_at_both_ends_tell_who_turns() -> None:
    colors = {
        "t1": TrackColors({"red": 0.9}, {"red": 0.6, "brown": 0.3}),
        "t2": TrackColors({"blue": 0.5, "white": 0.5}, {"red": 0.5, "white": 0.5}),
    }
    assert chosen("the car that turns red", STANDING, LEAVING, colors=colors) == ["t2"]
    assert chosen("the car that changes its color", STANDING, LEAVING, colors=colors) == ["t2"]
    with pytest.raises(NoMatch, match="none of 2 tracks turns green"):
        chosen("the car that turns green", STANDING, LEAVING, colors=colors)


def test_nothing_that_leaves_is_no_match_and_not_the_nearest_thing() -> None:
    with pytest.raises(NoMatch, match="none of 2 tracks leaves"):
        chosen("the car that leaves first", STANDING, GROWING)
    with pytest.raises(NoMatch, match="no car was found"):
        chosen("the car that leaves first")
    with pytest.raises(NoMatch, match="only 2 can be ranked by leaving"):
        chosen("the third car to leave", *ALL)


def test_a_flicker_of_one_frame_is_no_object() -> None:
    flicker = moving("t9", [(150, 80) if t == 3 else None for t in range(FRAMES)])
    assert chosen("all cars", STANDING, flicker) == ["t1"]
    assert chosen("all cars", flicker) == ["t9"]


def test_an_object_that_was_lost_and_found_under_another_id_is_one() -> None:
    before = moving("t7", [(5 * t, 20) if t < 8 else None for t in range(FRAMES)])
    after = moving("t8", [(5 * t, 20) if t >= 11 else None for t in range(FRAMES)])
    assert chosen("the car that moves to the right", STANDING, before, after) == ["t7", "t8"]
    assert chosen("the car that is seen the longest", before, after, ENTERING) == ["t7", "t8"]
    colors = {"t7": TrackColors({"red": 1.0}, {"red": 1.0}), "t8": TrackColors({"blue": 1.0}, {"blue": 1.0})}
    assert chosen("the car that turns blue", before, after, colors=colors) == ["t7", "t8"]


def test_who_comes_in_where_another_has_left_is_not_taken_for_it() -> None:
    gone = moving("t7", [(140 + 5 * t, 20) if t < 5 else None for t in range(FRAMES)])
    come = moving("t8", [(WIDTH + 8 - 3 * (t - 6), 20) if t >= 8 else None for t in range(FRAMES)])
    assert chosen("all cars that leave", gone, come) == ["t7"]
    assert chosen("all cars that enter", gone, come) == ["t8"]


def true_tracks(truth: VideoTruth, phrase: str) -> list[Motion]:
    """Tracks of all objects that a phrase means, as a perfect tracker gives them."""
    clock = Clock(truth.width, truth.height, truth.length, 8.0)
    found: list[Motion] = []
    for number, thing in enumerate(truth.objects):
        nouns = (thing.noun, SUPERCATEGORY_PHRASE[thing.supercategory], "object")
        named = {f"{word} {noun}".strip() for noun in nouns for word in ("", thing.pattern, thing.color)}
        seen = [(t, rle) for t, rle in enumerate(truth.masklets[number]) if rle is not None and masks.area(rle) >= 8]
        if phrase in named and seen:
            frames = tuple(TrackFrame(t, rle, masks.box(rle), 0.95) for t, rle in seen)
            track = Track(f"t{thing.id}", phrase, seen[0][0], seen[-1][0], "confirmed", 0.95, frames)
            found.append(Motion(track, clock))
    return found


def true_colors(truth: VideoTruth) -> dict[str, TrackColors]:
    return {f"t{thing.id}": TrackColors({thing.color: 1.0}, {thing.colors[-1]: 1.0}) for thing in truth.objects}


def test_perfect_tracks_of_procedural_videos_give_the_true_answer_to_nearly_every_query() -> None:
    wrong: list[str] = []
    asked = 0
    for seed in range(12):
        truth = truth_of(draw_clip(730_000 + seed, 24, (240, 180), QUERY_CLIPS))
        for query in temporal_queries_of(truth, np.random.default_rng(seed), 2):
            plan = parse_video_query(query.text)
            asked += 1
            try:
                found = VideoChooser(true_tracks(truth, plan.phrase), true_colors(truth)).choose(plan)
            except NoMatch:
                found = []
            if set(found) != {f"t{number}" for number in query.target_ids}:
                wrong.append(f"{seed}: {query.text}")
    assert asked > 100
    assert len(wrong) <= 0.02 * asked, wrong


def test_an_order_counts_from_either_end() -> None:
    plan = parse_video_query("the second car to leave")
    assert VideoChooser(ALL).choose(plan) == ["t4"]
    assert plan.rank is not None
    last = replace(plan, rank=replace(plan.rank, place=1, greatest=True))
    assert VideoChooser(ALL).choose(last) == ["t4"]
