"""Choice of an LLM by its spec: `rules`, `anthropic:MODEL`, `openai:MODEL`, `chat:MODEL@URL`, `replay:FILE`."""

import math
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from sam3_agent.errors import LLMConfigError
from sam3_agent.llm.base import LLM

if TYPE_CHECKING:
    from sam3_agent.llm.retry import RetryPolicy

SPEC_FORMS = "rules | anthropic:MODEL | openai:MODEL | chat:MODEL@BASE_URL | replay:FILE"


_OPTIONS = {"timeout": "SAM3_AGENT_LLM_TIMEOUT", "retries": "SAM3_AGENT_LLM_RETRIES"}
"""Options at the end of a spec, and the environment variable of each."""
_LIMITS = {"timeout": (0.1, 86_400.0), "retries": (0.0, 100.0)}
_CHAT = re.compile(r"^(?P<model>.+?)@(?P<url>https?://\S+)$")


def load_llm(spec: str, *, timeout: float | None = None, retries: int | None = None) -> LLM:
    """Load an LLM by its spec, one of SPEC_FORMS; SAM3_AGENT_PRICES may name a file of prices.

    `timeout` (seconds that a server may be silent) and `retries` come from here, else from the end of the spec
    ("chat:qwen3-vl@http://localhost:11434/v1?timeout=900&retries=0"), else from SAM3_AGENT_LLM_TIMEOUT and
    SAM3_AGENT_LLM_RETRIES, else they are those of `RetryPolicy`.

    Raises:
        LLMConfigError: the spec is unknown, or its key or package is missing.
        InputError: the file of prices or of a recording cannot be read.
    """
    spec, options = _split_options(spec.strip())
    kind, _, rest = spec.partition(":")
    if kind == "rules" and not rest:
        from sam3_agent.planner import RulesLLM

        return RulesLLM()
    if kind == "replay" and rest:
        from sam3_agent.llm.recording import ReplayLLM

        return ReplayLLM(rest)
    if kind in ("anthropic", "openai", "chat") and rest:
        given = {name: str(value) for name, value in (("timeout", timeout), ("retries", retries)) if value is not None}
        return _load_model(kind, rest, _retry_policy({**options, **given}))
    raise LLMConfigError(f"unknown model spec {spec!r}; use one of: {SPEC_FORMS}")


def with_patience(spec: str, timeout: float | None, retries: int | None) -> str:
    """Put options into a spec, so that it can be handed on as one text; they win over those that it has.

    `rules` and recordings never wait, and stay as they are.
    """
    head, options = _split_options(spec.strip())
    if head.partition(":")[0] in ("rules", "replay"):
        return head
    given = {name: f"{value:g}" for name, value in (("timeout", timeout), ("retries", retries)) if value is not None}
    return f"{head}?{urlencode({**options, **given})}" if options or given else head


def _split_options(spec: str) -> tuple[str, dict[str, str]]:
    """Take "?timeout=900&retries=0" off the end of a spec; any other query belongs to the URL."""
    head, mark, query = spec.rpartition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    return (head, options) if mark and options and set(options) <= set(_OPTIONS) else (spec, {})


def _retry_policy(given: dict[str, str]) -> "RetryPolicy":
    """Make the policy of these options and of the environment.

    Raises:
        LLMConfigError: a value is no sensible number.
    """
    from sam3_agent.llm.retry import RetryPolicy

    values: dict[str, float] = {}
    for name, variable in _OPTIONS.items():
        text = given.get(name, os.environ.get(variable, ""))
        if not text:
            continue
        try:
            values[name] = float(text)
        except ValueError:
            values[name] = math.nan
        least, most = _LIMITS[name]
        if not least <= values[name] <= most:
            raise LLMConfigError(f"{name} of the LLM: {text!r} is no number from {least:g} to {most:g}")
    plain = RetryPolicy()
    return RetryPolicy(values.get("timeout", plain.timeout), int(values.get("retries", plain.retries)))


def _load_model(kind: str, rest: str, policy: "RetryPolicy") -> LLM:
    """Load a model behind an API."""
    from sam3_agent.llm.pricing import PRICES_VARIABLE, TABLE, read_prices

    own = os.environ.get(PRICES_VARIABLE)
    prices = read_prices(own) if own else TABLE
    if kind == "anthropic":
        from sam3_agent.llm.anthropic import AnthropicLLM

        return AnthropicLLM(rest, policy=policy, prices=prices)
    if kind == "openai":
        from sam3_agent.llm.openai import OpenAILLM

        return OpenAILLM(rest, policy=policy, prices=prices)
    from sam3_agent.llm.chat_completions import ChatLLM

    found = _CHAT.match(rest)
    if found is None:
        raise LLMConfigError(f"chat: {rest!r} is no MODEL@BASE_URL, such as chat:qwen3-vl@http://localhost:11434/v1")
    return ChatLLM(found["model"], found["url"], policy=policy, prices=prices)
