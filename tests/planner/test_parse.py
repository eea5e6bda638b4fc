"""What the rules planner understands of English, and what it honestly refuses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3_agent.planner.aggregate_queries import Census
from sam3_agent.planner.nouns import singular
from sam3_agent.planner.parse import parse_query
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
    return words + (f" ({selection.amount})" if selection.amount else "")


def read(query: str) -> str:
    plan = parse_query(query)
    if isinstance(plan, Census):
        return f"census by {plan.by}: {plan.often}"
    condition = f" if {plan.condition.amount} [{show(plan.condition.selection)}]" if plan.condition else ""
    return " + ".join(show(part) for part in plan.parts) + condition


PHOTOGRAPHS = {
    "the person furthest to the right": "person | right 1",
    "the dog next to the red car": "dog next to [red car]",
    "all apples that are not green": "apple minus [green apple]",
    "the second bottle from the left": "bottle | left 2",
    "man in the blue jacket": "man in blue jacket",
    "woman on the far left wearing a hat": "woman wearing hat | left 1",
    "left man": "man | left 1",
    "the child between the two adults": "child between [adult (exactly 2)]",
    "the boat farthest from the shore": "boat farthest from [shore]",
    "the tallest building in the picture": "building | tallest 1",
    "the laptop on the wooden table": "laptop on [wooden table]",
    "the mug to the right of the keyboard": "mug right of [keyboard]",
    "all the chairs except the broken one": "chair minus [broken chair]",
    "two biggest elephants": "elephant | largest 1 x2",
    "the smallest of the three dogs": "dog | smallest 1 (exactly 3)",
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
    "the larger of the two boats": "boat | largest 1 (exactly 2)",
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
    "house, car and fish": "house/car/fish",
    "stars, keys and cups on the left": "star/key/cup at the left",
    "the star, the key and the cup": "star + key + cup",
    "a dog and two cats": "dog + cat (exactly 2)",
    "dogs & cats": "dog/cat",
    "the star left of the house, the key and the cup": "star left of [house; key; cup]",
    "the red or blue bolt": "red bolt/blue bolt",
    "the red or the blue bolt": "red bolt/blue bolt",
    "bolts that are red, green or blue": "red bolt/green bolt/blue bolt",
    "the red and striped bolts": "red striped bolt",
    "the big, red star": "big red star",
    "open and closed umbrellas": "open umbrella/closed umbrella",
    "the cup with red and blue stripes": "cup with red and blue stripes",
    "the two red and the three blue stars": "red star (exactly 2) + blue star (exactly 3)",
    "the second and the third star from the right": "star | right 2 + star | right 3",
    "the non-red house": "house minus [red house]",
    "the not red house": "house minus [red house]",
    "non-metallic cups": "cup minus [metallic cup]",
    "un-striped cups": "cup minus [striped cup]",
    "non-striped, non-red houses": "house minus [striped house] minus [red house]",
    "neither red nor blue stars": "star minus [red star] minus [blue star]",
    "non-animals": "object minus [animal]",
    "everything but houses": "object minus [house]",
    "nothing but stars": "star",
    "all but the largest star": "star minus [star | largest 1]",
    "the bolts (not the left one)": "bolt minus [bolt | left 1]",
    "three bolts": "bolt (exactly 3)",
    "exactly 2 red stars": "red star (exactly 2)",
    "both stars": "star (exactly 2)",
    "a couple of stars": "star (exactly 2)",
    "twenty-one stars": "star (exactly 21)",
    "a dozen eggs": "egg (exactly 12)",
    "several stars": "star (at least 2)",
    "more than two stars": "star (at least 3)",
    "two or three stars": "star (2 to 3)",
    "any two stars": "star | surest 1 x2",
    "one of the stars": "star | surest 1",
    "two of the five stars": "star | surest 1 x2 (exactly 5)",
    "any stars": "star",
    "a pair of scissors": "scissors",
    "the only three stars": "star (exactly 3)",
    "the only stars": "star",
    "the largest three cups": "cup | largest 1 x3",
    "the last two stars from the left": "star | left -2 x2",
    "the two stars on the left": "star | left 1 x2",
    "the second-to-last star from the left": "star | left -2",
    "the man's hat": "man's hat",
    "not more than three stars": "star (at most 3)",
    "red, blue and green": "red object/blue object/green object",
    "the two leftmost and the rightmost star": "star | left 1 x2 + star | right 1",
    "the cup left of the non-red house": "cup left of [house minus [red house]]",
    "the second non-red house from the left": "house minus [red house] | left 2",
    "multi-coloured houses": "multicolored house",
    "the three-legged stool": "three-legged stool",
    "the house red": "red house",
    "the café sign": "café sign",
    "the die on the table": "die on [table]",
    "white vans": "white van",
    "the odd one out": "census by look: 1",
    "the most common kind of object": "census by kind: most",
    "objects whose color occurs exactly three times": "census by color: 3",
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
        "the",
        "which one",
        "42",
        "hello",
        "neither",
        "either one",
        "all but two stars",
        "half of the stars",
        "about three stars",
        "no stars",
        "none of the stars",
        "every second star",
        "the other star",
        "the next star",
        "the same color as the star",
        "the color of the house",
        "the star on the left or the right",
        "the largest star and heart",
        "the largest cat's tail",
        "the several largest stars",
        "the second and third stars from the left",
        "a colorless or white drop",
        "star left house",
        "the five pointed star",
        "stars 1-3",
        "one hundred stars",
        "mostly red stars",
        "is the star red?",
        "which is larger, the star or the heart?",
        "word " * 100,
    ],
)
def test_what_is_beyond_the_rules_is_refused_with_the_part_named(query: str) -> None:
    with pytest.raises(BeyondRules, match=r"the rules planner does not handle .*; use an LLM"):
        parse_query(query)


@pytest.mark.parametrize(
    "query",
    [
        "das rote Haus", "rotes Haus", "die Sterne", "Wo ist das Haus?", "la maison rouge", "les étoiles",
        "l'étoile rouge", "la casa roja", "¿dónde está la casa?", "la stella rossa", "o carro vermelho", "de rode ster",
        "röda hus", "kırmızı ev",
        "房子在哪里", "где дом", "赤い家", "빨간 집", "البيت الأحمر", "the 房子",
    ],
)  # fmt: skip
def test_another_language_is_refused_by_name_and_no_foreign_word_is_looked_for(query: str) -> None:
    with pytest.raises(BeyondRules, match="it knows English only"):
        parse_query(query)


@pytest.mark.parametrize(
    ("uk", "us"),
    [
        ("the grey house", "the gray house"),
        ("the house in the centre", "the house in the center"),
        ("the colourless drops", "the colorless drops"),
        ("the chequered flag", "the checkered flag"),
        ("objects whose colour occurs exactly twice", "objects whose color occurs exactly twice"),
    ],
)
def test_both_spellings_of_a_word_are_one_query(uk: str, us: str) -> None:
    assert read(uk) == read(us)


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
