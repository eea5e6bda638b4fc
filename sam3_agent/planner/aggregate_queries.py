"""Queries about how often looks or kinds occur: "the odd one out", "the most common kind"."""

import re
from dataclasses import dataclass
from typing import Literal

from sam3_agent.planner.lexicon import NUMBER, number
from sam3_agent.planner.rewrite import any_of

By = Literal["kind", "color", "look"]
Often = Literal["most", "least"]


@dataclass(frozen=True, slots=True)
class Census:
    """Group everything by kind or color and take the group of that size; by look: the one thing unlike all others."""

    by: By
    often: int | Often = 1


_OTHERS = r"(?:all )?(?:of )?(?:the )?(?:others?|rest)"
_ODD = re.compile(
    any_of(
        r"\bodd (?:one|man|thing|object|item)",
        rf"\b(?:unlike|not like) {_OTHERS}",
        rf"(?:differs?|differing|different|distinct) from {_OTHERS}",
        r"(?:do|does) not (?:belong|fit|match)",
        r"\boutlier",
        r"\bstands? out",
        r"\balike (?:but|except) one",
        r"looks different|the different one|the exception$",
    )
)
_KIND = r"\b(?:kind|type|sort|class|category|species)s?\b"
_TIMES = re.compile(rf"\b(?:(?:exactly|only|just) )?(?P<times>once|twice|{NUMBER} times)\b")
_MOST = re.compile(
    r"most (?:common|frequent|often|numerous)|(?:more|most) (?:of )?(?:\w+ )*than (?:any|every) other|more of than any"
)
_LEAST = re.compile(r"least (?:common|frequent|often|numerous)|\brarest|fewer of than any")


def read_census(text: str) -> Census | None:
    """Read the census that a normalized query asks for, or None."""
    if _ODD.search(text):
        return Census("look")
    by: By | None = "kind" if re.search(_KIND, text) else "color" if re.search(r"\bcolors?\b", text) else None
    if by is None:
        return None
    if found := _TIMES.search(text):
        return Census(by, number(found["times"]))
    if _MOST.search(text):
        return Census(by, "most")
    return Census(by, "least") if _LEAST.search(text) else None
