"""The LLM for Chat Completions servers, with and without native tool calls."""

import json
from typing import Any

import pytest

from sam3_agent.errors import LLMConfigError
from sam3_agent.llm.chat_completions import ChatLLM
from sam3_agent.llm.tool_calls import read_text
from sam3_agent.loop.load_llm import load_llm
from sam3_agent.tools import LOOP_TOOLS
from tests.llm.fixtures_llm import Ask, asker
from tests.llm.wire.chat import ChatDialect, error, message, use

SEGMENT = use("segment_concepts", {"image_id": "img1", "concepts": ["red circle", "square"]})
SUBMIT = use("submit_answer", {"mask_ids": ["m1"], "reason": "the larger red circle"}, "call_3")
NAMES = [tool.name for tool in LOOP_TOOLS]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    return asker(monkeypatch, "chat")


def written(name: str, arguments: dict[str, Any]) -> str:
    return "I look.\n```tool\n" + json.dumps({"name": name, "arguments": arguments}) + "\n```"


SEGMENT_TEXT = written("segment_concepts", {"image_id": "img1", "concepts": ["red circle"]})
SUBMIT_TEXT = written("submit_answer", {"mask_ids": ["m1"], "reason": "r"})


def test_pictures_follow_the_results_in_a_user_message(ask: Ask) -> None:
    _, served = ask(message(SEGMENT), message(SUBMIT))
    *_, called, result, shown = served.requests[1]["messages"]
    assert [called["role"], result["role"], shown["role"]] == ["assistant", "tool", "user"]
    assert isinstance(result["content"], str)
    assert [part["type"] for part in shown["content"]] == ["text", "image_url"]
    assert shown["content"][0]["text"] == "pictures of segment_concepts (call_1):"


def test_a_server_that_refuses_tools_gets_them_as_text(ask: Ask) -> None:
    no = error(400, "invalid_request_error", "registry.ollama.ai/library/llava:7b does not support tools")
    answer, served = ask(no, message(SEGMENT_TEXT), message(SUBMIT_TEXT))
    assert answer.outcome == "answered"
    assert ["tools" in request for request in served.requests] == [True, False, False]
    assert "### segment_concepts" in served.requests[1]["messages"][0]["content"]
    *_, wrote, told = served.requests[2]["messages"]
    assert wrote == {"role": "assistant", "content": SEGMENT_TEXT}
    assert told["role"] == "user"
    assert told["content"][0]["text"].startswith("result of segment_concepts:\n'red circle'")
    assert told["content"][-1]["type"] == "image_url"


def test_a_model_that_writes_its_calls_although_it_has_tools_is_understood(ask: Ask) -> None:
    answer, served = ask(message(SEGMENT_TEXT), message(SUBMIT))
    assert answer.outcome == "answered"
    assert served.requests[1]["messages"][-3]["tool_calls"][0]["function"]["name"] == "segment_concepts"


def test_an_llm_may_be_told_that_there_are_no_native_tools(ask: Ask) -> None:
    answer, served = ask(message(SEGMENT_TEXT), message(SUBMIT_TEXT), options={"native_tools": False})
    assert answer.outcome == "answered"
    assert not any("tools" in request for request in served.requests)


def test_a_judge_without_native_tools_writes_its_verdict(ask: Ask) -> None:
    verdict = written("give_verdict", {"rejected": ["m2"], "reasons": ["too small"]})
    other = written("submit_answer", {"mask_ids": ["m2"], "reason": "r"})
    lines = [message(text) for text in (SEGMENT_TEXT, other, verdict, SUBMIT_TEXT)]
    answer, served = ask(*lines, options={"native_tools": False}, judge="once")
    assert [instance.id for instance in answer.instances] == ["m1"]
    assert "### give_verdict" in served.requests[2]["messages"][0]["content"]
    assert "### submit_answer" not in served.requests[2]["messages"][0]["content"]
    assert "m2 rejected: too small" in json.dumps(served.requests[3]["messages"][-1])


def test_a_written_call_that_is_no_json_is_shown_to_the_model(ask: Ask) -> None:
    broken = '```tool\n{"name": "submit_answer", "arguments": {"mask_ids": [m1]}}\n```'
    answer, served = ask(message(SEGMENT_TEXT), message(broken), message(SUBMIT_TEXT), options={"native_tools": False})
    assert "ERROR: the arguments are no JSON" in json.dumps(served.requests[2]["messages"][-1])
    assert answer.outcome == "answered"


