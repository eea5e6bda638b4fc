"""Prices of tokens: a small dated table, which a file of the user's may override."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sam3_agent.errors import InputError
from sam3_agent.formats.reading import read_json

PRICES_AS_OF = "2026-11-20"
"""Prices change. Claude's were read from https://platform.claude.com/docs/en/about-claude/pricing; OpenAI's and
Google's from pages of others, not from their own: check those before money depends on them."""
PRICES_VARIABLE = "SAM3_AGENT_PRICES"
"""Names a JSON file: {"MODEL": {"input": 2, "output": 10, "cache_read": 0.2, "cache_write": 2.5}}, USD per million."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens."""

    input: float
    output: float
    cache_read: float
    cache_write: float
    """For the five-minute cache."""

    def usd(self, *, fresh: int, cache_read: int, cache_write: int, output: int) -> float:
        """The price of one call, by tokens of each sort."""
        total = (
            fresh * self.input + cache_read * self.cache_read + cache_write * self.cache_write + output * self.output
        )
        return total / 1_000_000


def _price(input: float, output: float, read_share: float = 0.1, write_share: float = 1.25) -> Price:
    """Cache reads cost `read_share` of the input, cache writes `write_share` times as much as it."""
    return Price(input, output, input * read_share, input * write_share)


PRICES: dict[str, Price] = {
    "claude-fable-5-1": _price(10, 50, 0.025),
    "claude-mythos-5-1": _price(10, 50, 0.025),
    "claude-fable-5": _price(10, 50),
    "claude-mythos-5": _price(10, 50),
    "claude-opus-5-5": _price(4, 20, 0.05),
    "claude-opus-5": _price(5, 25),
    "claude-opus-4-8": _price(5, 25),
    "claude-opus-4-7": _price(5, 25),
    "claude-opus-4-6": _price(5, 25),
    "claude-opus-4-5": _price(5, 25),
    "claude-sonnet-5-5": _price(2, 10, 0.05),
    "claude-sonnet-5": _price(2, 10),
    "claude-sonnet-4-6": _price(3, 15),
    "claude-sonnet-4-5": _price(3, 15),
    "claude-haiku-5-5": _price(0.10, 0.50),
    "claude-haiku-4-5": _price(1, 5),
    "gpt-6.2-astra": _price(8, 40),
    "gpt-6.2-sol": _price(2, 10, 0.05),
    "gpt-6.1-sol": _price(2, 10, 0.05),
    "gpt-6-astra": _price(10, 50),
    "gpt-6-sol": _price(2, 10),
    "gpt-6-luna": _price(0.10, 0.50),
    "gpt-5.6-sol": _price(4, 20, write_share=1),
    "gpt-5.6-terra": _price(2, 12, write_share=1),
    "gpt-5.6-luna": _price(0.20, 1.20, write_share=1),
    "gpt-5.5": _price(5, 30, write_share=1),
    "gpt-5.4": _price(2.5, 15, write_share=1),
    "gpt-5.4-mini": _price(0.75, 4.5, write_share=1),
    "gemini-3.5-flash": _price(1.5, 9, write_share=1),
    "gemini-3.1-pro": _price(2, 12, write_share=1),
    "gemini-3.1-flash-lite": _price(0.25, 1.5, write_share=1),
    "gemini-3-flash": _price(0.5, 3, write_share=1),
    "gemini-2.5-pro": _price(1.25, 10, write_share=1),
    "gemini-2.5-flash": _price(0.30, 2.5, write_share=1),
    "gemini-2.5-flash-lite": _price(0.10, 0.40, write_share=1),
}
_LONG_PROMPTS: dict[str, tuple[int, Price]] = {
    "claude-haiku-5-5": (100_000, _price(0.50, 2.50)),
    "gpt-6.1-sol": (272_000, _price(4, 15, 0.05)),
    "gpt-6-sol": (272_000, _price(4, 15)),
    "gpt-6-luna": (272_000, _price(0.20, 0.75)),
    "gemini-3.1-pro": (200_000, _price(4, 18, write_share=1)),
    "gemini-2.5-pro": (200_000, _price(2.5, 15, write_share=1)),
}
"""Model -> (prompt tokens from which another price holds, that price)."""
_SUFFIX = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest|preview(?:-[\d-]+)?)$")


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by model id; `own` ones go before the table of this file."""

    own: Mapping[str, Price]

    def price_of(self, model: str, prompt_tokens: int = 0) -> Price | None:
        """The price of a model by its id, with or without a date or "models/" in front; None when unknown."""
        name = model.removeprefix("models/")
        for known in (name, _SUFFIX.sub("", name)):
            if known in self.own:
                return self.own[known]
            if known in _LONG_PROMPTS and prompt_tokens > _LONG_PROMPTS[known][0]:
                return _LONG_PROMPTS[known][1]
            if known in PRICES:
                return PRICES[known]
        return None


TABLE = PriceTable({})


def price_of(model: str, prompt_tokens: int = 0) -> Price | None:
    """The price in the built-in table; see `PriceTable.price_of`."""
    return TABLE.price_of(model, prompt_tokens)


MOST_BYTES = 2**20
"""Of a file of prices; the built-in ones have 5 kB."""


def read_prices(path: str | Path) -> PriceTable:
    """A table with the prices of a JSON file (see PRICES_VARIABLE) over the built-in ones.

    What a cache costs may be left out: reads then cost as much as input, writes too.

    Raises:
        InputError: the file is missing, or some entry is no price; the message names it.
    """
    try:
        given = read_json(Path(path), most=MOST_BYTES, finite=True)
    except InputError as error:
        raise InputError(f"cannot read the prices in {path}: {str(error).removeprefix(f'{path}: ')}") from error
    if not isinstance(given, dict):
        raise InputError(f"{path}: expected an object of models with their prices")
    entries = cast(dict[str, Any], given)
    return PriceTable({model: _own_price(path, model, entry) for model, entry in entries.items()})


def _own_price(path: str | Path, model: str, entry: Any) -> Price:
    fields = cast(dict[str, Any], entry) if isinstance(entry, dict) else {}
    known = {"input", "output", "cache_read", "cache_write"}
    good = all(isinstance(value, int | float) and not isinstance(value, bool) for value in fields.values())
    if not good or not {"input", "output"} <= set(fields) <= known or any(v < 0 for v in fields.values()):
        raise InputError(
            f"{path}: the price of {model!r} must have input and output (and may have cache_read and cache_write), "
            f"each in USD per million tokens, got {entry!r:.120}"
        )
    fresh = float(fields["input"])
    return Price(
        fresh,
        float(fields["output"]),
        float(fields.get("cache_read", fresh)),
        float(fields.get("cache_write", fresh)),
    )
