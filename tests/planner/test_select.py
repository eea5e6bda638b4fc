"""From what was found to what was meant: geometry that gives the same answer every time."""

from typing import Any

import pytest

from sam3_agent.planner.observations import Evidence, Looked, Thing
from sam3_agent.planner.parse import parse_query
from sam3_agent.planner.query_ast import Plan
from sam3_agent.planner.select import Chooser, NoMatch

WIDTH, HEIGHT = 400, 300


def thing(name: str, phrase: str, x: float, y: float, side: float = 20, **more: Any) -> Thing:
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return Thing(name, phrase, 0.9, box, (x, y), int(side * side), **more)


def evidence(*things: Thing, absent: tuple[str, ...] = ()) -> Evidence:
    found = {
        phrase: tuple(t for t in things if t.phrase == phrase) for phrase in dict.fromkeys(t.phrase for t in things)
    }
    looked = {phrase: Looked(0.95, ()) for phrase in found} | {phrase: Looked(0.04, ()) for phrase in absent}
    return Evidence(found | {phrase: () for phrase in absent}, looked, {}, True)


def choose(query: str, known: Evidence) -> list[str]:
    plan = parse_query(query)
    assert isinstance(plan, Plan)
    return [t.id for t in Chooser(known, WIDTH, HEIGHT).choose(plan)]


CUPS = (
    thing("a", "cup", 50, 60),
    thing("b", "cup", 150, 200, 40),
    thing("c", "cup", 255, 100, 10),
    thing("d", "cup", 350, 250, 30),
)
LAMP = thing("l", "lamp", 200, 150, 20)


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("the cups", ["a", "b", "c", "d"]),
        ("the largest cup", ["b"]),
        ("the smallest cup", ["c"]),
        ("the two largest cups", ["b", "d"]),
        ("the leftmost cup", ["a"]),
        ("the second cup from the right", ["c"]),
        ("the last cup from the left", ["d"]),
        ("the topmost cup", ["a"]),
        ("the lowest cup", ["d"]),
        ("the cup in the top left corner", ["a"]),
        ("the cup in the middle", ["b"]),
        ("cups on the left", ["a", "b"]),
        ("the cups left of the lamp", ["a", "b"]),
        ("the cups above the lamp", ["a", "c"]),
        ("the largest cup right of the lamp", ["d"]),
        ("the cup closest to the lamp", ["b"]),
        ("the two cups closest to the lamp", ["b", "c"]),
        ("the cup farthest from the lamp", ["d"]),
        ("the cups larger than the lamp", ["b", "d"]),
        ("the cup smaller than the lamp", ["c"]),
        ("all cups except the largest", ["a", "c", "d"]),
        ("the cups that are not left of the lamp", ["c", "d"]),
        ("the cups if there are at least four", ["a", "b", "c", "d"]),
        ("the lamp and the largest cup", ["l", "b"]),
        ("the four cups", ["a", "b", "c", "d"]),
        ("the two cups on the left", ["a", "b"]),
        ("the two cups left of the lamp", ["a", "b"]),
        ("the last two cups from the left", ["c", "d"]),
        ("the largest of the four cups", ["b"]),
        ("lamp, cups", ["l", "a", "b", "c", "d"]),
        ("the lamp and four cups", ["l", "a", "b", "c", "d"]),
    ],
)
def test_a_plan_chooses(query: str, chosen: list[str]) -> None:
    assert choose(query, evidence(*CUPS, LAMP)) == chosen


def test_what_stands_between_two_others_is_found() -> None:
    assert choose("the lamp between the cup and the key", evidence(LAMP, CUPS[0], thing("k", "key", 350, 240))) == ["l"]


def test_inside_and_around_follow_the_measured_containment() -> None:
    ring = thing("r", "ring", 100, 100, 80, contains=frozenset({"s"}))
    stars = (thing("s", "star", 100, 100, inside=frozenset({"r"})), thing("t", "star", 300, 100))
    assert choose("the star inside the ring", evidence(ring, *stars)) == ["s"]
    assert choose("the star outside the ring", evidence(ring, *stars)) == ["t"]
    assert choose("the ring around the star", evidence(ring, *stars)) == ["r"]


def test_a_singular_next_to_takes_the_nearest_and_a_plural_all_that_are_near() -> None:
    cups = (thing("a", "cup", 170, 150), thing("b", "cup", 232, 150), thing("c", "cup", 390, 10))
    assert choose("the cup next to the lamp", evidence(*cups, LAMP)) == ["a"]
    assert choose("the cups next to the lamp", evidence(*cups, LAMP)) == ["a", "b"]


