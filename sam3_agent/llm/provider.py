"""Base of the LLMs behind an API: retries, prices, one line for every error."""

import logging
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from sam3_agent.errors import LLMConfigError, LLMError
from sam3_agent.llm.base import Message, Reply, Stop, ToolCall
from sam3_agent.llm.pricing import PRICES_AS_OF, PRICES_VARIABLE, PriceTable
from sam3_agent.llm.retry import Attempted, RetryPolicy, map_sdk_errors, retry

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens of one reply, each counted once."""

    fresh: int
    cache_read: int
    cache_write: int
    output: int

    @classmethod
    def of(cls, fresh: Any, cache_read: Any, cache_write: Any, output: Any) -> "Spent":
        """Take what a server says it counted; what is no sensible count is 0."""
        return cls(count_of(fresh), count_of(cache_read), count_of(cache_write), count_of(output))

    @property
    def prompt(self) -> int:
        """All tokens of the prompt."""
        return self.fresh + self.cache_read + self.cache_write


MOST_TOKENS = 100_000_000
"""Of one reply; no context window has more than some millions. A server that counts more is not believed."""
MOST_TEXT = 200_000
"""Characters of a reply's text, thoughts or note that are kept: 16,000 tokens have about 64,000."""


def count_of(value: Any) -> int:
    """Return a server's count of tokens: 0 where it is missing, negative, endless or beyond MOST_TOKENS."""
    return int(value) if isinstance(value, int | float) and 0 <= value <= MOST_TOKENS else 0


def sane(value: Any) -> Any:
    """Copy plain data of a reply with texts that can be written as UTF-8: lone surrogates become question marks."""
    if isinstance(value, str):
        return value[:MOST_TEXT].encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {sane(key): sane(each) for key, each in cast(dict[Any, Any], value).items()}
    if isinstance(value, list):
        return [sane(each) for each in cast(list[Any], value)]
    if isinstance(value, tuple):
        return tuple(sane(each) for each in cast(tuple[Any, ...], value))
    return value


def _sane_message(message: Message) -> Message:
    calls = tuple(
        ToolCall(sane(call.id), sane(call.name), sane(call.arguments), sane(call.problem)) for call in message.calls
    )
    return replace(message, text=sane(message.text), calls=calls, raw=sane(message.raw))


class Provider:
    """Calls one model on one server through its SDK."""

    def __init__(self, name: str, model: str, sdk: Any, base_url: str, policy: RetryPolicy, prices: PriceTable) -> None:
        self.name = name
        self.model = model
        self.sdk = sdk
        self.base_url = base_url
        self._policy = policy
        self._prices = prices
        self.unpriced = ""
        if prices.price_of(model) is None:
            self.unpriced = f"no price of {model!r} is known (table of {PRICES_AS_OF}); its cost counts as 0 USD"
            logger.warning("%s, and max_usd cannot hold; %s may name a file of prices", self.unpriced, PRICES_VARIABLE)

    def call(self, send: Callable[[float], T]) -> Attempted[T]:
        """Send a request, again while its failures pass; `send` gets the timeout of the attempt in seconds.

        Raises:
            LLMError: it failed for good; the message begins with the name of the LLM.
        """
        try:
            return retry(lambda timeout: map_sdk_errors(self.sdk, self.base_url, lambda: send(timeout)), self._policy)
        except LLMError as error:
            raise LLMError(f"{self.name}: {error}") from error

    def reply(
        self, message: Message, spent: Spent, *, stop: Stop, thoughts: str, why: str, faults: tuple[str, ...]
    ) -> Reply:
        """The reply with its price; `why` is what the API said about its end."""
        return Reply(
            _sane_message(message),
            input_tokens=spent.prompt,
            output_tokens=spent.output,
            cached_tokens=spent.cache_read,
            usd=self.usd(spent),
            stop=stop,
            thoughts=sane(thoughts),
            note=sane("; ".join(part for part in (why, self.unpriced) if part)),
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
    """Base class of every LLM behind an API; `client` is the SDK's, closed when the LLM goes."""

    def __init__(self, provider: Provider, client: Any) -> None:
        self._provider = provider
        # Nobody closes an LLM. Left to the garbage collector, a client that stands in a cycle (the SDKs' do) may see
        # its open sockets collected before itself; a finalizer runs before either.
        weakref.finalize(self, client.close).atexit = False

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
