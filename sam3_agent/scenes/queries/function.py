"""Objects by what they are for or what they do, never by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sam3_agent.scenes.queries.query import Query, Wording
from sam3_agent.scenes.rng import shuffled
from sam3_agent.scenes.scene import Scene

KIND = "function"


@dataclass(frozen=True, slots=True)
class Function:
    """Use that all `nouns`, and no others, have; not asked where one of `doubtful` is in the scene."""

    nouns: frozenset[str]
    doubtful: frozenset[str]
    wording: Wording


def _function(nouns: str, short: tuple[str, ...], long: tuple[str, ...], doubtful: str = "") -> Function:
    """A function of the nouns in one string each, separated by blanks."""
    return Function(frozenset(nouns.split()), frozenset(doubtful.split()), Wording(short, long))


FUNCTIONS: tuple[Function, ...] = (
    _function(
        "cup",
        ("something you could drink from", "what you would pour coffee into"),
        ("Find what I could drink my tea from.", "I am thirsty: what here could hold my drink?"),
    ),
    _function(
        "umbrella",
        ("what keeps you dry", "something that protects you from the rain"),
        ("It is raining: find what would keep me dry.", "What would you hold over your head in a shower?"),
        doubtful="house",
    ),
    _function(
        "key",
        ("something that opens a door", "something to unlock a door with"),
        ("I am locked out: find what would let me in.", "What would you need to open a lock?"),
    ),
    _function(
        "lamp",
        ("something that gives light", "what you would switch on in the dark"),
        ("It is dark in the room: find what I should switch on.", "What would you read by in the evening?"),
        doubtful="bolt star crescent",
    ),
    _function(
        "car boat",
        ("something you can travel in", "what could carry you somewhere"),
        ("Find everything that could take passengers on a journey.", "What here could you travel in?"),
    ),
    _function("car", ("something you drive on a road", "what has wheels"), ("Find what you would drive to work in.",)),
    _function(
        "boat", ("something you sail in", "what carries people over water"), ("Find what would take me to sea.",)
    ),
    _function(
        "house",
        ("a place to live in", "where people live"),
        ("Find where a family could live.", "What here has room for people to sleep and cook in?"),
    ),
    _function(
        "bird",
        ("something that can fly", "an animal with wings"),
        ("Find what could fly away.", "Which living thing here lays eggs in a nest?"),
    ),
    _function(
        "fish",
        ("something that swims", "an animal that lives under water"),
        ("Find what breathes through gills.", "Which animal here lives under water?"),
    ),
    _function(
        "cat",
        ("an animal that purrs", "something that chases mice"),
        ("Find the pet that says meow.", "Which animal here purrs when you stroke it?"),
    ),
    _function(
        "tree flower",
        ("something that grows in the soil", "what needs to be watered"),
        ("Find everything that has roots in the ground.", "What here would a gardener take care of?"),
    ),
    _function(
        "flower", ("something to put into a vase", "what a bee would visit"), ("Find what I could give as a bouquet.",)
    ),
    _function(
        "heart",
        ("a symbol of love", "what stands for love"),
        ("Find what people draw when they are in love.", "Which sign here stands for love?"),
        doubtful="flower",
    ),
    _function(
        "arrow",
        ("a sign that shows the way", "what points in a direction"),
        ("Find what would tell me which way to go.", "Which sign here points somewhere?"),
        doubtful="triangle",
    ),
    _function(
        "star crescent",
        ("something you see in the sky at night", "what shines in the night sky"),
        ("Find everything that you would see in the sky on a clear night.", "What here belongs in the night sky?"),
        doubtful="bolt bird circle ring",
    ),
)


def functions(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """Queries about what is there, in random order."""
    nouns = {obj.noun for obj in scene.objects}
    for function in shuffled(FUNCTIONS, rng):
        if nouns & function.nouns and not nouns & function.doubtful:
            yield ask_function(KIND, function, scene, rng)


def ask_function(kind: str, function: Function, scene: Scene, rng: np.random.Generator) -> Query:
    """The query for all objects with that function."""
    return function.wording.ask(kind, [obj for obj in scene.objects if obj.noun in function.nouns], rng)
