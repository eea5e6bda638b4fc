"""GPT models over OpenAI's Responses API, through the openai SDK."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from sam3_agent.errors import LLMConfigError, LLMError
from sam3_agent.llm.base import Message, Reply, Stop, ToolCall, ToolResult
from sam3_agent.llm.image_encoding import jpeg_url
from sam3_agent.llm.pricing import TABLE, PriceTable
from sam3_agent.llm.provider import Provider, ProviderLLM, Spent, key_of
from sam3_agent.llm.retry import RetryPolicy, TransientError
from sam3_agent.llm.tool_calls import read_call
from sam3_agent.llm.transport import bounded_client
from sam3_agent.render import Picture
from sam3_agent.tools import ToolSpec

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.responses import Response

MAX_TOKENS = 16_000
"""A reply's limit, reasoning included."""
_PASSING_CODES = frozenset({"server_error", "rate_limit_exceeded"})
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class OpenAILLM(ProviderLLM):
    """A GPT model. OPENAI_API_KEY names the key, OPENAI_BASE_URL another server that speaks the same API.

    Nothing is kept on the server (`store` is off): reasoning comes back sealed and is sent again as it came. The
    provider caches prompts by itself; one key for all requests of this program keeps them on one cache.
    """

    def __init__(
        self,
        model: str,
        *,
        max_tokens: int = MAX_TOKENS,
        policy: RetryPolicy | None = None,
        prices: PriceTable = TABLE,
    ) -> None:
        self._max_tokens = max_tokens
        self._client = _connect()
        import openai

        url = str(self._client.base_url)
        super().__init__(Provider(f"openai:{model}", model, openai, url, policy or RetryPolicy(), prices), self._client)

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The next assistant message.

        Raises:
            LLMError: the API could not be reached or refused the request, retries included.
        """
        request = request_of(self._provider.model, self._max_tokens, messages, tools)
        done = self._provider.call(lambda timeout: self._send(request, timeout))
        return self._read(done.value, done.faults)

    def _send(self, request: dict[str, Any], timeout: float) -> "Response":
        from openai.types.responses import Response as Kind

        api = cast(Any, self._client.responses)
        response: Any = None
        with api.create(**request, stream=True, timeout=timeout) as events:
            for event in events:
                if getattr(event, "type", "") in _ENDS:
                    response = event.response
        if response is None:
            raise TransientError("the answer broke off")
        if not isinstance(response, Kind) or not isinstance(cast(Any, response.output), list):
            raise TransientError(f"the answer is no response: {response!r:.120}")
        if response.status == "failed":
            error = response.error
            said = error.message if error is not None else "the response failed without a reason"
            raise TransientError(said) if error is None or error.code in _PASSING_CODES else LLMError(said)
        return response

    def _read(self, response: "Response", faults: tuple[str, ...]) -> Reply:
        usage = response.usage
        spent = Spent(0, 0, 0, 0)
        if usage is not None:
            details = cast(Any, usage.input_tokens_details)
            read = getattr(details, "cached_tokens", 0) or 0
            written = getattr(details, "cache_write_tokens", 0) or 0
            spent = Spent.of(usage.input_tokens - read - written, read, written, usage.output_tokens)
        stop, why = _stop_of(response)
        thoughts = "\n".join(part.text for item in response.output if item.type == "reasoning" for part in item.summary)
        message = message_of(response, truncated=stop == "truncated")
        return self._provider.reply(message, spent, stop=stop, thoughts=thoughts, why=why, faults=faults)


def request_of(model: str, max_tokens: int, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> dict[str, Any]:
    """The keyword arguments of `responses.create`: a pure function of the conversation."""
    request: dict[str, Any] = {
        "model": model,
        "input": [item for message in messages for item in _items(message)],
        "tools": tools_of(tools),
        "max_output_tokens": max_tokens,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "sam3-agent",
    }
    if system := "\n\n".join(message.text for message in messages if message.role == "system"):
        request["instructions"] = system
    return request


def tools_of(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The tools as functions of the Responses API."""
    return [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.json_schema,
            "strict": False,  # optional arguments stay optional
        }
        for tool in tools
    ]


