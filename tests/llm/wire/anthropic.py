"""Anthropic's Messages wire format."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from anthropic.types import MessageCreateParams
from pydantic import TypeAdapter

from tests.llm.wire.server import Answering, Api, Sent, misfits, serve

USAGE = {"input_tokens": 1000, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000, "output_tokens": 50}


def message(*content: Mapping[str, Any], stop: str | None = None, **more: Any) -> Sent:
    """An assistant message of 1000 fresh, 200 written, 3000 cached and 50 output tokens."""
    called = any(block["type"] == "tool_use" for block in content)
    body: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": list(content),
        "stop_reason": stop or ("tool_use" if called else "end_turn"),
        "stop_sequence": None,
        "usage": USAGE,
    }
    return Sent({**body, **more})


def use(name: str, arguments: Any, call_id: str = "toolu_1") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def error(status: int, kind: str, words: str, **headers: str) -> Sent:
    body = {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"}
    return Sent(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def api(*script: Sent, answer: Answering | None = None) -> AbstractContextManager[Api]:
    return serve(AnthropicDialect(), *script, answer=answer)


@cache
def _requests() -> TypeAdapter[Any]:
    return TypeAdapter(MessageCreateParams)


class AnthropicDialect:
    path = "/v1/messages"

    def problems(self, body: dict[str, Any]) -> list[str]:
        found = misfits(_requests(), body)
        turns = body["messages"]
        if turns[0]["role"] != "user":
            found.append("the first message must be the user's")
        for before, after in zip(turns, [*turns[1:], None], strict=True):
            calls = [block["id"] for block in before["content"] if block["type"] == "tool_use"]
            answered = [
                block["tool_use_id"] for block in (after or {}).get("content", []) if block["type"] == "tool_result"
            ]
            if calls != answered:
                found.append(f"calls {calls} were answered by {answered}")
            if any(block["type"] == "text" and not block["text"].strip() for block in before["content"]):
                found.append("text content blocks must be non-empty")
        marks = json.dumps(body).count('"cache_control"')
        return [*found, *([f"{marks} cache marks, at most 4"] if marks > 4 else [])]

    def events(self, body: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any] | str]]:
        if "content" not in body:
            return [("message_start", {"type": "message_start", "message": body})]
        usage = body["usage"]
        begun = {**body, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
        events: list[Mapping[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
        for index, block in enumerate(body["content"]):
            empty, deltas = _pieces(block)
            events.append({"type": "content_block_start", "index": index, "content_block": empty})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        ended = {key: body[key] for key in ("stop_reason", "stop_sequence", "stop_details") if key in body}
        events.append({"type": "message_delta", "delta": ended, "usage": {"output_tokens": usage["output_tokens"]}})
        events.append({"type": "message_stop"})
        return [(str(event["type"]), event) for event in events]

    def used_up(self) -> Sent:
        return error(500, "api_error", "the script is used up", x_should_retry="false")


def _pieces(block: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """A content block as it begins, and what is then added to it, in two pieces."""
    if block["type"] == "text":
        half = len(block["text"]) // 2
        parts = (block["text"][:half], block["text"][half:])
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": part} for part in parts]
    if block["type"] == "tool_use":
        coded = json.dumps(block["input"])
        parts = (coded[: len(coded) // 2], coded[len(coded) // 2 :])
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]
    if block["type"] == "thinking":
        thought = {"type": "thinking_delta", "thinking": block["thinking"]}
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return {"type": "thinking", "thinking": "", "signature": ""}, [thought, signed]
    return block, []
