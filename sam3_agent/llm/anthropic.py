"""Claude over the Messages API, through the anthropic SDK."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from sam3_agent.errors import LLMConfigError
from sam3_agent.llm.base import Message, Reply, Stop, ToolCall, ToolResult
from sam3_agent.llm.image_encoding import jpeg_base64
from sam3_agent.llm.pricing import TABLE, PriceTable
from sam3_agent.llm.provider import Provider, ProviderLLM, Spent, key_of
from sam3_agent.llm.retry import RetryPolicy, TransientError
from sam3_agent.llm.tool_calls import read_call
from sam3_agent.llm.transport import bounded_client
from sam3_agent.render import Picture
from sam3_agent.tools import ToolSpec

if TYPE_CHECKING:
    from anthropic import Anthropic
    from anthropic.types import Message as Response

MAX_TOKENS = 16_000
"""A reply's limit, thinking included."""

_CACHED = {"type": "ephemeral"}
_STOPS: dict[str, Stop] = {
    "refusal": "refused",
    "max_tokens": "truncated",
    "model_context_window_exceeded": "truncated",
}


class AnthropicLLM(ProviderLLM):
    """A Claude model. ANTHROPIC_API_KEY names the key, ANTHROPIC_BASE_URL another server that speaks the same API.

    Tools, system prompt and conversation are marked for the prompt cache; thinking stays as the model's default has it,
    and its blocks go back as they came, as the API demands.
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
        import anthropic

        url = str(self._client.base_url)
        super().__init__(
            Provider(f"anthropic:{model}", model, anthropic, url, policy or RetryPolicy(), prices), self._client
        )

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The next assistant message.

        Raises:
            LLMError: the API could not be reached or refused the request, retries included.
        """
        request = request_of(self._provider.model, self._max_tokens, messages, tools)
        done = self._provider.call(lambda timeout: self._send(request, timeout))
        return self._read(done.value, done.faults)

    def _send(self, request: dict[str, Any], timeout: float) -> "Response":
        import anthropic

        api = cast(Any, self._client.messages)
        with api.stream(**request, timeout=timeout) as stream:
            for _ in stream:
                pass
            response = stream.current_message_snapshot if _has_begun(stream) else None
        if not isinstance(response, anthropic.types.Message) or not isinstance(cast(Any, response.content), list):
            raise TransientError(f"the answer is no message: {response!r:.120}")
        if response.stop_reason is None or cast(Any, response.usage) is None:
            raise TransientError("the answer broke off")
        return response

    def _read(self, response: "Response", faults: tuple[str, ...]) -> Reply:
        usage = response.usage
        read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
        spent = Spent.of(usage.input_tokens, read, written, usage.output_tokens)
        stop = _STOPS.get(response.stop_reason or "", "done")
        details = response.stop_details
        why = (details.explanation or details.category or "") if details is not None else ""
        thoughts = "\n".join(b.thinking for b in response.content if b.type == "thinking" and b.thinking)
        message = message_of(response, truncated=stop == "truncated")
        return self._provider.reply(message, spent, stop=stop, thoughts=thoughts, why=why, faults=faults)


def _has_begun(stream: Any) -> bool:
    """Whether any of a message has come through a stream that is over."""
    try:
        return stream.current_message_snapshot is not None
    except AssertionError:
        return False


def request_of(model: str, max_tokens: int, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> dict[str, Any]:
    """The keyword arguments of `messages.create`: a pure function of the conversation."""
    system = "\n\n".join(message.text for message in messages if message.role == "system")
    described = tools_of(tools)
    turns = [turn for message in messages if (turn := _turn(message))]
    if described:
        described[-1]["cache_control"] = _CACHED
    if turns and turns[-1]["role"] == "user":
        turns[-1]["content"][-1]["cache_control"] = _CACHED
    request: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "messages": turns, "tools": described}
    if system:
        request["system"] = [{"type": "text", "text": system, "cache_control": _CACHED}]
    return request


def tools_of(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The tools as the API takes them."""
    return [{"name": tool.name, "description": tool.description, "input_schema": tool.json_schema} for tool in tools]


def message_of(response: "Response", *, truncated: bool) -> Message:
    """The assistant message in a response; blocks that the API would not take back are left out of `raw`."""
    blocks = [cast(dict[str, Any], block.to_dict(mode="json", warnings=False)) for block in response.content]
    kept = [block for block in blocks if block.get("type") != "text" or str(block.get("text") or "").strip()]
    text = "\n".join(str(block["text"]).strip() for block in kept if block.get("type") == "text")
    last = blocks[-1] if blocks else None
    calls = [_call(block, cut=truncated and block is last) for block in kept if block.get("type") == "tool_use"]
    raw = tuple(_repaired(block) for block in kept)
    return Message("assistant", text, calls=tuple(calls), raw=raw)


def _call(block: dict[str, Any], *, cut: bool) -> ToolCall:
    return read_call(str(block.get("id")), str(block.get("name")), block.get("input"), cut=cut)


def _repaired(block: dict[str, Any]) -> dict[str, Any]:
    """A call whose arguments are no object goes back with none: the API takes nothing else."""
    if block.get("type") == "tool_use" and not isinstance(block.get("input"), dict):
        return {**block, "input": cast(dict[str, Any], {})}
    return block


def _turn(message: Message) -> dict[str, Any] | None:
    """One message on the wire; None for what the API wants elsewhere or not at all."""
    if message.role == "system":
        return None
    if message.role == "assistant":
        content = list(message.raw) if message.raw is not None else _blocks_of(message)
        return {"role": "assistant", "content": content} if content else None
    if message.role == "tool":
        return {"role": "user", "content": [result_block(result) for result in message.results]}
    return {"role": "user", "content": [_text(message.text), *(_image(picture) for picture in message.pictures)]}


def _blocks_of(message: Message) -> list[dict[str, Any]]:
    """The blocks of an assistant message that another LLM wrote."""
    said = [_text(message.text)] if message.text.strip() else []
    calls = [{"type": "tool_use", "id": c.id, "name": c.name, "input": c.arguments} for c in message.calls]
    return [*said, *calls]


def result_block(result: ToolResult) -> dict[str, Any]:
    """A tool's result as a content block of the user's turn."""
    content = [_text(result.text or "done"), *(_image(picture) for picture in result.pictures)]
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": result.call_id, "content": content}
    return {**block, "is_error": True} if result.is_error else block


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(picture: Picture) -> dict[str, Any]:
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/jpeg", "data": jpeg_base64(picture)},
    }


def _connect() -> "Anthropic":
    if not os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        key_of("anthropic", "ANTHROPIC_API_KEY")
    try:
        import anthropic
    except ImportError as error:
        raise LLMConfigError("anthropic: the package is not installed; run: pip install anthropic") from error
    # retry.py asks again, streams included, and says so in the trace
    return anthropic.Anthropic(max_retries=0, http_client=bounded_client(anthropic))
