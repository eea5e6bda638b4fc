"""Long conversations shrink from the front, in steps, and their beginning stays the same."""

from itertools import pairwise

from sam3_agent.llm.base import Message, ToolCall, ToolResult
from sam3_agent.llm.scripted import ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.loop.history import KEPT, SEE_LAST, STRIDE, as_shown
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.types import Answer, ModelInfo
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import make_workspace, picture

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


def turn_of(*calls: ToolCall) -> tuple[tuple[ToolResult, ...], Answer]:
    """The results of one turn with these calls, as the LLM got them, and the run's answer."""
    llm = ScriptedLLM(calls, ToolCall("end", "report_no_match", {"reason": "enough"}))
    answer = Agent(make_workspace(), llm, judge="off").ask("img1", "the circles")
    return llm.seen[1][-1].results, answer


def click(number: int, x: int, y: int, **more: object) -> ToolCall:
    return ToolCall(f"k{number}", "segment_at", {"points": [[x, y]], **more})


def test_calls_of_one_turn_that_mark_the_same_image_share_one_picture() -> None:
    found = ToolCall("s", "segment_concepts", {"concepts": ["circle"]})
    rows = ToolCall("r", "measure_masks", {})
    results, answer = turn_of(click(1, 50, 50), found, rows, click(2, 250, 60), click(3, 260, 150))
    assert [len(result.pictures) for result in results] == [0, 0, 0, 0, 1]
    caption = results[-1].pictures[0].caption
    new = [each["id"] for result in results for each in result.data.get("instances", [])]
    assert len(new) == 3
    assert all(f"{mask_id}" in caption for mask_id in new)
    assert [SEE_LAST in result.text for result in results] == [True, True, False, True, False]
    assert results[-1].text.endswith(f"picture of img1: {caption}")
    assert sum(result.text.count("picture of img1") for result in results) == 1
    steps = [step.data for step in answer.trace.steps if step.kind == "tool"]
    assert [len(step["pictures"]) for step in steps] == [0, 0, 0, 0, 1, 0], "the trace tells what the LLM saw"
    assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)


def test_a_shared_picture_shows_the_part_that_holds_all_regions() -> None:
    near = [click(1, 50, 50, region=[0, 0, 100, 100]), click(2, 50, 60, region=[20, 20, 120, 110])]
    results, _ = turn_of(*near)
    assert "x 0-120, y 0-110" in results[-1].pictures[0].caption
    results, _ = turn_of(*near, click(3, 250, 60))
    assert "x 0-320, y 0-200" in results[-1].pictures[0].caption


def test_one_call_alone_and_one_that_failed_keep_what_they_have() -> None:
    results, _ = turn_of(click(1, 50, 50), click(2, 5000, 60), ToolCall("l", "look", {}))
    assert [len(result.pictures) for result in results] == [1, 0, 1]
    assert all(SEE_LAST not in result.text for result in results)


def test_what_ends_a_run_is_recorded_after_what_was_found_in_the_same_turn() -> None:
    llm = ScriptedLLM((click(1, 50, 50), click(2, 250, 60), ToolCall("e", "submit_answer", {"mask_ids": ["m1"]})))
    answer = Agent(make_workspace(), llm, judge="once").ask("img1", "the circle")
    kinds = [step.data.get("name", step.kind) for step in answer.trace.steps]
    assert kinds.index("judge") > max(i for i, kind in enumerate(kinds) if kind == "segment_at")


def test_a_standing_hint_is_told_once_a_run() -> None:
    workspace = Workspace(FakeSegmenter({}, info=ModelInfo("tiny", "cpu", "float32")))
    workspace.open(picture())
    calls = [ToolCall(str(n), "segment_concepts", {"concepts": [word]}) for n, word in enumerate(("zebra", "gnu"))]
    llm = ScriptedLLM(*calls, ToolCall("end", "report_no_match", {"reason": "enough"}))
    Agent(workspace, llm, judge="off").ask("img1", "the zebra")
    texts = [message.results[0].text for message in llm.seen[2] if message.results]
    assert ["the model knows these words" in text for text in texts] == [True, False]
    assert ["knows only drawings" in text for text in texts] == [True, False]
    assert all("is no word of this model" in text for text in texts)
