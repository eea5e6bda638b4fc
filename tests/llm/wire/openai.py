"""OpenAI's Responses wire format."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)
from pydantic import TypeAdapter

from tests.llm.wire.server import Answering, Api, Sent, misfits, serve

USAGE = {
    "input_tokens": 4200,
    "input_tokens_details": {"cached_tokens": 3000, "cache_write_tokens": 200},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 4250,
}


def message(*output: Mapping[str, Any], status: str = "completed", **more: Any) -> Sent:
    """A response of 1000 fresh, 200 written, 3000 cached and 50 output tokens."""
    body: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "model": "gpt-6-sol",
        "status": status,
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": USAGE,
    }
    return Sent({**body, **more})


def use(name: str, arguments: Any, call_id: str = "call_1") -> dict[str, Any]:
    coded = arguments if isinstance(arguments, str) else json.dumps(arguments)
    item = {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name, "arguments": coded}
    return {**item, "status": "completed"}


def text(words: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": words, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def refusal(words: str) -> dict[str, Any]:
    part = {"type": "refusal", "refusal": words}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def reasoning(summary: str) -> dict[str, Any]:
    parts = [{"type": "summary_text", "text": summary}]
    return {"type": "reasoning", "id": "rs_1", "summary": parts, "encrypted_content": "c2VhbGVk"}


def error(status: int, kind: str, words: str, *, code: str | None = None, **headers: str) -> Sent:
    body = {"error": {"type": kind, "message": words, "code": code, "param": None}}
    return Sent(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def api(*script: Sent, answer: Answering | None = None) -> AbstractContextManager[Api]:
    return serve(OpenAIDialect(), *script, answer=answer)


@cache
def _requests(streaming: bool) -> TypeAdapter[Any]:
    return TypeAdapter(ResponseCreateParamsStreaming if streaming else ResponseCreateParamsNonStreaming)


class OpenAIDialect:
    path = "/responses"

    def problems(self, body: dict[str, Any]) -> list[str]:
        found = misfits(_requests(bool(body.get("stream"))), body)
        items = body["input"]
        open_calls: list[str] = []
        for index, item in enumerate(items):
            kind = item.get("type", "message")
            if kind == "function_call":
                open_calls.append(item["call_id"])
            elif kind == "function_call_output":
                if item["call_id"] not in open_calls:
                    found.append(f"no tool call found for output {item['call_id']}")
                else:
                    open_calls.remove(item["call_id"])
            elif kind == "reasoning" and (
                index + 1 == len(items) or items[index + 1].get("type") not in ("function_call", "message", "reasoning")
            ):
                found.append("a reasoning item was provided without its required following item")
            elif kind == "message" and open_calls:
                found.append(f"no tool output found for {open_calls}")
        return [*found, *([f"no tool output found for {open_calls}"] if open_calls else [])]

    def events(self, body: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any] | str]]:
        if "output" not in body:
            return [("error", {"type": "error", "code": "server_error", "message": "odd", "param": None})]
        begun = {**body, "status": "in_progress", "output": [], "usage": None, "error": None}
        events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
        for index, item in enumerate(body["output"]):
            events.append({"type": "response.output_item.added", "output_index": index, "item": item})
            events.append({"type": "response.output_item.done", "output_index": index, "item": item})
        end = {"completed": "completed", "incomplete": "incomplete"}.get(body["status"], "failed")
        events.append({"type": f"response.{end}", "response": body})
        return [(str(e["type"]), {**e, "sequence_number": number}) for number, e in enumerate(events)]

    def used_up(self) -> Sent:
        return error(500, "server_error", "the script is used up", x_should_retry="false")
