"""Nouns in singular and plural, and the head of a noun phrase."""

import re

from sam3_agent.planner.lexicon import word_set

IRREGULAR = {
    "people": "person", "persons": "person", "men": "man", "women": "woman", "children": "child", "kids": "kid",
    "mice": "mouse", "geese": "goose", "feet": "foot", "teeth": "tooth", "oxen": "ox", "cacti": "cactus",
    "fungi": "fungus", "leaves": "leaf", "knives": "knife", "wolves": "wolf", "lives": "life", "wives": "wife",
    "shelves": "shelf", "bookshelves": "bookshelf", "loaves": "loaf", "halves": "half", "scarves": "scarf",
    "calves": "calf", "thieves": "thief", "elves": "elf", "hooves": "hoof", "buses": "bus", "gases": "gas",
    "lenses": "lens", "quizzes": "quiz", "axes": "axe", "ties": "tie", "pies": "pie", "movies": "movie",
    "cookies": "cookie", "brownies": "brownie", "hoodies": "hoodie", "zombies": "zombie", "selfies": "selfie",
    "smoothies": "smoothie", "shoes": "shoe", "horseshoes": "horseshoe", "toes": "toe", "canoes": "canoe",
    "photos": "photo", "caches": "cache", "headaches": "headache", "moustaches": "moustache", "octopi": "octopus",
}  # fmt: skip
INVARIANT = word_set("""
    fish sheep deer moose bison elk aircraft spacecraft hovercraft series species salmon trout squid cod shrimp scissors
    pants trousers jeans shorts tights leggings pajamas pyjamas sunglasses eyeglasses goggles binoculars pliers tweezers
    tongs headphones earphones dice cattle furniture luggage clothes stairs
    bus gas lens iris canvas atlas pancreas bias christmas tennis chess grass glass dress cross
""")
"""Words that stay as they are; singular words that end in s stand here too."""

_TAIL = re.compile(r"\s+(?:with|without|of|in|on|at|for|from|wearing|holding|made|to)\b.*$|\s+\w+ing\b(?=\s).*$")


def singular(word: str) -> str:
    """Return the singular of one lower-case English noun; what is singular already stays as it is."""
    if word in INVARIANT or word in IRREGULAR.values() or (not word.endswith("s") and word not in IRREGULAR):
        return word
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) <= 3 or word.endswith(("ss", "us", "is")):
        return word
    for ending, stem in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("oes", "o")):
        if word.endswith(ending):
            return word[: -len(ending)] + stem
    return word[:-1]


def is_plural(word: str) -> bool:
    """Tell whether a lower-case noun is plainly a plural ("fish" is not)."""
    return singular(word) != word


def split_head(phrase: str) -> tuple[str, str, str]:
    """Split "red bottles of wine" into ("red", "bottles", " of wine"): before the head noun, it, behind it."""
    found = _TAIL.search(phrase)
    core, tail = (phrase[: found.start()], phrase[found.start() :]) if found else (phrase, "")
    before, _, head = core.rpartition(" ")
    return before, head, tail


def singular_phrase(phrase: str) -> tuple[str, bool]:
    """Put the head noun of a phrase into the singular; tell also whether it was a plural."""
    before, head, tail = split_head(phrase)
    one = singular(head)
    return f"{before} {one}{tail}".strip(), one != head
