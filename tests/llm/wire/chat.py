"""The Chat Completions wire format."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter

from tests.llm.wire.openai import error
from tests.llm.wire.server import Answering, Api, Sent, misfits, serve

USAGE = {
    "prompt_tokens": 4200,
    "completion_tokens": 50,
    "total_tokens": 4250,
    "prompt_tokens_details": {"cached_tokens": 3200},
}


def message(*content: Mapping[str, Any] | str, stop: str | None = None, **more: Any) -> Sent:
    """A completion of 1000 fresh, 3200 cached and 50 output tokens; texts and calls as they are given."""
    calls = [dict(part) for part in content if not isinstance(part, str)]
    said = "\n".join(part for part in content if isinstance(part, str))
    answer: dict[str, Any] = {"role": "assistant", "content": said or None, "refusal": None}
    answer |= {"tool_calls": calls} if calls else {}
    finish = stop or ("tool_calls" if calls else "stop")
    body = {
        "id": "chatcmpl_1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "some-model",
        "choices": [{"index": 0, "message": answer | more, "finish_reason": finish, "logprobs": None}],
        "usage": USAGE,
    }
    return Sent(body)


def use(name: str, arguments: Any, call_id: str = "call_1") -> dict[str, Any]:
    coded = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": coded}}


def text(words: str) -> str:
    return words


def api(*script: Sent, answer: Answering | None = None) -> AbstractContextManager[Api]:
    return serve(ChatDialect(), *script, answer=answer)


@cache
def _requests(streaming: bool) -> TypeAdapter[Any]:
    return TypeAdapter(CompletionCreateParamsStreaming if streaming else CompletionCreateParamsNonStreaming)


class ChatDialect:
    path = "/chat/completions"

    def problems(self, body: dict[str, Any]) -> list[str]:
        found = misfits(_requests(bool(body.get("stream"))), body)
        open_calls: list[str] = []
        for turn in body["messages"]:
            if turn["role"] == "tool":
                if turn["tool_call_id"] not in open_calls:
                    found.append(f"no call {turn['tool_call_id']} to answer")
                else:
                    open_calls.remove(turn["tool_call_id"])
            elif open_calls:
                found.append(f"calls {open_calls} were not answered by tool messages")
            if turn["role"] == "assistant":
                open_calls = [call["id"] for call in turn.get("tool_calls", [])]
                if not open_calls and not turn.get("content"):
                    found.append("an assistant message needs content or calls")
        return [*found, *([f"calls {open_calls} were not answered"] if open_calls else [])]

    def events(self, body: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any] | str]]:
        if "choices" not in body:
            return [("", body)]
        choice, deltas = body["choices"][0], []
        said = choice["message"]
        deltas.append({"role": "assistant", "content": ""})
        content = said.get("content") or ""
        deltas += [{"content": part} for part in (content[: len(content) // 2], content[len(content) // 2 :]) if part]
        deltas += [{key: said[key]} for key in ("refusal", "reasoning_content") if said.get(key)]
        for index, call in enumerate(said.get("tool_calls", [])):
            coded = call["function"]["arguments"]
            named = {"name": call["function"]["name"], "arguments": ""}
            deltas.append({"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": named}]})
            for part in (coded[: len(coded) // 2], coded[len(coded) // 2 :]):
                deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
        frame = {key: body[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
        chunks = [{**frame, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
        chunks.append({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
        chunks.append({**frame, "choices": [], "usage": body["usage"]})
        return [*(("", chunk) for chunk in chunks), ("", "[DONE]")]

    def used_up(self) -> Sent:
        return error(500, "server_error", "the script is used up", x_should_retry="false")
