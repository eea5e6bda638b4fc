"""What the rules planner understands of English, and what it honestly refuses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3_agent.planner.aggregate_queries import Census
from sam3_agent.planner.parse import parse_query
from sam3_agent.planner.phrase import singular
from sam3_agent.planner.query_ast import BeyondRules, Plan, Selection


def show(selection: Selection) -> str:
    """A selection on one line: phrases, what is taken away, relations, sides, pick."""
    words = "/".join(selection.phrases)
    words += "".join(f" minus [{show(other)}]" for other in selection.excluded)
    for relation in selection.relations:
        count = f" x{relation.count}" if relation.count > 1 else ""
        words += f" {relation.kind}{count} [{'; '.join(show(reference) for reference in relation.references)}]"
    words += "".join(f" at the {side}" for side in selection.sides)
    if selection.pick is not None:
        words += f" | {selection.pick.key} {selection.pick.first}"
        words += f" x{selection.pick.count}" if selection.pick.count > 1 else ""
    return words


def read(query: str) -> str:
    plan = parse_query(query)
    if isinstance(plan, Census):
        return f"census by {plan.by}: {plan.often}"
    condition = f" if {plan.condition} [{show(plan.condition.selection)}]" if plan.condition else ""
    return " + ".join(show(part) for part in plan.parts) + condition


PHOTOGRAPHS = {
    "the person furthest to the right": "person | right 1",
    "the dog next to the red car": "dog next to [red car]",
    "all apples that are not green": "apple minus [green apple]",
    "the second bottle from the left": "bottle | left 2",
    "man in the blue jacket": "man in blue jacket",
    "woman on the far left wearing a hat": "woman wearing hat | left 1",
    "left man": "man | left 1",
    "the child between the two adults": "child between [adult]",
    "the boat farthest from the shore": "boat farthest from [shore]",
    "the tallest building in the picture": "building | tallest 1",
    "the laptop on the wooden table": "laptop on [wooden table]",
    "the mug to the right of the keyboard": "mug right of [keyboard]",
    "all the chairs except the broken one": "chair minus [broken chair]",
    "two biggest elephants": "elephant | largest 1 x2",
    "the smallest of the three dogs": "dog | smallest 1",
    "which of the cars is the closest to the left edge of the image?": "car | left 1",
    "What is inside the basket?": "object inside [basket]",
    "the cup that's closest to the laptop": "cup nearest to [laptop]",
    "the two people closest to the door": "person nearest to x2 [door]",
    "people who are not wearing hats": "person minus [person wearing hats]",
    "vehicles other than cars": "vehicle minus [car]",
    "everything on the table except the plates": "object minus [plate] on [table]",
    "the white horse on the right": "white horse | right 1",
    "the horse on the right of the white one": "horse right of [white horse]",
    "people on the left side of the photo": "person at the left",
    "the window in the upper left corner": "window | top left 1",
    "a black and white cow": "black and white cow",
    "cats and dogs": "cat/dog",
    "the apple or the orange": "apple/orange",
    "red and blue circles": "red circle/blue circle",
    "Can you segment the second-largest sheep for me, please?": "sheep | largest 2",
    "I'd like you to find the lamp above the bed": "lamp above [bed]",
    "Please point out every traffic light that isn't red": "traffic light minus [red traffic light]",
    "Where's the remote control?": "remote control",
    "what would you use to cut bread?": "knife/scissors/saw",
    "the animal that barks": "dog",
    "the largest thing you can ride": "car/boat/bus/bicycle/train/airplane/truck/ship | largest 1",
    "umbrellas, but only if there are more than two of them": "umbrella if at least 3 [umbrella]",
    "if there's a dog, show me the dog; otherwise nothing": "dog if at least 1 [dog]",
    "Unless there are more than five people, mark everyone.": "person if at most 5 [person]",
    "If there are more than three birds, find the largest one.": "bird | largest 1 if at least 4 [bird]",
    "the only person without a hat": "person minus [person with hat] if exactly 1 [person minus [person with hat]]",
    "the largest animal that is not an elephant": "animal minus [elephant] | largest 1",
    "the object that is neither a cup nor a plate": "object minus [cup] minus [plate]",
    "the bigger dog": "dog | largest 1",
    "cups without handles next to the lamp": "cup minus [cup with handles] next to [lamp]",
    "the cup that is not red next to the lamp": "cup minus [red cup] next to [lamp]",
    "the larger of the two boats": "boat | largest 1",
    "the car left of the largest house": "car left of [house | largest 1]",
    "the fish left of the house and above the tree": "fish left of [house] above [tree]",
    "the red circle and the fish": "red circle + fish",
    "the largest and the smallest cup": "cup | largest 1 + cup | smallest 1",
    "all stars that are not left of the house": "star minus [star left of [house]]",
    "all cups except the largest one": "cup minus [cup | largest 1]",
    "Look at the cups from left to right and mark the third one.": "cup | left 3",
    "Leaving out the cats, which animals are there?": "animal minus [cat]",
    "Find the star that takes up the most space in this picture.": "star | largest 1",
    "the last car on the right": "car | right 1",
    "the last car from the left": "car | left -1",
    "cups without stripes": "cup minus [striped cup]",
    "something red": "red object",
    "bottles of water": "bottle of water",
    "yellow school buses": "yellow school bus",
    "It is raining: find what would keep me dry.": "umbrella/raincoat",
    "the odd one out": "census by look: 1",
    "the most common kind of object": "census by kind: most",
    "objects whose color occurs exactly three times": "census by colour: 3",
}


@pytest.mark.parametrize(("query", "understood"), PHOTOGRAPHS.items())
def test_a_query_is_understood(query: str, understood: str) -> None:
    assert read(query) == understood


@pytest.mark.parametrize(
    "query",
    [
        "the car behind the tree",
        "the zebra closest to the camera",
        "the closest person",
        "the person who looks sad",
        "the food that would spoil in a hot car",
        "the man who won the race",
        "the brightest lamp",
        "the pizza slice with the most cheese",
        "HOW MANY dogs are there?",
        "the tree left of the house and the car right of it",
        "the smallest largest star",
        "???",
        "word " * 100,
    ],
)
def test_what_is_beyond_the_rules_is_refused_with_the_part_named(query: str) -> None:
    with pytest.raises(BeyondRules, match=r"the rules planner does not handle .*; use an LLM"):
        parse_query(query)


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("cups", "cup"), ("children", "child"), ("people", "person"), ("mice", "mouse"), ("knives", "knife"),
        ("houses", "house"), ("buses", "bus"), ("boxes", "box"), ("glasses", "glass"), ("crosses", "cross"),
        ("benches", "bench"), ("cherries", "cherry"), ("ties", "tie"), ("tomatoes", "tomato"), ("shoes", "shoe"),
        ("leaves", "leaf"), ("fish", "fish"), ("sheep", "sheep"), ("scissors", "scissors"), ("bus", "bus"),
        ("glass", "glass"), ("octopus", "octopus"), ("tennis", "tennis"), ("gas", "gas"), ("women", "woman"),
    ],
)  # fmt: skip
def test_plurals_become_singular_and_singulars_stay(plural: str, one: str) -> None:
    assert singular(plural) == one


VOCABULARY = """
    the a all every which what is are not of and or to from left right top largest second third two cup cups red striped
    closest nearest than other others if there at least more that with without except but , . ? between inside in on one
    ones it find show count most common kind color twice only takes up you can see drink has no 3 last edge side < >
"""
WORDS = st.sampled_from(VOCABULARY.split())


@settings(max_examples=200, deadline=2000)
@given(st.lists(WORDS, max_size=40).map(" ".join) | st.text(max_size=80))
def test_any_text_is_understood_or_refused_and_nothing_else(query: str) -> None:
    try:
        plan = parse_query(query)
    except BeyondRules:
        return
    if isinstance(plan, Plan):
        assert plan.phrases
        assert all(phrase.strip() and "<" not in phrase for phrase in plan.phrases)
