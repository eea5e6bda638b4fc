"""Which single words describe an object."""

from collections.abc import Callable

from sam3_agent.scenes.scene import SceneObject
from sam3_agent.scenes.vocabulary import COLOURS, NOUNS, PATTERNS, PLURAL, SUPERCATEGORIES, SUPERCATEGORY


def word_matches(word: str, thing: SceneObject) -> bool | None:
    """Whether a single word describes the object; None for words that describe nothing ("the")."""
    return _WORD_TESTS[word](thing) if word in _WORD_TESTS else None


def describing_words() -> tuple[str, ...]:
    """Every word that holds of some objects and not of others (or of all: "thing")."""
    return tuple(_WORD_TESTS)


def _word_tests() -> dict[str, Callable[[SceneObject], bool]]:
    tests: dict[str, Callable[[SceneObject], bool]] = {}
    for colour in COLOURS:
        tests[colour] = lambda o, c=colour: o.colour == c
    for pattern in PATTERNS:
        tests[pattern] = lambda o, p=pattern: o.pattern == p
    for noun in NOUNS:
        for form in (noun, PLURAL[noun]):
            tests[form] = lambda o, n=noun: o.noun == n
    for name in SUPERCATEGORIES:
        if name != "object":
            for form in (name, PLURAL[name]):
                tests[form] = lambda o, s=name: o.supercategory == s
    tests["household"] = lambda o: SUPERCATEGORY[o.noun] == "object"
    for word in ("object", "objects", "thing", "things"):
        tests[word] = lambda o: True
    return tests


_WORD_TESTS = _word_tests()
