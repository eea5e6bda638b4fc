"""Long conversations shrink from the front, in steps, and their beginning stays the same."""

from itertools import pairwise

from sam3_agent.llm.base import Message, ToolCall
from sam3_agent.llm.scripted import ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.loop.history import KEPT, STRIDE, as_shown
from tests.fixtures_workspace import make_workspace

TURNS = 16


def look(number: int) -> ToolCall:
    concepts = ["circle", "zebra"] if number % 2 else ["square"]
    return ToolCall(f"c{number}", "segment_concepts", {"image_id": "img1", "concepts": concepts})


def conversation() -> list[tuple[Message, ...]]:
    """What an LLM was shown at each of TURNS turns."""
    llm = ScriptedLLM(*(look(number) for number in range(TURNS)))
    Agent(make_workspace(), llm, budget=Budget(max_turns=TURNS)).ask("img1", "the circles")
    return llm.seen


def pictures(messages: tuple[Message, ...]) -> list[int]:
    return [sum(len(r.pictures) for r in m.results) for m in messages if m.results]


def test_the_latest_turns_keep_their_pictures_and_so_does_the_task() -> None:
    for turn, messages in enumerate(conversation()):
        shown = pictures(messages)
        assert shown[-KEPT:] == [1] * min(turn, KEPT)
        assert sum(shown) < KEPT + STRIDE
        assert len(messages[1].pictures) == 1


def test_what_is_old_is_a_ledger_of_what_was_tried_and_how_it_scored() -> None:
    old = conversation()[-1][5].results[0]
    assert old.text.splitlines()[0].startswith("'circle': presence 0.95; m2 0.85 at (50, 50), m3 0.84 at (250, 60)")
    assert old.text.splitlines()[1] == "'zebra': presence 0.02; nothing found"
    assert old.text.splitlines()[2].startswith("[picture no longer shown: ")
    assert len(old.text) < 500
    assert old.data["results"]


def test_the_beginning_changes_only_every_few_turns() -> None:
    seen = conversation()
    changes = [before != after[: len(before)] for before, after in pairwise(seen)]
    assert sum(changes) == (TURNS - 1 - KEPT) // STRIDE


def test_the_same_conversation_always_looks_the_same_and_is_left_as_it_is() -> None:
    messages = conversation()[-1]
    assert as_shown(messages) == as_shown(list(messages))
    assert as_shown(messages[:3]) == messages[:3]
