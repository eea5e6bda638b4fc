"""The loop survives its LLM and its tools, and always ends in an answer."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from sam3_agent.errors import InputError, LLMError, ModelUnavailable, UnknownHandle
from sam3_agent.llm.base import Message, Reply, ToolCall
from sam3_agent.llm.scripted import Line, ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.types import Answer, Detection
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import RED_CIRCLES, fake_segmenter, make_workspace, picture

SEGMENT = ToolCall("c1", "segment_concepts", {"image_id": "img1", "concepts": ["circle"]})
NOTHING = ToolCall("c2", "segment_concepts", {"image_id": "img1", "concepts": ["zebra"]})
SUBMIT = ToolCall("c3", "submit_answer", {"mask_ids": ["m1"], "reason": "the first circle"})
NONE = ToolCall("c4", "report_no_match", {"reason": "no zebra"})


def ask(*lines: Line, query: str = "the circles", **limits: Any) -> tuple[Answer, ScriptedLLM]:
    llm = ScriptedLLM(*lines)
    agent = Agent(make_workspace(), llm, budget=Budget(**limits))
    return agent.ask("img1", query), llm


def results(messages: Sequence[Message]) -> list[tuple[str, bool]]:
    return [(result.text, result.is_error) for message in messages for result in message.results]


def kinds(answer: Answer) -> list[str]:
    return [step.kind for step in answer.trace.steps]


def ids(answer: Answer) -> list[str]:
    return [instance.id for instance in answer.instances]


def test_a_submission_ends_the_run_with_its_masks_and_reason() -> None:
    answer, _ = ask(SEGMENT, SUBMIT)
    assert (answer.outcome, ids(answer), answer.reason) == ("answered", ["m1"], "the first circle")
    assert kinds(answer) == ["start", "reply", "tool", "reply", "tool", "end"]


def test_a_report_of_no_match_ends_the_run_without_masks_even_after_a_find() -> None:
    answer, _ = ask(SEGMENT, NONE)
    assert (answer.outcome, ids(answer)) == ("no_match", [])
    assert answer.reason == "no zebra; looked for 'circle' (presence 0.95)"


def test_the_first_message_holds_query_image_size_and_preview() -> None:
    _, llm = ask(NONE, query="  the   red\ncircles ")
    system, task = llm.seen[0]
    assert (system.role, task.role) == ("system", "user")
    assert task.text.startswith("image_id: img1 (320 x 200 px")
    assert task.text.endswith("query: the red circles")
    [preview] = task.pictures
    assert f"at scale {preview.scale:g}" in task.text


def test_the_llm_is_offered_every_loop_tool_and_none_that_opens_images() -> None:
    _, llm = ask(NONE)
    assert {"segment_concepts", "measure_masks", "look", "submit_answer", "report_no_match"} <= set(llm.tools)
    assert "open_image" not in llm.tools


def test_several_calls_in_one_turn_run_in_order_and_answer_each() -> None:
    answer, llm = ask((SEGMENT, NOTHING), SUBMIT)
    last = llm.seen[1][-1]
    assert [result.call_id for result in last.results] == ["c1", "c2"]
    assert answer.outcome == "answered"


def test_what_follows_a_submission_in_the_same_turn_is_not_done() -> None:
    answer, _ = ask(SEGMENT, (SUBMIT, NONE, SEGMENT))
    assert answer.outcome == "answered"
    assert kinds(answer).count("tool") == 2


def test_an_unknown_tool_is_answered_with_the_known_ones() -> None:
    answer, llm = ask(ToolCall("x", "segment_phrase", {}), NONE)
    [(text, is_error)] = results(llm.seen[1])
    assert is_error
    assert "unknown tool 'segment_phrase'" in text
    assert "segment_concepts" in text
    assert answer.outcome == "no_match"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"image_id": "img1"}, "'concepts' is missing"),
        ({"image_id": "img9", "concepts": ["cup"]}, "known: img1"),
        ({"image_id": "img1", "concepts": []}, "concepts"),
        ({"image_id": "img1", "concepts": ["cup"], "color": "red"}, "there is no argument 'color'"),
        ({"image_id": "img1", "concepts": ["cup"], "region": [900, 900, 950, 950]}, "outside"),
        ({"image_id": "img1", "concepts": ["x" * 500]}, "at most 300 characters"),
    ],
)
def test_bad_arguments_come_back_as_an_instruction(arguments: dict[str, object], said: str) -> None:
    _, llm = ask(ToolCall("x", "segment_concepts", arguments), NONE)
    [(text, is_error)] = results(llm.seen[1])
    assert is_error
    assert said in text


def test_a_call_whose_arguments_could_not_be_read_is_answered_with_the_problem() -> None:
    _, llm = ask(ToolCall("x", "segment_concepts", problem="the arguments must be a JSON object"), NONE)
    assert results(llm.seen[1]) == [("the arguments must be a JSON object", True)]


def test_submitting_unknown_masks_does_not_end_the_run() -> None:
    answer, llm = ask(SEGMENT, ToolCall("x", "submit_answer", {"mask_ids": ["m99"]}), SUBMIT)
    assert "unknown mask 'm99'" in results(llm.seen[2])[-1][0]
    assert ids(answer) == ["m1"]


def test_text_instead_of_a_call_is_nudged_twice_and_then_fails_with_the_best_so_far() -> None:
    answer, llm = ask(SEGMENT, "I see a circle.", "It is red.", "It is m1.")
    assert "called no tool" in llm.seen[2][-1].text
    assert (answer.outcome, ids(answer)) == ("failed", ["m1", "m2", "m3"])
    assert "3 replies in a row" in answer.reason
    assert "It is m1." in answer.reason


def test_nudges_count_only_in_a_row() -> None:
    answer, _ = ask("hm", "hm", SEGMENT, "hm", "hm", SUBMIT)
    assert answer.outcome == "answered"


def test_an_empty_reply_is_nudged_in_its_own_words() -> None:
    answer, llm = ask("", SEGMENT, SUBMIT)
    assert "was empty" in llm.seen[1][-1].text
    assert answer.outcome == "answered"


def test_a_reply_that_was_cut_off_is_nudged_to_be_brief() -> None:
    answer, llm = ask(Reply(Message("assistant", "First I"), stop="truncated"), NONE)
    assert "cut off" in llm.seen[1][-1].text
    assert answer.outcome == "no_match"


def test_a_refusal_ends_the_run_and_is_named() -> None:
    answer, _ = ask(SEGMENT, Reply(Message("assistant"), stop="refused", note="general_harms"))
    assert (answer.outcome, answer.reason) == ("failed", "the model refused: general_harms")
    assert ids(answer) == ["m1", "m2", "m3"]


def test_an_llm_that_cannot_be_reached_fails_the_run_with_the_best_so_far() -> None:
    answer, _ = ask(SEGMENT, LLMError("HTTP 529: overloaded"))
    assert (answer.outcome, answer.reason) == ("failed", "HTTP 529: overloaded")
    assert ids(answer) == ["m1", "m2", "m3"]
    assert kinds(answer)[-2:] == ["error", "end"]


@pytest.mark.parametrize("bug", [KeyError("choices"), RecursionError("too deep"), ZeroDivisionError()])
def test_a_bug_in_an_llm_fails_the_run_and_raises_nothing(bug: Exception) -> None:
    answer, _ = ask(bug)
    assert answer.outcome == "failed"
    assert f"internal error: {type(bug).__name__}" in answer.reason


def test_an_llm_that_returns_something_else_than_a_reply_fails_the_run() -> None:
    class Odd(ScriptedLLM):
        def reply(self, messages: Sequence[Message], tools: object) -> Reply:
            return None  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    answer = Agent(make_workspace(), Odd()).ask("img1", "the circles")
    assert answer.outcome == "failed"
    assert answer.reason.endswith("in a row: 'replied with NoneType, expected a Reply'")


class BrokenSegmenter(FakeSegmenter):
    """Encodes, and fails when asked."""

    def __init__(self, error: Exception) -> None:
        super().__init__({})
        self.error = error

    def detect(self, *_: object, **__: object) -> list[Detection]:
        raise self.error


def test_a_bug_in_a_tool_comes_back_as_an_internal_error_and_is_in_the_trace() -> None:
    workspace = Workspace(BrokenSegmenter(IndexError("list index out of range")))
    workspace.open(picture())
    llm = ScriptedLLM(SEGMENT, NONE)
    answer = Agent(workspace, llm).ask("img1", "the circles")
    told = "internal error: IndexError: list index out of range"
    assert results(llm.seen[1]) == [(told, True)]
    assert answer.trace.steps[2].data["text"] == told
    assert answer.outcome == "no_match"


def test_a_model_that_is_gone_ends_the_run_instead_of_inviting_a_false_no_match() -> None:
    workspace = Workspace(BrokenSegmenter(ModelUnavailable("out of GPU memory; use --device cpu")))
    workspace.open(picture())
    answer = Agent(workspace, ScriptedLLM(SEGMENT, NONE)).ask("img1", "the circles")
    assert (answer.outcome, answer.reason) == ("failed", "out of GPU memory; use --device cpu")


def test_ctrl_c_in_the_llm_returns_the_best_so_far() -> None:
    answer, _ = ask(SEGMENT, KeyboardInterrupt())
    assert (answer.outcome, answer.reason, ids(answer)) == ("budget", "interrupted", ["m1", "m2", "m3"])
    assert kinds(answer)[-1] == "end"


def test_ctrl_c_in_a_tool_returns_the_best_so_far() -> None:
    workspace = Workspace(BrokenSegmenter(KeyboardInterrupt()))  # pyright: ignore[reportArgumentType]
    workspace.open(picture())
    answer = Agent(workspace, ScriptedLLM(SEGMENT)).ask("img1", "the circles")
    assert (answer.outcome, answer.reason, ids(answer)) == ("budget", "interrupted", [])


def test_the_turn_budget_ends_the_run_with_the_best_so_far() -> None:
    answer, llm = ask(*[SEGMENT] * 5, max_turns=2)
    assert len(llm.seen) == 2
    assert (answer.outcome, answer.reason) == ("budget", "stopped after 2 turns (max_turns=2)")
    assert ids(answer) == ["m1", "m2", "m3"]


def test_the_call_budget_ends_the_run() -> None:
    answer, _ = ask(*[SEGMENT] * 5, max_llm_calls=1)
    assert answer.reason == "stopped after 1 LLM calls (max_llm_calls=1)"


def test_the_money_budget_ends_the_run() -> None:
    dear = Reply(Message("assistant", calls=(SEGMENT,)), input_tokens=900, output_tokens=10, usd=0.6)
    answer, _ = ask(dear, dear, dear, max_usd=1.0)
    assert answer.reason == "stopped after 1.2000 USD (max_usd=1)"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (1800, 20)
    assert answer.usage.usd == pytest.approx(1.2)


def test_the_time_budget_ends_the_run() -> None:
    def slowly(messages: Sequence[Message]) -> Line:
        time.sleep(0.05)
        return SEGMENT

    answer, _ = ask(slowly, slowly, slowly, max_seconds=0.01)
    assert answer.outcome == "budget"
    assert "max_seconds=0.01" in answer.reason


def test_a_submission_in_the_reply_that_spends_the_budget_still_counts() -> None:
    dear = Reply(Message("assistant", calls=(SEGMENT, SUBMIT)), usd=5.0)
    answer, _ = ask(dear, max_usd=1.0)
    assert answer.outcome == "answered"


def test_the_best_so_far_is_the_first_concept_that_found_something() -> None:
    both = ToolCall("b", "segment_concepts", {"image_id": "img1", "concepts": ["zebra", "square", "circle"]})
    answer, _ = ask(both, LLMError("gone"))
    assert ids(answer) == ["m1"]


def test_a_combined_mask_becomes_the_best_so_far_and_an_empty_search_leaves_it() -> None:
    combine = ToolCall("u", "combine_masks", {"mask_ids": ["m1", "m2"], "operation": "union"})
    answer, _ = ask(SEGMENT, combine, NOTHING, LLMError("gone"))
    [mask] = answer.instances
    assert mask.area == sum(int(circle.sum()) for circle in RED_CIRCLES)


def test_a_wrong_image_id_or_an_empty_query_is_the_callers_mistake() -> None:
    agent = Agent(make_workspace(), ScriptedLLM())
    with pytest.raises(UnknownHandle, match="known: img1"):
        agent.ask("img7", "the cup")
    with pytest.raises(InputError, match="the query is empty"):
        agent.ask("img1", " \n ")


def test_usage_counts_turns_calls_and_the_encodes_that_the_run_caused() -> None:
    workspace = Workspace(fake_segmenter(), max_bytes=1)  # features are dropped at once, so a search encodes again
    workspace.open(picture())
    region = {"image_id": "img1", "concepts": ["circle"], "region": [0, 0, 160, 100]}
    answer = Agent(workspace, ScriptedLLM(ToolCall("r", "segment_concepts", region), NONE)).ask("img1", "the circle")
    assert (answer.usage.turns, answer.usage.llm_calls, answer.usage.encodes) == (2, 2, 1)
    assert answer.usage.seconds > 0


def test_every_step_names_the_prompts_in_force_and_its_seconds() -> None:
    answer, _ = ask("hm", SEGMENT, SUBMIT)
    first, last = answer.trace.steps[0], answer.trace.steps[-1]
    assert [name.partition(":")[0] for name in first.data["prompts"]] == ["system"]
    assert [name.partition(":")[0] for name in last.data["prompts"]] == ["system", "nudge_text"]
    assert all(step.seconds >= 0 and step.data["at"] >= 0 for step in answer.trace.steps)


def test_a_trace_says_what_pictures_were_shown_without_their_pixels() -> None:
    answer, _ = ask(SEGMENT, SUBMIT)
    tool = answer.trace.steps[2].data
    assert tool["name"] == "segment_concepts"
    assert [set(shown) for shown in tool["pictures"]] == [{"caption", "size", "scale"}]


def test_an_llm_need_not_say_which_image_it_means() -> None:
    answer, llm = ask(ToolCall("x", "segment_concepts", {"concepts": ["circle"]}), NONE)
    [(text, is_error)] = results(llm.seen[1])
    assert not is_error
    assert "'circle'" in text
    assert answer.outcome == "no_match"
