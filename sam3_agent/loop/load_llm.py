"""Choice of an LLM by its spec: `rules`, `anthropic:MODEL`, `openai:MODEL`, `chat:MODEL@URL`, `replay:FILE`."""

import os
import re

from sam3_agent.errors import LLMConfigError
from sam3_agent.llm.base import LLM

SPEC_FORMS = "rules | anthropic:MODEL | openai:MODEL | chat:MODEL@BASE_URL | replay:FILE"


_CHAT = re.compile(r"^(?P<model>.+?)@(?P<url>https?://\S+)$")


def load_llm(spec: str) -> LLM:
    """Load an LLM by its spec, one of SPEC_FORMS; SAM3_AGENT_PRICES may name a file of prices.

    Raises:
        LLMConfigError: the spec is unknown, or its key or package is missing.
        InputError: the file of prices or of a recording cannot be read.
    """
    kind, _, rest = spec.strip().partition(":")
    if kind == "rules" and not rest:
        from sam3_agent.planner import RulesLLM

        return RulesLLM()
    if kind == "replay" and rest:
        from sam3_agent.llm.recording import ReplayLLM

        return ReplayLLM(rest)
    if kind in ("anthropic", "openai", "chat") and rest:
        return _load_model(kind, rest)
    raise LLMConfigError(f"unknown model spec {spec!r}; use one of: {SPEC_FORMS}")


def _load_model(kind: str, rest: str) -> LLM:
    """A model behind an API."""
    from sam3_agent.llm.pricing import PRICES_VARIABLE, TABLE, read_prices

    own = os.environ.get(PRICES_VARIABLE)
    prices = read_prices(own) if own else TABLE
    if kind == "anthropic":
        from sam3_agent.llm.anthropic import AnthropicLLM

        return AnthropicLLM(rest, prices=prices)
    if kind == "openai":
        from sam3_agent.llm.openai import OpenAILLM

        return OpenAILLM(rest, prices=prices)
    from sam3_agent.llm.chat_completions import ChatLLM

    found = _CHAT.match(rest)
    if found is None:
        raise LLMConfigError(f"chat: {rest!r} is no MODEL@BASE_URL, such as chat:qwen3-vl@http://localhost:11434/v1")
    return ChatLLM(found["model"], found["url"], prices=prices)
