"""What the LLMs behind an API have in common: patience, prices, one line for every error."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sam3_agent.errors import LLMConfigError, LLMError
from sam3_agent.llm.base import Message, Reply, Stop
from sam3_agent.llm.pricing import PRICES_AS_OF, PRICES_VARIABLE, PriceTable
from sam3_agent.llm.retry import Heard, RetryPolicy, persist, translate

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens of one reply, each counted once."""

    fresh: int
    cache_read: int
    cache_write: int
    output: int

    @property
    def prompt(self) -> int:
        """All tokens of the prompt."""
        return self.fresh + self.cache_read + self.cache_write


class Provider:
    """Calls one model on one server through its SDK."""

    def __init__(
        self, name: str, model: str, sdk: Any, base_url: str, patience: RetryPolicy, prices: PriceTable
    ) -> None:
        self.name = name
        self.model = model
        self.sdk = sdk
        self.base_url = base_url
        self._patience = patience
        self._prices = prices
        self.unpriced = ""
        if prices.price_of(model) is None:
            self.unpriced = f"no price of {model!r} is known (table of {PRICES_AS_OF}); its cost counts as 0 USD"
            logger.warning("%s, and max_usd cannot hold; %s may name a file of prices", self.unpriced, PRICES_VARIABLE)

    def call(self, send: Callable[[float], T]) -> Heard[T]:
        """Send a request, again while its failures pass; `send` gets the timeout of the attempt in seconds.

        Raises:
            LLMError: it failed for good; the message begins with the name of the LLM.
        """
        try:
            return persist(lambda timeout: translate(self.sdk, self.base_url, lambda: send(timeout)), self._patience)
        except LLMError as error:
            raise LLMError(f"{self.name}: {error}") from error

    def reply(
        self, message: Message, spent: Spent, *, stop: Stop, thoughts: str, why: str, faults: tuple[str, ...]
    ) -> Reply:
        """The reply with its price; `why` is what the API said about its end."""
        return Reply(
            message,
            input_tokens=spent.prompt,
            output_tokens=spent.output,
            cached_tokens=spent.cache_read,
            usd=self.usd(spent),
            stop=stop,
            thoughts=thoughts,
            note="; ".join(part for part in (why, self.unpriced) if part),
            faults=faults,
        )

    def usd(self, spent: Spent) -> float:
        """The price of a reply; 0 where the model's is not known."""
        price = self._prices.price_of(self.model, spent.prompt)
        if price is None:
            return 0.0
        return price.usd(
            fresh=spent.fresh, cache_read=spent.cache_read, cache_write=spent.cache_write, output=spent.output
        )


class ProviderLLM:
    """What every LLM behind an API shows of itself."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    @property
    def name(self) -> str:
        """The spec that loads it."""
        return self._provider.name

    @property
    def sees(self) -> bool:
        """Yes: a model that sees no pictures is of no use here."""
        return True


def key_of(kind: str, *variables: str) -> str:
    """The first of these environment variables that is set.

    Raises:
        LLMConfigError: none is.
    """
    for variable in variables:
        if key := os.environ.get(variable, "").strip():
            return key
    raise LLMConfigError(f"{kind}: no key; set the environment variable {variables[0]}")
