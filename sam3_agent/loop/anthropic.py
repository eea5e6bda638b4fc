"""Claude over the Messages API, through the anthropic SDK."""

import base64
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from sam3_agent.errors import LLMConfigError, LLMError
from sam3_agent.loop.llm import Message, Reply, Stop, ToolCall, ToolResult
from sam3_agent.loop.prices import PRICES_AS_OF, price_of
from sam3_agent.render import Picture, encode_picture
from sam3_agent.tools import ToolSpec

if TYPE_CHECKING:
    from anthropic import Anthropic
    from anthropic.types import Message as Response

logger = logging.getLogger(__name__)

MAX_TOKENS = 16_000
"""A reply's limit, thinking included."""
TIMEOUT = 180.0
"""Seconds for one attempt."""
MAX_RETRIES = 4
"""The SDK's own, with backoff and Retry-After: dropped connections, 408, 409, 429, 500 and above."""

_CACHED = {"type": "ephemeral"}
_STOPS: dict[str, Stop] = {
    "refusal": "refused",
    "max_tokens": "truncated",
    "model_context_window_exceeded": "truncated",
}


class AnthropicLLM:
    """A Claude model. ANTHROPIC_API_KEY names the key, ANTHROPIC_BASE_URL another server that speaks the same API.

    Tools, system prompt and conversation are marked for the prompt cache; thinking stays as the model's default has it,
    and its blocks go back as they came, as the API demands.
    """

    def __init__(
        self,
        model: str,
        *,
        client: "Anthropic | None" = None,
        max_tokens: int = MAX_TOKENS,
        timeout: float = TIMEOUT,
        max_retries: int = MAX_RETRIES,
    ) -> None:
        self.model = model
        self._max_tokens = max_tokens
        self._client = client if client is not None else _connect(timeout, max_retries)
        self._unpriced = ""
        if price_of(model) is None:
            self._unpriced = f"no price of {model!r} is known (table of {PRICES_AS_OF}); its cost counts as 0 USD"
            logger.warning("%s, and max_usd cannot hold", self._unpriced)

    @property
    def name(self) -> str:
        """The spec that loads it."""
        return f"anthropic:{self.model}"

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The next assistant message.

        Raises:
            LLMError: the API could not be reached or refused the request, after the SDK's retries.
        """
        import anthropic

        request = request_of(self.model, self._max_tokens, messages, tools)
        try:
            response = cast(Any, self._client.messages).create(**request)
        except anthropic.APIStatusError as error:
            raise LLMError(
                f"{self.name}: HTTP {error.status_code}: {_first_line(error.api_message or error.message)}"
            ) from error
        except anthropic.APIConnectionError as error:
            why = error.__cause__ or error
            raise LLMError(f"{self.name}: cannot reach {self._client.base_url}: {_first_line(str(why))}") from error
        except anthropic.AnthropicError as error:
            raise LLMError(f"{self.name}: {_first_line(str(error))}") from error
        if not isinstance(response, anthropic.types.Message) or not isinstance(cast(Any, response.content), list):
            raise LLMError(f"{self.name}: the answer is no message: {response!r:.120}")
        return self._read(response)

    def _read(self, response: "Response") -> Reply:
        usage = response.usage
        read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
        prompt = usage.input_tokens + read + written
        price = price_of(self.model, prompt)
        stop = _STOPS.get(response.stop_reason or "", "done")
        details = response.stop_details
        why = (details.explanation or details.category or "") if details is not None else ""
        return Reply(
            message_of(response, truncated=stop == "truncated"),
            input_tokens=prompt,
            output_tokens=usage.output_tokens,
            cached_tokens=read,
            usd=price.usd(fresh=usage.input_tokens, cache_read=read, cache_write=written, output=usage.output_tokens)
            if price is not None
            else 0.0,
            stop=stop,
            thoughts="\n".join(b.thinking for b in response.content if b.type == "thinking" and b.thinking),
            note="; ".join(part for part in (why, self._unpriced) if part),
        )


def request_of(model: str, max_tokens: int, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> dict[str, Any]:
    """The keyword arguments of `messages.create`: a pure function of the conversation."""
    system = "\n\n".join(message.text for message in messages if message.role == "system")
    described: list[dict[str, Any]] = [
        {"name": tool.name, "description": tool.description, "input_schema": tool.json_schema} for tool in tools
    ]
    turns = [turn for message in messages if (turn := _turn(message))]
    if described:
        described[-1]["cache_control"] = _CACHED
    if turns and turns[-1]["role"] == "user":
        turns[-1]["content"][-1]["cache_control"] = _CACHED
    request: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "messages": turns, "tools": described}
    if system:
        request["system"] = [{"type": "text", "text": system, "cache_control": _CACHED}]
    return request


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
    given = block.get("input")
    problem = ""
    if cut:
        problem = (
            "your reply was cut off in the middle of this call, so it was not made; make it again, and think briefly"
        )
    elif not isinstance(given, dict):
        problem = f"the arguments must be a JSON object, got {given!r:.80}; make the call again"
    arguments = cast(dict[str, Any], given) if isinstance(given, dict) else {}
    return ToolCall(str(block.get("id")), str(block.get("name")), arguments, problem)


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
        return {"role": "user", "content": [_result(result) for result in message.results]}
    return {"role": "user", "content": [_text(message.text), *(_image(picture) for picture in message.pictures)]}


def _blocks_of(message: Message) -> list[dict[str, Any]]:
    """The blocks of an assistant message that another brain wrote."""
    said = [_text(message.text)] if message.text.strip() else []
    calls = [{"type": "tool_use", "id": c.id, "name": c.name, "input": c.arguments} for c in message.calls]
    return [*said, *calls]


def _result(result: ToolResult) -> dict[str, Any]:
    content = [_text(result.text or "done"), *(_image(picture) for picture in result.pictures)]
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": result.call_id, "content": content}
    return {**block, "is_error": True} if result.is_error else block


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(picture: Picture) -> dict[str, Any]:
    data, media_type = encode_picture(picture)
    coded = base64.b64encode(data).decode("ascii")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": coded}}


def _connect(timeout: float, max_retries: int) -> "Anthropic":
    if not (os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN")):
        raise LLMConfigError("anthropic: no key; set the environment variable ANTHROPIC_API_KEY")
    try:
        import anthropic
    except ImportError as error:
        raise LLMConfigError("anthropic: the package is not installed; run: pip install anthropic") from error
    return anthropic.Anthropic(timeout=timeout, max_retries=max_retries)


def _first_line(text: str) -> str:
    return " ".join(text.split())[:300]
