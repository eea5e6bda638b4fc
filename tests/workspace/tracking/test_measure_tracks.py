"""Measurements of scripted tracks whose answers are known."""

from dataclasses import replace

import pytest

from sam3_agent.errors import InputError
from sam3_agent.tracks import Track
from sam3_agent.workspace.tracking.measure import (
    SORTS,
    Clock,
    Motion,
    is_before,
    is_left_of,
    measure_tracks,
    meetings,
    nearest_at,
)
from sam3_agent.workspace.tracking.timeline import timeline, timelines
from tests.workspace.tracking.fixtures_tracks import SIZE, frame_of, moving, track_of

CLOCK = Clock(SIZE[1], SIZE[0], frames=40, fps=10.0)
CROSSING = track_of("t1", moving((0, 10, 10, 20), (3, 0), range(31)), "cat")
"""There from the start at the left, leaves to the right at 3.0 s."""
ENTERING = track_of("t2", moving((100, 30, 110, 40), (-2, 0), range(3, 40)), "dog")
"""Enters from the right at 0.3 s, there to the end."""
STANDING = track_of("t3", {i: (45, 48, 55, 58) for i in [*range(5, 10), *range(20, 30)]}, "tree")
"""Appears inside at 0.5 s with a gap, disappears at 2.9 s."""
RISING = track_of("t4", moving((20, 50, 24, 54), (0, -1), range(40), grow=0.1), "balloon")
TRACKS = (ENTERING, CROSSING, STANDING, RISING)


def motion(track: Track) -> Motion:
    return Motion(track, CLOCK)


def order(sort_by: str, *, descending: bool = False) -> list[str]:
    return [m.track.id for m in measure_tracks(TRACKS, CLOCK, sort_by, descending=descending)]  # type: ignore[arg-type]


def test_times_gaps_and_sides() -> None:
    standing, crossing, entering = motion(STANDING), motion(CROSSING), motion(ENTERING)
    assert (standing.spans, standing.gaps) == (((5, 9), (20, 29)), ((10, 19),))
    assert standing.seconds == (0.5, 2.9)
    assert standing.duration == pytest.approx(1.5)
    assert (standing.enters_from, standing.leaves_to) == ("inside", "inside")
    assert (crossing.enters_from, crossing.leaves_to) == ("", "right")
    assert (entering.enters_from, entering.leaves_to) == ("right", "")


def test_movement() -> None:
    crossing, rising, standing = motion(CROSSING), motion(RISING), motion(STANDING)
    assert (crossing.direction, rising.direction, standing.direction) == ("right", "up", "still")
    assert crossing.path == pytest.approx(90, abs=3)  # the box is cut off by the border at last
    assert crossing.speed == pytest.approx(30, abs=1)
    assert crossing.displacement == pytest.approx(82.5, abs=3)  # between medians of three frames
    assert standing.path == 0
    assert rising.area_change > 4
    assert motion(ENTERING).direction == "left"


def test_diagonals_have_names_of_their_own() -> None:
    for step, name in (((2, 1), "down-right"), ((2, -1), "up-right"), ((-2, 1), "down-left"), ((-1, -1), "up-left")):
        start = (40 if step[0] < 0 else 5, 40 if step[1] < 0 else 5)
        track = track_of("t1", moving((*start, start[0] + 6, start[1] + 6), step, range(15)))
        assert motion(track).direction == name


def test_orders_answer_who_comes_and_leaves_first_and_who_is_fastest() -> None:
    assert order("first_seen") == ["t1", "t4", "t2", "t3"]
    assert order("last_seen") == ["t3", "t1", "t2", "t4"]
    assert order("speed", descending=True)[0] == "t1"
    assert order("displacement")[0] == "t3"
    assert order("area_change", descending=True)[0] == "t4"
    assert order("duration")[0] == "t3"
    assert all(sorted(order(name)) == ["t1", "t2", "t3", "t4"] for name in SORTS)
    with pytest.raises(InputError, match="sort_by must be one of first_seen"):
        order("beauty")


def test_frames_that_are_not_shown_do_not_count() -> None:
    hidden = replace(STANDING, frames=(*STANDING.frames[:3], frame_of(30, (45, 48, 55, 58), "suppressed")))
    assert motion(hidden).last == 7
    never = replace(STANDING, frames=(frame_of(30, (45, 48, 55, 58), "suppressed"),))
    assert measure_tracks([never], CLOCK) == ()
    assert timeline(motion(never)) == "t3 tree  never visible"


def test_meetings_come_in_order_with_their_frames() -> None:
    one = track_of("t1", moving((0, 10, 10, 20), (2, 0), range(40)))
    other = track_of("t2", moving((80, 10, 90, 20), (-2, 0), range(40)))
    apart = track_of("t3", {i: (45, 50, 50, 55) for i in range(40)})
    (met,) = meetings([motion(t) for t in (one, other, apart)])
    # The gap is 70 - 4 t until they touch; near means 2.5 pixels: 70 - 4 * 17 = 2.
    assert (met.one, met.other, met.first, met.gap) == ("t1", "t2", 17, 0)
    assert met.last == 23
    assert met.overlap == 1


def test_relations_in_time_and_in_a_frame() -> None:
    early, late = track_of("t1", {0: (0, 0, 5, 5)}), track_of("t2", {1: (0, 0, 5, 5)})
    assert is_before(motion(early), motion(late))
    assert not is_before(motion(late), motion(early))
    assert is_left_of(motion(CROSSING), motion(STANDING), 6) is True
    assert is_left_of(motion(CROSSING), motion(STANDING), 15) is None
    assert nearest_at(motion(STANDING), [motion(t) for t in TRACKS], 29) == ("t2", pytest.approx(18.25, abs=0.01))
    assert nearest_at(motion(STANDING), [motion(STANDING)], 29) is None
    assert nearest_at(motion(STANDING), [motion(t) for t in TRACKS], 12) is None


def test_times_of_the_container_win_over_the_rate() -> None:
    clock = replace(CLOCK, times=tuple(i * 0.5 for i in range(40)))
    assert Motion(STANDING, clock).seconds == (2.5, 14.5)
    assert replace(CLOCK, fps=0.0).time(7) == 7.0


def test_timelines_read_as_sentences() -> None:
    assert timelines(measure_tracks(TRACKS, CLOCK)).splitlines() == [
        "t1 cat  0-30 (0.0-3.0 s)  there from the start, leaves right at 3.0 s, moves right 84 px at 30 px/s",
        "t4 balloon  0-39 (0.0-3.9 s)  there from the start, there to the end, moves up 37 px at 10 px/s, grows x9.0",
        "t2 dog  3-39 (0.3-3.9 s)  enters right at 0.3 s, there to the end, moves left 67 px at 19 px/s",
        "t3 tree  5-9, 20-29 (0.5-2.9 s)  appears at 0.5 s, disappears at 2.9 s, stands still",
    ]


def test_a_track_in_one_frame_is_measured() -> None:
    single = motion(track_of("t1", {3: (5, 5, 9, 9)}))
    assert (single.speed, single.direction, single.area_change, single.duration) == (
        0.0,
        "still",
        1.0,
        pytest.approx(0.1),
    )
