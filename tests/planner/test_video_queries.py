"""Queries about a video are understood in the words that people use, or refused by name."""

import pytest

from sam3_agent.planner.query_ast import BeyondRules
from sam3_agent.planner.video.parse import parse_video_query


def said(query: str) -> str:
    """A plan in a line: phrase, number, what happens, rank."""
    plan = parse_video_query(query)
    number = str(plan.amount) if plan.amount is not None else "all" if plan.plural else "one"
    parts = [f"{plan.phrase} ({number})", *map(str, plan.happenings), *([str(plan.rank)] if plan.rank else [])]
    return "; ".join(parts)


@pytest.mark.parametrize(
    ("query", "plan"),
    [
        ("the fish that leaves first", "fish (one); leaves; least in leaving"),
        ("Of the red stars, find the one that is gone first.", "red star (one); leaves; least in leaving"),
        ("Which cross leaves the picture before any other cross does?", "cross (one); leaves; least in leaving"),
        ("the second car to leave the scene", "car (one); leaves; number 2 from the least in leaving"),
        ("Of the fish that come in, which one comes last?", "fish (one); enters; greatest in entering"),
        ("which dog enters from the right and then turns blue?", "dog (one); enters right; turns blue"),
        ("Which boats are not there at first and then come in?", "boat (all); enters"),
        ("the two cars that meet", "car (2); meets"),
        ("Which household item goes out of the picture and is seen again later?", "household item (one); returns"),
        ("all crosses that are hidden for a while", "cross (all); hides"),
        ("the cup that doesn't move", "cup (one); still"),
        ("everything that moves", "object (all); not still"),
        ("Which fish move up in the course of the video?", "fish (all); moves up"),
        ("Which fish moves up in the course of the video?", "fish (one); moves up"),
        ("track the red cars driving to the right", "red car (all); moves right"),
        ("the slowest boat that moves left", "boat (one); moves left; least in speed"),
        ("the two fastest boats", "boat (2); greatest in speed"),
        ("Which cat can be seen for longer than every other cat?", "cat (one); greatest in seen"),
        ("the cup that is leftmost at the beginning of the video", "cup (one); least in left at the start"),
        ("the smallest cat at the end of the video", "cat (one); least in size at the end"),
        ("the lamp furthest to the right in the last frame", "lamp (one); greatest in right at the end"),
        ("Which keys do not keep their colour?", "key (all); recolors"),
        ("the birds that never leave", "bird (all); not leaves"),
        ("which of the cars leaves the picture?", "car (one); leaves"),
        ("Find all birds in this video, wherever they are seen.", "bird (all)"),
        ("who leaves last?", "person (one); leaves; greatest in leaving"),
    ],
)
def test_what_is_asked_is_understood(query: str, plan: str) -> None:
    assert said(query) == plan


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("the dog that barks", "'barks'"),
        ("the boat that leaves before the car", "'leaves before the car'"),
        ("the child that runs to the taller man", "'runs to the taller man'"),
        ("the cup on the table", "'the cup on the table'"),
        ("the tallest man that leaves", "'the tallest man'"),
        ("what is happening here?", "'what is happening'"),
        ("the fastest car that leaves first", "two orders"),
        ("", "the expression ''"),
        ("Bitte finde den Hund, der zuerst geht", "German"),
        ("the car " * 60, "characters"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(query: str, part: str) -> None:
    with pytest.raises(BeyondRules, match=part):
        parse_video_query(query)
