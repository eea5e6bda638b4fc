"""The words that a scene can be described with, and words that never hold in one."""

from __future__ import annotations

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (212, 34, 38),
    "orange": (245, 128, 18),
    "yellow": (248, 216, 36),
    "green": (38, 158, 68),
    "blue": (36, 88, 214),
    "purple": (124, 44, 168),
    "pink": (248, 138, 188),
    "white": (246, 246, 246),
    "black": (24, 24, 26),
}
"""Color name -> base RGB, 0-255."""

PATTERNS: tuple[str, ...] = ("plain", "striped", "dotted", "checkered")

SHAPES: tuple[str, ...] = (
    "circle",
    "square",
    "triangle",
    "star",
    "ring",
    "cross",
    "heart",
    "diamond",
    "crescent",
    "arrow",
    "bolt",
    "drop",
)
THINGS: tuple[str, ...] = (
    "house",
    "tree",
    "car",
    "boat",
    "fish",
    "bird",
    "cat",
    "cup",
    "umbrella",
    "key",
    "flower",
    "lamp",
)
NOUNS: tuple[str, ...] = SHAPES + THINGS

SUPERCATEGORY: dict[str, str] = dict.fromkeys(SHAPES, "shape") | {
    "house": "building",
    "tree": "plant",
    "car": "vehicle",
    "boat": "vehicle",
    "fish": "animal",
    "bird": "animal",
    "cat": "animal",
    "cup": "object",
    "umbrella": "object",
    "key": "object",
    "flower": "plant",
    "lamp": "object",
}
"""Noun -> supercategory."""

SUPERCATEGORIES: tuple[str, ...] = ("animal", "vehicle", "plant", "building", "shape", "object")

SUPERCATEGORY_PHRASE: dict[str, str] = {name: name for name in SUPERCATEGORIES} | {"object": "household item"}
"""Supercategory -> the phrase that means it ("object" alone means everything in the scene)."""

PLURAL: dict[str, str] = {noun: noun + "s" for noun in NOUNS + SUPERCATEGORIES} | {
    "cross": "crosses",
    "fish": "fish",
    "household item": "household items",
    "thing": "things",
    "item": "items",
}
"""Noun, supercategory or its phrase -> plural."""

IRREGULAR_PLURAL: dict[str, str] = PLURAL | {
    "scissors": "scissors",
    "trousers": "trousers",
    "sheep": "sheep",
    "dice": "dice",
    "knife": "knives",
    "shelf": "shelves",
    "snowman": "snowmen",
}


def plural_of(noun: str) -> str:
    """The plural of any noun, ours or not."""
    if noun in IRREGULAR_PLURAL:
        return IRREGULAR_PLURAL[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def with_article(phrase: str) -> str:
    """`phrase` after "a" or "an"."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


_UNKNOWN_WORDS = """
violin guitar piano trumpet drum flute harp elephant giraffe lion tiger zebra monkey horse cow sheep goat pig
rabbit squirrel hedgehog frog turtle snake lizard crocodile spider butterfly bee ant snail walrus moose octopus crab
hammer saw screwdriver wrench shovel rake ladder bucket broom nail scissors knife fork spoon plate bowl
pan kettle oven toaster refrigerator bottle jar chair table sofa bed pillow blanket curtain carpet mirror wardrobe
shelf clock watch telephone laptop keyboard printer camera television radio pen pencil book newspaper envelope stamp
backpack suitcase wallet purse belt hat glove scarf shirt trousers sock shoe boot sandal dress jacket coat
necktie apple banana grape lemon pear pineapple strawberry carrot potato tomato onion mushroom bread cheese
sandwich pizza cake cookie egg pretzel bicycle motorcycle train tractor helicopter rocket skateboard sled
mountain river volcano island bridge quarry windmill tunnel fountain statue fence tent anchor compass telescope
microscope magnet battery candle balloon marble dice puzzle trophy whistle helmet crown ribbon button needle rope
"""
UNKNOWN_WORDS: tuple[str, ...] = tuple(_UNKNOWN_WORDS.split())
"""Concrete nouns that no scene ever shows and that are no synonyms of ours."""

_HELD_OUT_UNKNOWN_WORDS = """
dog spaceship dinosaur dragon robot penguin owl kangaroo camel dolphin submarine airplane trombone cannon scooter
waffle pylon cactus watermelon cherry hamburger saxophone accordion globe hourglass stapler toothbrush wheelbarrow
parachute snowman
"""
HELD_OUT_UNKNOWN_WORDS: tuple[str, ...] = tuple(_HELD_OUT_UNKNOWN_WORDS.split())
"""Like UNKNOWN_WORDS, but kept from every generated concept: for tests of words never seen."""
