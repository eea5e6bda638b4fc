"""Words that the rules planner knows: numbers, ordinals, adjectives, generic nouns."""


def word_set(words: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(words.split())


NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "both": 2, "once": 1, "twice": 2,
}  # fmt: skip
ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "last": -1, "penultimate": -2,
}  # fmt: skip
NUMBER = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\d+)"
ORDINAL = rf"(?:(?:second|third) (?:to )?last|next to last|{'|'.join(ORDINALS)}|\d+(?:st|nd|rd|th))"

COLORS = word_set("""
    red orange yellow green blue purple violet pink white black brown grey gray golden gold silver beige turquoise cyan
    magenta maroon navy teal dark colorful bright
""")
ADJECTIVES = COLORS | word_set("""
    striped dotted spotted checkered chequered checked plain plaid patterned wooden metal metallic plastic leather round
    rectangular triangular big small large little tall short open closed empty full broken old young male female wet dry
    furry transparent
""")
PATTERN_NOUNS = {
    "stripes": "striped", "stripe": "striped", "dots": "dotted", "polka dots": "dotted", "spots": "spotted",
    "checks": "checkered", "striped pattern": "striped", "dotted pattern": "dotted", "checkered pattern": "checkered",
    "checkerboard pattern": "checkered", "chessboard pattern": "checkered",
}  # fmt: skip
"""What an object has -> what it then is."""

NAMED_COLORS = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "black", "grey",
)  # fmt: skip
"""The colors looked for when a query asks about colors without naming them."""

GENERIC = word_set("""
    thing things object objects item items one ones something anything everything stuff what whatever element elements
    entity entities those
""")
"""Words for any object; the model is asked for "object" instead."""
ANAPHORS = word_set("one ones those")
"""Of these, the ones that stand for a noun named before."""
PERSONS = word_set("who someone somebody anyone anybody everyone everybody whoever")
CLOTHES = word_set("""
    shirt t-shirt tshirt dress suit coat jacket hat cap helmet uniform jeans pants trousers shorts skirt sweater hoodie
    vest scarf boots shoes glasses sunglasses costume robe apron tie
""")
"""After "in" these describe a person and are no place."""

INVENTORY = (
    "person", "car", "bus", "truck", "bicycle", "motorcycle", "train", "airplane", "boat", "bird", "cat", "dog",
    "horse", "sheep", "cow", "fish", "tree", "flower", "plant", "house", "chair", "table", "sofa", "bed", "lamp",
    "clock", "vase", "book", "cup", "bottle", "glass", "plate", "bowl", "fork", "knife", "spoon", "apple", "banana",
    "orange", "carrot", "cake", "bag", "hat", "shoe", "umbrella", "key", "ball", "phone", "laptop", "pen", "circle",
    "square", "triangle", "star", "ring", "cross", "heart", "diamond", "crescent", "arrow", "bolt", "drop",
)  # fmt: skip
"""The kinds looked for when a query asks about kinds without naming them ("the most common kind of object")."""


def number(word: str) -> int:
    """The value of a number word, of digits, or of "three times"."""
    first = word.split()[0]
    return NUMBERS[first] if first in NUMBERS else int(first)


def ordinal(words: str) -> int:
    """The place that an ordinal names; -1 is the last one."""
    if words in ORDINALS:
        return ORDINALS[words]
    if words.endswith("last"):
        return -3 if words.startswith("third") else -2
    return int(words[:-2])
