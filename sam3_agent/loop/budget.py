"""Budget of a run, and the meter of its cost."""

import time
from dataclasses import dataclass, field, replace

from sam3_agent.llm.base import Reply
from sam3_agent.llm.clock import Clock
from sam3_agent.types import Usage


@dataclass(slots=True)
class Meter:
    """Counts what one run costs, from the moment it is made."""

    turns: int = 0
    llm_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    clock: Clock = time.monotonic
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def tokens(self) -> int:
        """All tokens, in and out."""
        return self.input_tokens + self.output_tokens

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    def count(self, reply: Reply) -> None:
        """Add the price of one reply."""
        self.input_tokens += reply.input_tokens
        self.output_tokens += reply.output_tokens
        self.usd += reply.usd

    def usage(self, encodes: int) -> Usage:
        """The totals so far."""
        return Usage(
            turns=self.turns,
            llm_calls=self.llm_calls,
            encodes=encodes,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            usd=self.usd,
            seconds=self.seconds,
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one run; None means no limit. Checked before each call of the LLM, so one call may overshoot."""

    max_turns: int = 24
    max_llm_calls: int | None = None
    max_usd: float | None = None
    max_seconds: float | None = None
    max_tokens: int | None = None

    def seconds_left(self, meter: Meter) -> float | None:
        """Until `max_seconds`; None without that limit."""
        return None if self.max_seconds is None else self.max_seconds - meter.seconds

    def spent(self, meter: Meter) -> str:
        """Name the limit that is reached, as a reason; empty while none is."""
        if meter.turns >= self.max_turns:
            return f"stopped after {meter.turns} turns (max_turns={self.max_turns})"
        if self.max_llm_calls is not None and meter.llm_calls >= self.max_llm_calls:
            return f"stopped after {meter.llm_calls} LLM calls (max_llm_calls={self.max_llm_calls})"
        if self.max_usd is not None and meter.usd >= self.max_usd:
            return f"stopped after {meter.usd:.4f} USD (max_usd={self.max_usd:g})"
        if self.max_tokens is not None and meter.tokens >= self.max_tokens:
            return f"stopped after {meter.tokens} tokens (max_tokens={self.max_tokens})"
        return self.time_spent(meter)

    def less(self, usage: Usage) -> "Budget | None":
        """Leave what another run of the same question may use, `max_turns` anew; None when a limit is reached."""
        calls = None if self.max_llm_calls is None else self.max_llm_calls - usage.llm_calls
        usd = None if self.max_usd is None else self.max_usd - usage.usd
        seconds = None if self.max_seconds is None else self.max_seconds - usage.seconds
        tokens = None if self.max_tokens is None else self.max_tokens - usage.input_tokens - usage.output_tokens
        if any(left is not None and left <= 0 for left in (calls, usd, seconds, tokens)):
            return None
        return replace(self, max_llm_calls=calls, max_usd=usd, max_seconds=seconds, max_tokens=tokens)

    def time_spent(self, meter: Meter) -> str:
        """Say that the time is over, as a reason; empty while it is not."""
        if self.max_seconds is not None and meter.seconds >= self.max_seconds:
            return f"stopped after {meter.seconds:.1f} s (max_seconds={self.max_seconds:g})"
        return ""


DEFAULT_BUDGET = Budget()
"""24 turns: most queries take 2 to 4, so a run that is still going has lost its way."""