def message_of(response: "Response", *, truncated: bool) -> Message:
    """The assistant message in a response; `raw` holds its items as the API takes them back."""
    items = [cast(dict[str, Any], item.to_dict(mode="json", warnings=False)) for item in response.output]
    said = [
        str(part.get("text") or "").strip()
        for item in items
        if item.get("type") == "message"
        for part in cast(list[dict[str, Any]], item.get("content") or [])
        if part.get("type") == "output_text"
    ]
    last = items[-1] if items else None
    calls = [_call(item, cut=truncated and item is last) for item in items if item.get("type") == "function_call"]
    kept = [_returned(item) for item in items if _goes_back(item)]
    while kept and kept[-1]["type"] == "reasoning":  # the API refuses reasoning that nothing follows
        kept.pop()
    return Message("assistant", "\n".join(part for part in said if part), calls=tuple(calls), raw=tuple(kept))


def _stop_of(response: "Response") -> tuple[Stop, str]:
    """Return how the response ended, and the API's words about it."""
    refusals = [
        part.refusal
        for item in response.output
        if item.type == "message"
        for part in item.content
        if part.type == "refusal"
    ]
    if refusals:
        return "refused", "; ".join(refusals)
    reason = response.incomplete_details.reason if response.incomplete_details is not None else None
    if reason == "content_filter":
        return "refused", "the provider's content filter"
    return ("truncated" if response.status == "incomplete" else "done"), ""


def _call(item: dict[str, Any], *, cut: bool) -> ToolCall:
    return read_call(str(item.get("call_id")), str(item.get("name")), item.get("arguments"), cut=cut)


def _goes_back(item: dict[str, Any]) -> bool:
    """Sealed reasoning, calls, and texts that are not empty."""
    if item.get("type") == "reasoning":
        return bool(item.get("encrypted_content"))
    if item.get("type") == "message":
        return any(
            str(part.get("text") or "").strip() for part in cast(list[dict[str, Any]], item.get("content") or [])
        )
    return item.get("type") == "function_call"


def _returned(item: dict[str, Any]) -> dict[str, Any]:
    """An output item as input: without its state, and with arguments that are text whatever they were."""
    kept = {key: value for key, value in item.items() if key != "status" and value is not None}
    if kept["type"] == "message":
        return {**kept, "status": "completed"}
    if kept["type"] == "function_call" and not isinstance(kept.get("arguments"), str):
        kept["arguments"] = "{}"
    return kept


def _items(message: Message) -> list[dict[str, Any]]:
    """One message as input items; the system's words go elsewhere."""
    if message.role == "system":
        return []
    if message.role == "assistant":
        return list(message.raw) if message.raw is not None else _items_of(message)
    if message.role == "tool":
        return [result_item(result) for result in message.results]
    content = [_text(message.text), *(_image(picture) for picture in message.pictures)]
    return [{"type": "message", "role": "user", "content": content}]


def _items_of(message: Message) -> list[dict[str, Any]]:
    """The items of an assistant message that another LLM wrote."""
    said = [{"role": "assistant", "content": message.text}] if message.text.strip() else []
    return [*said, *(_called(call) for call in message.calls)]


def _called(call: ToolCall) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": json.dumps(call.arguments)}


def result_item(result: ToolResult) -> dict[str, Any]:
    """A tool's result as an item of the input."""
    words = f"ERROR: {result.text}" if result.is_error else result.text or "done"
    content = [_text(words), *(_image(picture) for picture in result.pictures)]
    return {"type": "function_call_output", "call_id": result.call_id, "output": content}


def _text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def _image(picture: Picture) -> dict[str, Any]:
    return {"type": "input_image", "detail": "high", "image_url": jpeg_url(picture)}


def _connect() -> "OpenAI":
    key = key_of("openai", "OPENAI_API_KEY")
    try:
        import openai
    except ImportError as error:
        raise LLMConfigError("openai: the package is not installed; run: pip install openai") from error
    # retry.py asks again, streams included
    return openai.OpenAI(api_key=key, max_retries=0, http_client=bounded_client(openai))