def test_what_vllm_shows_of_the_thinking_is_in_the_trace(ask: Ask) -> None:
    answer, _ = ask(message(SEGMENT, reasoning_content="Two are red."), message(SUBMIT))
    assert answer.trace.steps[1].data["thoughts"] == "Two are red."


def test_a_refusal_and_a_content_filter_end_the_run(ask: Ask) -> None:
    assert ask(message(refusal="No."))[0].reason == "the model refused: No."
    assert ask(message(stop="content_filter"))[0].reason == "the model refused: the provider's content filter"


def test_a_call_that_was_cut_off_is_not_made(ask: Ask) -> None:
    answer, served = ask(
        message(SEGMENT), message(use("submit_answer", '{"mask', "c2"), stop="length"), message(SUBMIT)
    )
    assert "cut off in the middle" in json.dumps(served.requests[2]["messages"][-1])
    assert answer.outcome == "answered"


def test_calls_without_an_id_get_one(ask: Ask) -> None:
    answer, served = ask(message({**SEGMENT, "id": ""}), message(SUBMIT))
    assert served.requests[1]["messages"][-2]["tool_call_id"] == "call-1-0"
    assert answer.outcome == "answered"


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (SEGMENT_TEXT, [("segment_concepts", {"image_id": "img1", "concepts": ["red circle"]})]),
        ('{"name": "look", "arguments": {}}', [("look", {})]),
        ('<tool>{"name": "look", "parameters": {"image_id": "img1"}}</tool>', [("look", {"image_id": "img1"})]),
        ('<tool_call>\n{"name": "look", "arguments": "{}"}\n</tool_call>', [("look", {})]),
        ('```json\n{"tool": "look", "args": {"x": 1}}\n```', [("look", {"x": 1})]),
        ('{"type": "function", "function": {"name": "look", "arguments": {}}}', [("look", {})]),
        (
            '[{"name": "look", "arguments": {}}, {"name": "look", "arguments": {"y": 2}}]',
            [("look", {}), ("look", {"y": 2})],
        ),
        ('{"name": "fly", "arguments": {}}', [("fly", {})]),
        ('<think>I could <tool>{"name": "look", "arguments": {}}</tool></think> No.', []),
        ('<think>never closed {"name": "look", "arguments": {}}', []),
        ("The set {m1, m2} is {fine}.", []),
        ('{"name": "a red circle"}', []),
        ("```\n{}\n```", []),
        ("", []),
    ],
)
def test_calls_are_read_out_of_text(text: str, calls: list[tuple[str, Any]]) -> None:
    said = read_text(text, NAMES, turn=1)
    assert [(call.name, call.arguments) for call in said.calls] == calls
    assert all(not call.problem for call in said.calls)


def test_thoughts_are_kept_apart() -> None:
    said = read_text("<think>two</think>\nI see.", NAMES, turn=1)
    assert (said.thoughts, said.text) == ("two", "I see.")


def test_keys_go_only_to_the_host_they_belong_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "SAM3_CHAT_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    gemini = "chat:gemini-2.5-pro@https://generativelanguage.googleapis.com/v1beta/openai/"
    with pytest.raises(LLMConfigError, match=r"^chat: no key; set the environment variable GEMINI_API_KEY$"):
        load_llm(gemini)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert _key(load_llm("chat:qwen3-vl@http://localhost:11434/v1")) == "none"
    monkeypatch.setenv("GEMINI_API_KEY", "g-secret")
    assert _key(load_llm(gemini)) == "g-secret"
    assert _key(load_llm("chat:m@http://example.test/v1")) == "none"


def _key(llm: Any) -> str:
    return llm._client.api_key


@pytest.mark.parametrize("spec", ["chat:model", "chat:model@localhost:11434", "chat:@http://localhost"])
def test_a_spec_without_a_url_says_how_it_is_written(spec: str) -> None:
    with pytest.raises(LLMConfigError, match="is no MODEL@BASE_URL"):
        load_llm(spec)


def test_a_key_in_the_url_is_refused() -> None:
    with pytest.raises(LLMConfigError, match="put the key into SAM3_CHAT_API_KEY"):
        ChatLLM("m", "https://user:secret@example.test/v1")


def test_the_server_of_these_tests_refuses_bad_requests() -> None:
    turn = {"role": "user", "content": [{"type": "text", "text": "hello"}]}
    assert ChatDialect().problems({"model": "m", "messages": [turn]}) == []
    assert (
        ChatDialect().problems({"model": "m", "messages": [{"role": "user", "content": [{"type": "picture"}]}]}) != []
    )
    assert (
        ChatDialect().problems({"model": "m", "messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]})
        != []
    )
