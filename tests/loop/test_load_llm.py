"""A spec loads a brain, or one line says what is wrong with it."""

import pytest

from sam3_agent.errors import LLMConfigError
from sam3_agent.loop.llm import load_llm
from sam3_agent.loop.prices import price_of
from sam3_agent.loop.prompts import read_prompt


def test_rules_needs_nothing() -> None:
    assert load_llm("rules").name == "rules"


def test_an_anthropic_model_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
    with pytest.raises(LLMConfigError, match=r"^anthropic: no key; set the environment variable ANTHROPIC_API_KEY$"):
        load_llm("anthropic:claude-opus-5-5")


def test_with_a_key_an_anthropic_model_loads_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    assert load_llm("anthropic:claude-opus-5-5").name == "anthropic:claude-opus-5-5"


@pytest.mark.parametrize("spec", ["openai:gpt-6", "chat:gemini@http://localhost", "replay:run.jsonl"])
def test_what_is_not_built_yet_says_so(spec: str) -> None:
    kind = spec.partition(":")[0]
    with pytest.raises(LLMConfigError, match=rf"^{kind}: '.*' is not built yet; use rules or anthropic:MODEL$"):
        load_llm(spec)


@pytest.mark.parametrize("spec", ["", "claude", "anthropic", "anthropic:", "rules:strict", "gemini:x", "scripted"])
def test_an_unknown_spec_lists_the_forms(spec: str) -> None:
    with pytest.raises(LLMConfigError, match=r"use one of: rules \| anthropic:MODEL"):
        load_llm(spec)


def test_a_price_is_found_with_or_without_a_date() -> None:
    assert price_of("claude-haiku-4-5-20251001") == price_of("claude-haiku-4-5")
    assert price_of("claude-unknown-9") is None


def test_a_long_prompt_has_its_own_price() -> None:
    short, long = price_of("claude-haiku-5-5", 50_000), price_of("claude-haiku-5-5", 150_000)
    assert short is not None
    assert long is not None
    assert long.input > short.input


def test_a_price_adds_up_fresh_cached_and_written_tokens() -> None:
    price = price_of("claude-opus-5")
    assert price is not None
    cost = price.usd(fresh=1_000_000, cache_read=1_000_000, cache_write=1_000_000, output=1_000_000)
    assert cost == pytest.approx(5 + 0.5 + 6.25 + 25)


def test_the_system_prompt_stays_short() -> None:
    words = read_prompt("system").text.split()
    assert len(words) < 900  # about 1,500 tokens
