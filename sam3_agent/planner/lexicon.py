"""Words that the rules planner knows: numbers, ordinals, adjectives, generic nouns."""

import re


def word_set(words: str) -> frozenset[str]:
    """Split a text into its words."""
    return frozenset(words.split())


_UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
NUMBERS = (
    {word: value for value, word in enumerate((*_UNITS, *_TEENS), 1)}
    | {word: 10 * value for value, word in enumerate(_TENS, 2)}
    | {"half a dozen": 6, "a dozen": 12, "dozen": 12, "both": 2, "once": 1, "twice": 2}
)
ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "last": -1, "penultimate": -2,
}  # fmt: skip
NUMBER = (
    rf"(?:(?:{'|'.join(_TENS)})(?:[- ](?:{'|'.join(_UNITS)}))?|(?:half a |a )?dozen|{'|'.join((*_TEENS, *_UNITS))}|\d+)"
)
ORDINAL = rf"(?:(?:second|third) (?:to )?last|next to last|{'|'.join(ORDINALS)}|\d+(?:st|nd|rd|th))"

COLORS = word_set("""
    red orange yellow green blue purple violet pink white black brown gray golden gold silver beige turquoise cyan
    magenta maroon navy teal dark colorful bright
""")
PATTERNS = word_set("striped dotted spotted checkered checked plain plaid patterned")
ADJECTIVES = (
    COLORS
    | PATTERNS
    | word_set("""
    wooden metal metallic plastic leather round
    rectangular triangular big small large little tall short open closed empty full broken old young male female wet dry
    furry transparent
""")
)
FAMILIES = (
    COLORS,
    PATTERNS,
    *map(
        word_set, ("wooden metal metallic plastic leather", "round rectangular triangular", "open closed", "empty full")
    ),
    *map(word_set, ("big small large little tall short", "old young", "male female", "wet dry")),
)
"""Adjectives of one family are alternatives to each other."""
PATTERN_NOUNS = {
    "stripes": "striped", "stripe": "striped", "dots": "dotted", "polka dots": "dotted", "spots": "spotted",
    "checks": "checkered", "striped pattern": "striped", "dotted pattern": "dotted", "checkered pattern": "checkered",
    "checkerboard pattern": "checkered", "chessboard pattern": "checkered",
}  # fmt: skip
"""Noun of what an object has -> adjective that it then is."""

CHROMATIC = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
"""The colors that a thing without color does not have; black, white and gray are left to it."""

GENERIC = word_set("""
    thing things object objects item items one ones something anything everything stuff what whatever element elements
    entity entities those
""")
"""Words for any object; the model is asked for "object" instead."""
ANAPHORS = word_set("one ones those")
"""Of these, the ones that stand for a noun named before."""
PERSONS = word_set("who someone somebody anyone anybody everyone everybody whoever")
PAIRED = word_set("""
    scissors pants trousers jeans shorts tights leggings pajamas sunglasses eyeglasses glasses goggles binoculars pliers
    tweezers tongs headphones earphones
""")
"""Nouns of which "a pair" is one thing."""
CLOTHES = word_set("""
    shirt t-shirt tshirt dress suit coat jacket hat cap helmet uniform jeans pants trousers shorts skirt sweater hoodie
    vest scarf boots shoes glasses sunglasses costume robe apron tie
""")
"""After "in" these describe a person and are no place."""

INVENTORY = (
    "person", "car", "bus", "truck", "bicycle", "motorcycle", "train", "airplane", "boat", "bird", "cat", "dog",
    "horse", "sheep", "cow", "fish", "tree", "flower", "plant", "house", "chair", "table", "sofa", "bed", "lamp",
    "clock", "vase", "book", "cup", "bottle", "glass", "plate", "bowl", "fork", "knife", "spoon", "apple", "banana",
    "carrot", "cake", "bag", "hat", "shoe", "umbrella", "key", "ball", "phone", "laptop", "pen", "circle",
    "square", "triangle", "star", "ring", "cross", "heart", "diamond", "crescent", "arrow", "bolt", "drop",
)  # fmt: skip
"""The kinds looked for when a query asks about kinds without naming them ("the most common kind of object").
"Orange" is left out: models take it for the color."""


def number(word: str) -> int:
    """Read the value of a number word, of digits, or of "three times"."""
    if word in NUMBERS:
        return NUMBERS[word]
    tens, *unit = re.split(r"[- ]", word)
    if tens in NUMBERS:
        return NUMBERS[tens] + (NUMBERS.get(unit[0], 0) if unit else 0)
    return int(tens)


def ordinal(words: str) -> int:
    """Read the place that an ordinal names; -1 is the last one."""
    if words in ORDINALS:
        return ORDINALS[words]
    if words.endswith("last"):
        return -3 if words.startswith("third") else -2
    return int(words[:-2])
