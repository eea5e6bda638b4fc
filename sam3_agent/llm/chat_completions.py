"""Any model over Chat Completions (Gemini, vLLM, Ollama and others), through the openai SDK."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from sam3_agent.errors import LLMConfigError, LLMError
from sam3_agent.llm.base import Message, Reply, Stop
from sam3_agent.llm.pricing import TABLE, Price, PriceTable
from sam3_agent.llm.provider import Provider, ProviderLLM, key_of
from sam3_agent.llm.retry import PassingFault, Patience
from sam3_agent.llm.tool_calls import read_text
from sam3_agent.loop.calls import read_call
from sam3_agent.loop.chat_wire import Said, messages_of, read_chunks, read_completion, tools_of
from sam3_agent.tools import ToolSpec

if TYPE_CHECKING:
    from openai import OpenAI

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
        stream: bool = False,
        native_tools: bool = True,
        patience: Patience | None = None,
        prices: PriceTable = TABLE,
    ) -> None:
        self._stream = stream
        self._native = native_tools
        self._client = _connect(base_url)
        import openai

        if urlsplit(base_url).hostname in _OWN_HOSTS and prices.price_of(model) is None:
            prices = PriceTable({model: Price(0, 0, 0, 0)})  # one's own server costs nothing a token
        name = f"chat:{model}@{base_url}"
        super().__init__(Provider(name, model, openai, base_url, patience or Patience(), prices))

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
        heard = self._provider.call(lambda timeout: self._send(request, timeout))
        return self._read(heard.value, heard.faults, messages, tools)

    def _send(self, request: dict[str, Any], timeout: float) -> Said:
        api = cast(Any, self._client.chat.completions)
        if not self._stream:
            return read_completion(api.create(**request, timeout=timeout))
        options = {"include_usage": True}
        with api.create(**request, stream=True, stream_options=options, timeout=timeout) as chunks:
            said = read_chunks(chunks)
        if not said.finish:
            raise PassingFault("the answer broke off")
        return said

    def _read(
        self, said: Said, faults: tuple[str, ...], messages: Sequence[Message], tools: Sequence[ToolSpec]
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
    return openai.OpenAI(api_key=key, base_url=base_url, max_retries=0)  # loop/retry.py asks again
