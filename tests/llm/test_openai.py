"""The GPT LLM against a server that speaks the Responses wire format."""

import json
from typing import Any

import pytest

from sam3_agent.errors import LLMConfigError
from sam3_agent.llm.base import Message, ToolCall, ToolResult
from sam3_agent.llm.openai import request_of
from sam3_agent.loop.load_llm import load_llm
from sam3_agent.tools import LOOP_TOOLS
from tests.llm.fixtures_llm import Ask, asker
from tests.llm.wire.openai import OpenAIDialect, error, message, reasoning, refusal, text, use

SEGMENT = use("segment_concepts", {"image_id": "img1", "concepts": ["red circle", "square"]})
SUBMIT = use("submit_answer", {"mask_ids": ["m1"], "reason": "the larger red circle"}, "call_3")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    return asker(monkeypatch, "openai")


def items(request: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [item for item in request["input"] if item["type"] == kind]


def test_pictures_go_into_the_output_of_a_call(ask: Ask) -> None:
    _, served = ask(message(SEGMENT), message(SUBMIT))
    [output] = items(served.requests[1], "function_call_output")
    assert [part["type"] for part in output["output"]] == ["input_text", "input_image"]
    assert output["output"][1]["image_url"].startswith("data:image/jpeg;base64,/9j/")


def test_nothing_is_stored_and_sealed_reasoning_goes_back_as_it_came(ask: Ask) -> None:
    thought = reasoning("Two circles are red.")
    answer, served = ask(message(thought, text("I look."), SEGMENT), message(SUBMIT))
    assert [request["store"] for request in served.requests] == [False, False]
    [sent] = items(served.requests[1], "reasoning")
    assert sent == thought
    assert answer.trace.steps[1].data["thoughts"] == "Two circles are red."
    assert answer.trace.steps[1].data["text"] == "I look."


def test_reasoning_that_nothing_follows_is_not_sent_back(ask: Ask) -> None:
    answer, _ = ask(message(reasoning("Hm.")), message(SEGMENT), message(SUBMIT))
    assert answer.outcome == "answered"


def test_a_refusal_and_a_content_filter_end_the_run(ask: Ask) -> None:
    answer, _ = ask(message(refusal("I cannot help with that.")))
    assert (answer.outcome, answer.reason) == ("failed", "the model refused: I cannot help with that.")
    filtered = message(status="incomplete", incomplete_details={"reason": "content_filter"})
    assert ask(filtered)[0].reason == "the model refused: the provider's content filter"


def test_a_call_that_was_cut_off_is_not_made(ask: Ask) -> None:
    cut = message(
        use("submit_answer", '{"mask_ids": ["m'),
        status="incomplete",
        incomplete_details={"reason": "max_output_tokens"},
    )
    answer, served = ask(message(SEGMENT), cut, message(SUBMIT))
    assert "cut off in the middle" in json.dumps(items(served.requests[2], "function_call_output")[-1])
    assert answer.outcome == "answered"


@pytest.mark.parametrize("arguments", ["not json {", '["red circle"]', "null", "7"])
def test_arguments_that_are_no_object_are_answered_as_an_error(ask: Ask, arguments: str) -> None:
    answer, served = ask(message(use("segment_concepts", arguments)), message(SEGMENT), message(SUBMIT))
    [output] = items(served.requests[1], "function_call_output")
    assert output["output"][0]["text"].startswith("ERROR: the arguments")
    assert answer.outcome == "answered"


def test_a_response_that_failed_on_the_server_is_tried_again(ask: Ask) -> None:
    failed = message(status="failed", error={"code": "server_error", "message": "Something broke"})
    answer, served = ask(failed, message(SEGMENT), message(SUBMIT))
    assert len(served.requests) == 3
    assert answer.trace.steps[1].data["faults"] == ["Something broke"]


def test_a_response_that_failed_for_good_ends_the_run(ask: Ask) -> None:
    failed = message(status="failed", error={"code": "invalid_image", "message": "The image is broken"})
    answer, served = ask(failed)
    assert (answer.reason, len(served.requests)) == ("openai:gpt-6-sol: The image is broken", 1)


def test_an_empty_purse_is_no_rate_limit(ask: Ask) -> None:
    answer, served = ask(error(429, "insufficient_quota", "You exceeded your quota", code="insufficient_quota"))
    assert (answer.outcome, len(served.requests)) == ("failed", 1)


def test_a_missing_key_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(LLMConfigError, match=r"^openai: no key; set the environment variable OPENAI_API_KEY$"):
        load_llm("openai:gpt-6-sol")


def test_a_conversation_that_another_llm_began_can_be_continued() -> None:
    call = ToolCall("rules-1-1", "segment_concepts", {"image_id": "img1", "concepts": ["cup"]})
    result = ToolResult("rules-1-1", "segment_concepts", "nothing found")
    conversation = (
        Message("system", "s"),
        Message("user", "hello"),
        Message("assistant", "I look", calls=(call,)),
        Message("tool", results=(result,)),
    )
    request = request_of("gpt-6-sol", 100, conversation, LOOP_TOOLS)
    assert OpenAIDialect().problems(request) == []
    assert [item.get("type", "message") for item in request["input"]] == [
        "message",
        "message",
        "function_call",
        "function_call_output",
    ]


def test_the_server_of_these_tests_refuses_bad_requests() -> None:
    request = request_of("gpt-6-sol", 100, (Message("user", "hello"),), LOOP_TOOLS)
    assert OpenAIDialect().problems({**request, "max_output_tokens": "many"}) != []
    assert OpenAIDialect().problems({**request, "input": [{"type": "message", "role": "robot", "content": 7}]}) != []
    orphan = {"type": "function_call_output", "call_id": "x", "output": "y"}
    assert OpenAIDialect().problems({**request, "input": [orphan]}) != []
