"""The Claude LLM against a server that speaks the real wire format."""

import base64
import io
import logging
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from sam3_agent.llm.anthropic import AnthropicLLM, request_of
from sam3_agent.llm.base import Message, ToolCall, ToolResult
from sam3_agent.llm.retry import RetryPolicy
from sam3_agent.loop.agent import Agent
from sam3_agent.tools import LOOP_TOOLS
from sam3_agent.types import Answer
from tests.fixtures_workspace import make_workspace
from tests.llm.wire.anthropic import api, error, message, text, use
from tests.llm.wire.server import Api, Sent

THINKING = {"type": "thinking", "thinking": "Two circles are red.", "signature": "c2lnbmVk"}
SEALED = {"type": "redacted_thinking", "data": "b3BhcXVl"}
SEGMENT = use("segment_concepts", {"image_id": "img1", "concepts": ["red circle", "square"]})
MEASURE = use("measure_masks", {"image_id": "img1"}, "toolu_2")
SUBMIT = use("submit_answer", {"mask_ids": ["m1"], "reason": "the larger red circle"}, "toolu_3")

Ask = Callable[..., tuple[Answer, Api]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Ask about the workspace's picture, with a server that follows the script."""

    def run(*script: Sent, model: str = "claude-opus-5-5", retries: int = 2) -> tuple[Answer, Api]:
        with api(*script) as served:
            monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
            monkeypatch.setenv("ANTHROPIC_BASE_URL", served.url)
            llm = AnthropicLLM(model, policy=RetryPolicy(20.0, retries, first_pause=0.01))
            answer = Agent(make_workspace(), llm, judge="off").ask("img1", "the larger red circle")
        assert served.problems == []
        return answer, served

    return run


def blocks(request: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [block for turn in request["messages"] for block in turn["content"] if block["type"] == kind]


def test_a_full_run_in_three_turns(ask: Ask) -> None:
    answer, served = ask(message(THINKING, text("I look."), SEGMENT), message(MEASURE), message(SUBMIT))
    assert (answer.outcome, answer.reason) == ("answered", "the larger red circle")
    assert [instance.id for instance in answer.instances] == ["m1"]
    assert len(served.requests) == 3
    assert any("sk-test" in value for value in served.headers[0].values())


def test_usage_counts_cached_tokens_and_their_price(ask: Ask) -> None:
    answer, _ = ask(message(SEGMENT), message(SUBMIT))
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (8400, 100)
    once = (1000 * 4 + 200 * 5 + 3000 * 0.2 + 50 * 20) / 1_000_000
    assert answer.usage.usd == pytest.approx(2 * once)
    assert [step.data["cached_tokens"] for step in answer.trace.steps if step.kind == "reply"] == [3000, 3000]


def test_pictures_go_as_jpeg_with_the_task_and_inside_tool_results(ask: Ask) -> None:
    _, served = ask(message(SEGMENT), message(SUBMIT))
    [preview] = blocks(served.requests[0], "image")
    [result] = blocks(served.requests[1], "tool_result")
    assert [block["type"] for block in result["content"]] == ["text", "image"]
    for picture in (preview, result["content"][1]):
        assert picture["source"]["media_type"] == "image/jpeg"
        assert Image.open(io.BytesIO(base64.b64decode(picture["source"]["data"]))).format == "JPEG"


def test_tools_system_prompt_and_conversation_are_marked_for_the_cache(ask: Ask) -> None:
    _, served = ask(message(SEGMENT), message(SUBMIT))
    for request in served.requests:
        assert request["system"][-1]["cache_control"] == {"type": "ephemeral"}
        assert request["tools"][-1]["cache_control"] == {"type": "ephemeral"}
        assert request["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}


def test_the_prefix_of_the_conversation_never_changes(ask: Ask) -> None:
    def bare(turn: dict[str, Any]) -> dict[str, Any]:
        return {**turn, "content": [{k: v for k, v in b.items() if k != "cache_control"} for b in turn["content"]]}

    _, served = ask(message(SEGMENT), message(MEASURE), message(SUBMIT))
    first, second = ([bare(turn) for turn in request["messages"]] for request in served.requests[1:])
    assert second[: len(first)] == first
    assert served.requests[0]["tools"] == served.requests[2]["tools"]


def test_thinking_goes_back_as_it_came_and_into_the_trace(ask: Ask) -> None:
    answer, served = ask(message(THINKING, SEALED, SEGMENT), message(SUBMIT))
    assert served.requests[1]["messages"][1]["content"] == [THINKING, SEALED, SEGMENT]
    assert answer.trace.steps[1].data["thoughts"] == "Two circles are red."


def test_an_overloaded_server_is_asked_again(ask: Ask) -> None:
    overloaded = error(529, "overloaded_error", "Overloaded", retry_after="0.01")
    answer, served = ask(message(SEGMENT), overloaded, overloaded, message(SUBMIT))
    assert answer.outcome == "answered"
    assert len(served.requests) == 4


def test_a_server_that_stays_overloaded_fails_the_run_with_the_best_so_far(ask: Ask) -> None:
    overloaded = error(529, "overloaded_error", "Overloaded", retry_after="0.01")
    answer, _ = ask(message(SEGMENT), overloaded, overloaded, retries=1)
    assert answer.outcome == "failed"
    assert answer.reason == "anthropic:claude-opus-5-5: HTTP 529: Overloaded (2 attempts)"
    assert [instance.id for instance in answer.instances] == ["m1", "m2"]


def test_a_refused_key_is_one_clear_line_without_a_retry(ask: Ask) -> None:
    answer, served = ask(error(401, "authentication_error", "invalid x-api-key"))
    assert answer.outcome == "failed"
    assert answer.reason == "anthropic:claude-opus-5-5: HTTP 401: invalid x-api-key"
    assert len(served.requests) == 1


@pytest.mark.parametrize("arguments", ["not json {", None])
def test_arguments_that_the_sdk_cannot_put_together_are_asked_for_again(ask: Ask, arguments: Any) -> None:
    answer, served = ask(message(use("segment_concepts", arguments)), message(SEGMENT), message(SUBMIT))
    assert (answer.outcome, len(served.requests)) == ("answered", 3)
    assert [len(step.data["faults"]) for step in answer.trace.steps if step.kind == "reply"] == [1, 0]


@pytest.mark.parametrize("arguments", [["red circle"], 7])
def test_arguments_that_are_no_object_are_answered_as_an_error(ask: Ask, arguments: Any) -> None:
    answer, served = ask(message(use("segment_concepts", arguments)), message(SEGMENT), message(SUBMIT))
    [result] = blocks(served.requests[1], "tool_result")
    assert result["is_error"] is True
    assert "JSON" in result["content"][0]["text"]
    assert "make the call again" in result["content"][0]["text"]
    assert answer.outcome == "answered"


def test_a_refusal_ends_the_run_with_what_the_api_said(ask: Ask) -> None:
    details = {"type": "refusal", "category": "general_harms", "explanation": "This may harm someone."}
    answer, _ = ask(message(stop="refusal", stop_details=details))
    assert (answer.outcome, answer.reason) == ("failed", "the model refused: This may harm someone.")


def test_a_call_that_was_cut_off_is_not_made(ask: Ask) -> None:
    cut = use("submit_answer", {"mask_ids": []})
    answer, served = ask(message(SEGMENT), message(cut, stop="max_tokens"), message(SUBMIT))
    last = blocks(served.requests[2], "tool_result")[-1]
    assert "cut off in the middle" in last["content"][0]["text"]
    assert answer.outcome == "answered"


def test_text_that_was_cut_off_is_nudged(ask: Ask) -> None:
    answer, served = ask(message(text("Let me"), stop="max_tokens"), message(SEGMENT), message(SUBMIT))
    assert "cut off" in served.requests[1]["messages"][-1]["content"][0]["text"]
    assert answer.outcome == "answered"


@pytest.mark.parametrize("content", [(), (text("  \n"),)])
def test_an_empty_message_is_nudged_and_not_sent_back(ask: Ask, content: tuple[dict[str, Any], ...]) -> None:
    answer, served = ask(message(*content), message(SEGMENT), message(SUBMIT))
    assert [turn["role"] for turn in served.requests[1]["messages"]] == ["user", "user"]
    assert answer.outcome == "answered"


def test_several_calls_in_one_message_are_answered_together(ask: Ask) -> None:
    answer, served = ask(message(SEGMENT, MEASURE), message(SUBMIT))
    assert [block["tool_use_id"] for block in blocks(served.requests[1], "tool_result")] == ["toolu_1", "toolu_2"]
    assert answer.outcome == "answered"


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"{", b"[]", b'{"type": "message"}'])
def test_a_body_that_is_no_message_fails_the_run_in_one_line(ask: Ask, body: bytes) -> None:
    answer, _ = ask(Sent(body), retries=0)
    assert answer.outcome == "failed"
    assert "\n" not in answer.reason
    assert answer.instances == ()


def test_a_server_that_is_not_there_fails_the_run_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    answer = Agent(make_workspace(), AnthropicLLM("claude-opus-5-5", policy=RetryPolicy(retries=0))).ask(
        "img1", "the circle"
    )
    assert answer.outcome == "failed"
    assert answer.reason.startswith("anthropic:claude-opus-5-5: cannot reach http://127.0.0.1:9")


def test_an_unknown_model_costs_nothing_and_says_so(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        answer, _ = ask(message(SEGMENT), message(SUBMIT), model="claude-next-9")
    assert answer.usage.usd == 0
    assert "no price of 'claude-next-9' is known" in caplog.text
    assert "counts as 0 USD" in answer.trace.steps[1].data["note"]


def test_a_conversation_that_another_llm_began_can_be_continued() -> None:
    call = ToolCall("rules-1-1", "segment_concepts", {"image_id": "img1", "concepts": ["cup"]})
    result = ToolResult("rules-1-1", "segment_concepts", "nothing found")
    conversation = (Message("user", "hello"), Message("assistant", calls=(call,)), Message("tool", results=(result,)))
    turns = request_of("claude-opus-5-5", 100, conversation, LOOP_TOOLS)["messages"]
    assert turns[1]["content"] == [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}]
