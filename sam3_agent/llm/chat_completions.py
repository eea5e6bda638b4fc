"""Any model over Chat Completions (Gemini, vLLM, Ollama and others), through the openai SDK."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from sam3_agent.errors import LLMConfigError, LLMError
from sam3_agent.llm.base import Message, Reply, Stop
from sam3_agent.llm.pricing import TABLE, Price, PriceTable
from sam3_agent.llm.provider import Provider, ProviderLLM, key_of
from sam3_agent.llm.retry import RetryPolicy, TransientError
from sam3_agent.llm.tool_calls import read_call, read_text
from sam3_agent.llm.transport import bounded_client
from sam3_agent.tools import ToolSpec

if TYPE_CHECKING:
    from openai import OpenAI
import json
from dataclasses import dataclass, replace

from sam3_agent.llm.base import ToolResult
from sam3_agent.llm.image_encoding import jpeg_url
from sam3_agent.llm.provider import Spent, count_of
from sam3_agent.llm.tool_calls import explain_tools, write_call
from sam3_agent.render import Picture


@dataclass(frozen=True, slots=True)
class RawToolCall:
    """One native call as it came; an empty id means that the server gave none."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ParsedCompletion:
    """Parsed answer of a Chat Completions server."""

    text: str
    calls: tuple[RawToolCall, ...]
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


def read_completion(completion: Any) -> ParsedCompletion:
    """A whole answer.

    Raises:
        TransientError: it is none.
    """
    from openai.types.chat import ChatCompletion as Kind

    if (
        not isinstance(completion, Kind)
        or not isinstance(cast(Any, completion.choices), list)
        or not completion.choices
    ):
        raise TransientError(f"the answer is no chat completion: {completion!r:.120}")
    message = cast(Any, completion.choices[0].message)
    if message is None:
        raise TransientError("the answer has no message")
    calls = [
        RawToolCall(str(call.id or ""), str(call.function.name or ""), _text_of(call.function.arguments))
        for call in cast(list[Any], message.tool_calls or [])
        if getattr(call, "function", None) is not None
    ]
    return ParsedCompletion(
        _content(message.content),
        tuple(calls),
        str(completion.choices[0].finish_reason or "stop"),
        str(message.refusal or ""),
        _thoughts(message),
        _spent(completion.usage),
    )


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
    """Return the thinking that vLLM ("reasoning_content") and others ("reasoning") show."""
    extra = cast(dict[str, Any], getattr(message, "model_extra", None) or {})
    return str(extra.get("reasoning_content") or extra.get("reasoning") or "")


def _text_of(arguments: Any) -> str:
    """Arguments as JSON text; some servers send an object."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _spent(usage: Any) -> Spent:
    if usage is None:
        return Spent(0, 0, 0, 0)
    details = usage.prompt_tokens_details
    read = count_of(getattr(details, "cached_tokens", 0))
    written = count_of(getattr(details, "cache_write_tokens", 0))
    return Spent.of(count_of(usage.prompt_tokens) - read - written, read, written, usage.completion_tokens)


KEY_VARIABLE = "SAM3_CHAT_API_KEY"
_KEYS_BY_HOST = {
    "generativelanguage.googleapis.com": ("GEMINI_API_KEY", "GOOGLE_API_KEY", KEY_VARIABLE),
    "api.openai.com": ("OPENAI_API_KEY", KEY_VARIABLE),
    "openrouter.ai": ("OPENROUTER_API_KEY", KEY_VARIABLE),
}
_OWN_HOSTS = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
_STOPS: dict[str, Stop] = {"length": "truncated", "content_filter": "refused"}


class ChatLLM(ProviderLLM):
    """A model behind a Chat Completions server.

    Tool results cannot hold pictures there, so these follow in a user message. A server that refuses tools, or a model
    that writes its calls as text, is understood too: then the tools are explained in the system prompt. The key is
    SAM3_CHAT_API_KEY, or GEMINI_API_KEY and the like for the hosts they belong to; another host never gets those.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        native_tools: bool = True,
        policy: RetryPolicy | None = None,
        prices: PriceTable = TABLE,
    ) -> None:
        self._native = native_tools
        self._client = _connect(base_url)
        import openai

        if urlsplit(base_url).hostname in _OWN_HOSTS and prices.price_of(model) is None:
            prices = PriceTable({model: Price(0, 0, 0, 0)})  # one's own server costs nothing a token
        name = f"chat:{model}@{base_url}"
        super().__init__(
            Provider(name, model, openai, base_url, replace(policy or RetryPolicy(), repeat_late=False), prices),
            self._client,
        )

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The next assistant message.

        Raises:
            LLMError: the server could not be reached or refused the request, retries included.
        """
        if self._native and tools:
            try:
                return self._ask(messages, tools, native=True)
            except LLMError as error:
                if not _refuses_tools(str(error)):
                    raise
                self._native = False
        return self._ask(messages, tools, native=False)

    def _ask(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, native: bool) -> Reply:
        request: dict[str, Any] = {
            "model": self._provider.model,
            "messages": messages_of(messages, tools, native=native),
        }
        if native:
            request["tools"] = tools_of(tools)
        done = self._provider.call(lambda timeout: self._send(request, timeout))
        return self._read(done.value, done.faults, messages, tools)

    def _send(self, request: dict[str, Any], timeout: float) -> ParsedCompletion:
        api = cast(Any, self._client.chat.completions)
        return read_completion(api.create(**request, timeout=timeout))

    def _read(
        self, said: ParsedCompletion, faults: tuple[str, ...], messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> Reply:
        stop: Stop = "refused" if said.refusal else _STOPS.get(said.finish, "done")
        turn = sum(message.role == "assistant" for message in messages) + 1
        names = [tool.name for tool in tools]
        parts = read_text(said.text, names, turn=turn, cut=stop == "truncated")
        last = len(said.calls) - 1
        calls = tuple(
            read_call(c.id or f"call-{turn}-{i}", c.name, c.arguments, cut=stop == "truncated" and i == last)
            for i, c in enumerate(said.calls)
        )
        why = said.refusal or ("the provider's content filter" if stop == "refused" else "")
        raw = None if calls else ({"text": said.text},)
        message = Message("assistant", parts.text, calls=calls or parts.calls, raw=raw)
        thoughts = "\n".join(part for part in (said.thoughts, parts.thoughts) if part)
        return self._provider.reply(message, said.spent, stop=stop, thoughts=thoughts, why=why, faults=faults)


def _refuses_tools(message: str) -> bool:
    """Whether a server's refusal is about tools as such, as Ollama and vLLM word it."""
    said = message.lower()
    return any(status in said for status in ("http 400", "http 404", "http 422", "http 501")) and any(
        word in said
        for word in ("support tools", "tool choice", "tool-call", "tool_choice", "tool use", "tools are not")
    )


def _connect(base_url: str) -> "OpenAI":
    address = urlsplit(base_url)
    if address.username or address.password:
        raise LLMConfigError(f"chat: put the key into {KEY_VARIABLE}, not into the URL")
    host = address.hostname or ""
    if host in _KEYS_BY_HOST:
        key = key_of("chat", *_KEYS_BY_HOST[host])
    else:
        key = os.environ.get(KEY_VARIABLE, "").strip() or "none"
    try:
        import openai
    except ImportError as error:
        raise LLMConfigError("chat: the package is not installed; run: pip install openai") from error
    # retry.py asks again
    return openai.OpenAI(api_key=key, base_url=base_url, max_retries=0, http_client=bounded_client(openai))
