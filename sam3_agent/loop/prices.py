"""What tokens cost: a small dated table."""

from dataclasses import dataclass

PRICES_AS_OF = "2026-11-20"
"""Read from https://platform.claude.com/docs/en/about-claude/pricing and the model pages; prices change."""


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


def _price(input: float, output: float, read_share: float = 0.1) -> Price:
    """Cache writes cost 1.25 times the input, cache reads `read_share` of it."""
    return Price(input, output, input * read_share, input * 1.25)


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
}
_LONG_PROMPTS: dict[str, tuple[int, Price]] = {"claude-haiku-5-5": (100_000, _price(0.50, 2.50))}
"""Model -> (prompt tokens from which another price holds, that price)."""


def price_of(model: str, prompt_tokens: int = 0) -> Price | None:
    """The price of a model by its id, with or without a date ("claude-haiku-4-5-20251001"); None when unknown."""
    name = model if model in PRICES else model.rpartition("-")[0] if model[-8:].isdigit() else model
    if name in _LONG_PROMPTS and prompt_tokens > _LONG_PROMPTS[name][0]:
        return _LONG_PROMPTS[name][1]
    return PRICES.get(name)
