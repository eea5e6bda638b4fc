"""A spec loads an LLM, or one line says what is wrong with it."""

from pathlib import Path

import pytest

from sam3_agent.errors import InputError, LLMConfigError
from sam3_agent.llm.base import LLM
from sam3_agent.llm.pricing import Price, price_of, read_prices
from sam3_agent.llm.retry import RetryPolicy
from sam3_agent.loop.load_llm import load_llm, with_patience


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


@pytest.mark.parametrize(
    "spec",
    ["", "claude", "anthropic", "anthropic:", "rules:strict", "gemini:x", "scripted", "openai:", "chat:", "replay:"],
)
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


def test_dates_and_previews_in_a_model_id_do_not_matter() -> None:
    assert price_of("gpt-5.4-mini-2026-03-17") == price_of("gpt-5.4-mini")
    assert price_of("models/gemini-3.1-pro-preview") == price_of("gemini-3.1-pro")


def test_the_users_own_prices_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "prices.json"
    file.write_text('{"gpt-6-sol": {"input": 1, "output": 2}, "mine": {"input": 3, "output": 4, "cache_read": 0.5}}')
    table = read_prices(file)
    assert table.price_of("gpt-6-sol") == Price(1, 2, 1, 1)
    assert table.price_of("mine") == Price(3, 4, 0.5, 3)
    assert table.price_of("claude-opus-5") == price_of("claude-opus-5")
    monkeypatch.setenv("SAM3_AGENT_PRICES", str(file))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    assert load_llm("openai:mine").name == "openai:mine"


BAD_PRICES = (
    "",
    "[]",
    '{"m": 3}',
    '{"m": {"input": 1}}',
    '{"m": {"input": 1, "output": "2"}}',
    '{"m": {"input": -1, "output": 1}}',
    '{"m": {"input": 1, "output": 1, "per": 7}}',
)


@pytest.mark.parametrize("text", BAD_PRICES)
def test_a_bad_file_of_prices_is_one_clear_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "prices.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"prices\.json"):
        read_prices(file)


def policy_of(llm: LLM) -> RetryPolicy:
    return llm._provider._policy  # pyright: ignore[reportAttributeAccessIssue]  # the one thing that is set


@pytest.fixture
def _a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    for name in ("SAM3_AGENT_LLM_TIMEOUT", "SAM3_AGENT_LLM_RETRIES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_a_key")
def test_timeout_and_retries_come_from_the_call_then_the_spec_then_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = "anthropic:claude-opus-5-5?timeout=900&retries=0"
    assert policy_of(load_llm("anthropic:claude-opus-5-5")) == RetryPolicy()
    monkeypatch.setenv("SAM3_AGENT_LLM_TIMEOUT", "60")
    assert policy_of(load_llm("anthropic:claude-opus-5-5")) == RetryPolicy(timeout=60)
    assert policy_of(load_llm(spec)) == RetryPolicy(timeout=900, retries=0)
    assert policy_of(load_llm(spec, timeout=5, retries=2)) == RetryPolicy(timeout=5, retries=2)


def test_a_local_server_never_gets_a_request_twice_because_it_is_slow() -> None:
    llm = load_llm("chat:qwen3-vl@http://localhost:11434/v1?timeout=900")
    assert llm.name == "chat:qwen3-vl@http://localhost:11434/v1"
    assert policy_of(llm) == RetryPolicy(timeout=900, repeat_late=False)


def test_a_query_of_the_url_itself_stays_there() -> None:
    assert load_llm("chat:m@http://localhost:1/v1?key=7").name == "chat:m@http://localhost:1/v1?key=7"


@pytest.mark.usefixtures("_a_key")
@pytest.mark.parametrize("query", ["timeout=0", "timeout=soon", "retries=-1", "retries=nan", "timeout=1e9"])
def test_absurd_options_are_refused_in_one_line(query: str) -> None:
    with pytest.raises(LLMConfigError, match="is no number from"):
        load_llm(f"anthropic:claude-opus-5-5?{query}")


def test_options_are_put_into_a_spec_where_one_text_must_carry_them() -> None:
    url = "chat:m@http://localhost:1/v1"
    assert with_patience(url, 900, 0) == f"{url}?timeout=900&retries=0"
    assert with_patience(f"{url}?timeout=5&retries=3", None, 0) == f"{url}?timeout=5&retries=0"
    assert with_patience(f"{url}?key=7", 2.5, None) == f"{url}?key=7?timeout=2.5"
    assert with_patience(url, None, None) == url
    assert with_patience("rules", 5, 1) == "rules"
    assert with_patience("replay:recording.jsonl", 5, 1) == "replay:recording.jsonl"
    assert policy_of(load_llm(with_patience(f"{url}?key=7", 2.5, None))).timeout == 2.5
