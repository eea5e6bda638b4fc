"""Every LLM behind an API, with the server that speaks its wire format: what runs for one runs for all."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sam3_agent.llm.anthropic import AnthropicLLM
from sam3_agent.llm.base import LLM
from sam3_agent.llm.chat_completions import ChatLLM
from sam3_agent.llm.openai import OpenAILLM
from sam3_agent.llm.retry import RetryPolicy
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.types import Answer
from tests.fixtures_workspace import make_workspace
from tests.llm.wire import anthropic, chat, openai
from tests.llm.wire.server import Answering, Api, Sent

WIRES: dict[str, ModuleType] = {"anthropic": anthropic, "openai": openai, "chat": chat}
MODELS = {"anthropic": "claude-opus-5-5", "openai": "gpt-6-sol", "chat": "gemini-2.5-pro"}
HASTY = RetryPolicy(timeout=20.0, retries=2, first_pause=0.01)

Ask = Callable[..., tuple[Answer, Api]]


def make_llm(kind: str, url: str, *, policy: RetryPolicy = HASTY, **options: Any) -> LLM:
    """The LLM; ANTHROPIC_API_KEY and OPENAI_API_KEY must be set, and the base URLs point to `url`."""
    if kind == "anthropic":
        return AnthropicLLM(MODELS[kind], policy=policy, **options)
    if kind == "openai":
        return OpenAILLM(MODELS[kind], policy=policy, **options)
    return ChatLLM(MODELS[kind], f"{url}/v1", policy=policy, **options)


def set_keys(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name in ("ANTHROPIC", "OPENAI"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
    monkeypatch.setenv("SAM3_CHAT_API_KEY", "sk-test")
    # The servers speak plain HTTP; reading this machine's certificates for each client is half of a test's time.
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(Path(__file__).parent))


def asker(monkeypatch: pytest.MonkeyPatch, kind: str) -> Ask:
    """Ask about the workspace's picture, with a server that follows the script; bad requests fail the test."""

    def run(
        *script: Sent,
        answer: Answering | None = None,
        policy: RetryPolicy = HASTY,
        options: dict[str, Any] | None = None,
        **limits: Any,
    ) -> tuple[Answer, Api]:
        with WIRES[kind].api(*script, answer=answer) as served:
            set_keys(monkeypatch, served.url)
            llm = make_llm(kind, served.url, policy=policy, **(options or {}))
            judge = limits.pop("judge", "off")
            agent = Agent(make_workspace(), llm, budget=Budget(**limits), judge=judge)
            given = agent.ask("img1", "the larger red circle")
        assert served.problems == []
        return given, served

    return run