def test_what_rests_on_a_table_is_not_what_stands_under_it() -> None:
    table = Thing("t", "table", 0.9, (100, 150, 300, 250), (200, 200), 20000)
    cups = (thing("a", "cup", 150, 142), thing("b", "cup", 200, 275), thing("c", "cup", 380, 142))
    assert choose("the cup on the table", evidence(table, *cups)) == ["a"]


def test_one_object_found_under_two_phrases_is_excluded_by_either_mask() -> None:
    cups = (thing("a", "cup", 50, 60, scores={"cup": 0.9, "red cup": 0.8}), thing("b", "cup", 150, 60))
    red = thing("x", "red cup", 51, 60, scores={"cup": 0.9, "red cup": 0.8})
    assert choose("all cups that are not red", evidence(*cups, red)) == ["b"]


def test_one_object_found_under_two_names_is_answered_once_by_the_better_mask() -> None:
    cup = thing("a", "cup", 50, 60, scores={"mug": 0.95})
    mug = Thing("x", "mug", 0.95, cup.box, cup.center, 400, {"cup": 0.9})
    known = evidence(cup, mug, absent=("glass", "bottle"))
    assert choose("something you could drink from", known) == ["x"]


def test_of_several_references_in_the_singular_one_that_has_something_there_counts() -> None:
    assert choose("the lamp above the cup", evidence(*CUPS, LAMP)) == ["l"]
    assert choose("the lamp left of the cup", evidence(CUPS[0], CUPS[3], LAMP)) == ["l"]


def test_masks_that_differ_are_one_object_where_their_boxes_are_the_same() -> None:
    cups = (thing("a", "cup", 50, 60), thing("b", "cup", 150, 60))
    assert choose("all cups that are not red", evidence(*cups, thing("x", "red cup", 51, 60))) == ["b"]


def test_nothing_is_related_to_itself() -> None:
    cups = (thing("a", "cup", 50, 60, scores={"red cup": 0.9}), thing("b", "cup", 150, 60))
    red = thing("x", "red cup", 50, 60, scores={"cup": 0.9})
    assert choose("the cup closest to the red cup", evidence(*cups, red)) == ["b"]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("the zebra", r"no 'zebra' found \(presence 0.04\)"),
        ("the cup left of the zebra", r"no 'zebra' found \(presence 0.04\)"),
        ("the fifth cup from the left", "place 5 was asked for, and there are only 4 'cup'"),
        ("the cups if there are at least five", "the query wants at least 5 of 'cup', found 4"),
        ("the only cup", "the query wants exactly 1 of 'cup', found 4"),
        ("the lamp above the cups", "no 'lamp' is above 'cup'"),
        ("the zebra and the zebra", "none of these is there"),
        ("three cups", "the query speaks of exactly 3 of 'cup', and 4 fit"),
        ("five cups", "the query speaks of exactly 5 of 'cup', and 4 fit"),
        ("the lamp and three cups", "exactly 3 of 'cup', and 4 fit"),
        ("the largest of the three cups", "exactly 3 of 'cup', and 4 fit"),
        ("the five largest cups", "5 were asked for, and there are only 4 'cup'"),
        ("all cups except the two lamps", "exactly 2 of 'lamp', and 1 fit"),
    ],
)
def test_no_match_says_what_was_looked_for(query: str, reason: str) -> None:
    with pytest.raises(NoMatch, match=reason):
        choose(query, evidence(*CUPS, LAMP, absent=("zebra",)))


def test_of_two_things_asked_for_the_one_that_is_there_is_answered() -> None:
    assert choose("the lamp and the zebra", evidence(LAMP, absent=("zebra",))) == ["l"]


def test_any_two_of_several_are_the_surest_two() -> None:
    cups = [Thing(name, "cup", score, (0, 0, 9, 9), (5, 5), 81) for name, score in (("a", 0.6), ("b", 0.9), ("c", 0.8))]
    assert choose("two of the cups", evidence(*cups)) == ["b", "c"]


def test_no_match_names_strong_near_misses() -> None:
    known = Evidence({"zebra": ()}, {"zebra": Looked(0.2, ("m5 (object score 0.71)",))}, {}, False)
    with pytest.raises(NoMatch, match=r"presence 0.20, though these come near: m5 \(object score 0.71\)"):
        choose("the zebra", known)
