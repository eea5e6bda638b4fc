"""Chat Completions on the wire: our messages to theirs, their answer to one value."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sam3_agent.llm.base import Message, ToolResult
from sam3_agent.llm.image_encoding import jpeg_url
from sam3_agent.llm.provider import Spent
from sam3_agent.llm.retry import PassingFault
from sam3_agent.llm.tool_calls import explain_tools, write_call
from sam3_agent.render import Picture
from sam3_agent.tools import ToolSpec


@dataclass(frozen=True, slots=True)
class Called:
    """One native call as it came; an empty id means that the server gave none."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Said:
    """One answer, streamed or not."""

    text: str
    calls: tuple[Called, ...]
    finish: str
    refusal: str
    thoughts: str
    spent: Spent


def tools_of(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The tools as functions."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.json_schema},
        }
        for tool in tools
    ]


def messages_of(messages: Sequence[Message], tools: Sequence[ToolSpec], *, native: bool) -> list[dict[str, Any]]:
    """The conversation; without native tools, calls and results are text and the tools stand in the system prompt."""
    system = "\n\n".join(message.text for message in messages if message.role == "system")
    if not native and tools:
        system = f"{system}\n\n{explain_tools(tools)}".strip()
    turns = [turn for message in messages if message.role != "system" for turn in _turns(message, native=native)]
    return [{"role": "system", "content": system}, *turns] if system else turns


def read_completion(completion: Any) -> Said:
    """A whole answer.

    Raises:
        PassingFault: it is none.
    """
    from openai.types.chat import ChatCompletion as Kind

    if (
        not isinstance(completion, Kind)
        or not isinstance(cast(Any, completion.choices), list)
        or not completion.choices
    ):
        raise PassingFault(f"the answer is no chat completion: {completion!r:.120}")
    message = cast(Any, completion.choices[0].message)
    if message is None:
        raise PassingFault("the answer has no message")
    calls = [
        Called(str(call.id or ""), str(call.function.name or ""), _text_of(call.function.arguments))
        for call in cast(list[Any], message.tool_calls or [])
        if getattr(call, "function", None) is not None
    ]
    return Said(
        _content(message.content),
        tuple(calls),
        str(completion.choices[0].finish_reason or "stop"),
        str(message.refusal or ""),
        _thoughts(message),
        _spent(completion.usage),
    )


def read_chunks(chunks: Iterable[Any]) -> Said:
    """A streamed answer put together. Some servers (Gemini's) number no calls: each with a name is a new one."""
    text, refusal, thoughts, finish = "", "", "", ""
    calls: dict[int, list[str]] = {}
    spent = Spent(0, 0, 0, 0)
    for chunk in chunks:
        choices = cast(list[Any], chunk.choices or [])
        if chunk.usage is not None:
            spent = _spent(chunk.usage)
        for choice in choices[:1]:
            delta: Any = choice.delta
            finish = str(choice.finish_reason or finish)
            if delta is None:
                continue
            text += _content(delta.content)
            refusal += delta.refusal or ""
            thoughts += _thoughts(delta)
            for piece in cast(list[Any], delta.tool_calls or []):
                _add(calls, piece)
    called = tuple(Called(parts[0], parts[1], parts[2]) for _, parts in sorted(calls.items()))
    return Said(text, called, finish, refusal, thoughts, spent)


def _add(calls: dict[int, list[str]], piece: Any) -> None:
    function = piece.function
    name = (function.name if function is not None else "") or ""
    number = piece.index if isinstance(piece.index, int) else len(calls) - (not name)
    parts = calls.setdefault(max(0, number), ["", "", ""])
    parts[0] = parts[0] or str(piece.id or "")
    parts[1] += name
    parts[2] += _text_of(function.arguments) if function is not None and function.arguments else ""


def _turns(message: Message, *, native: bool) -> list[dict[str, Any]]:
    if message.role == "assistant":
        return _assistant(message, native=native)
    if message.role == "tool":
        return _results(message.results, native=native)
    return [{"role": "user", "content": [_text(message.text), *(_image(picture) for picture in message.pictures)]}]


def _assistant(message: Message, *, native: bool) -> list[dict[str, Any]]:
    wrote_text = message.raw is not None
    if native and message.calls:
        said = {"content": message.text} if message.text.strip() and not wrote_text else {}
        functions = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in message.calls
        ]
        return [{"role": "assistant", **said, "tool_calls": functions}]
    text = message.text
    if not wrote_text and message.calls:
        text = "\n".join([text, *(write_call(call.name, call.arguments) for call in message.calls)]).strip()
    return [{"role": "assistant", "content": text}] if text.strip() else []


def _results(results: Sequence[ToolResult], *, native: bool) -> list[dict[str, Any]]:
    """Results as tool messages, their pictures in one user message behind them; or all of it in that one."""
    pictured = [result for result in results if result.pictures]
    if native:
        told = [{"role": "tool", "tool_call_id": result.call_id, "content": _words(result)} for result in results]
        if not pictured:
            return told
        content: list[dict[str, Any]] = []
    else:
        told = []
        content = [_text(f"result of {result.name}:\n{_words(result)}") for result in results]
    for result in pictured:
        content.append(_text(f"pictures of {result.name} ({result.call_id}):"))
        content += [_image(picture) for picture in result.pictures]
    return [*told, {"role": "user", "content": content}]


def _words(result: ToolResult) -> str:
    return f"ERROR: {result.text}" if result.is_error else result.text or "done"


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(picture: Picture) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": jpeg_url(picture), "detail": "high"}}


def _content(content: Any) -> str:
    """Text content; some servers send a list of parts."""
    if isinstance(content, list):
        parts = cast(list[Any], content)
        return "".join(str(cast(dict[str, Any], part).get("text") or "") for part in parts if isinstance(part, dict))
    return str(content or "")


def _thoughts(message: Any) -> str:
    """What vLLM ("reasoning_content") and others ("reasoning") show of the thinking."""
    extra = cast(dict[str, Any], getattr(message, "model_extra", None) or {})
    return str(extra.get("reasoning_content") or extra.get("reasoning") or "")


def _text_of(arguments: Any) -> str:
    """Arguments as JSON text; some servers send an object."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _spent(usage: Any) -> Spent:
    if usage is None:
        return Spent(0, 0, 0, 0)
    details = usage.prompt_tokens_details
    read = int(getattr(details, "cached_tokens", 0) or 0)
    written = int(getattr(details, "cache_write_tokens", 0) or 0)
    prompt = int(usage.prompt_tokens or 0)
    return Spent(max(0, prompt - read - written), read, written, int(usage.completion_tokens or 0))
