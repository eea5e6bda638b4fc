"""LLM protocol: messages go in, one reply comes out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sam3_agent.llm.task import Task, VideoTask
from sam3_agent.render import Picture
from sam3_agent.tools import ToolSpec

Role = Literal["system", "user", "assistant", "tool"]
Stop = Literal["done", "truncated", "refused"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that a model asks for; `problem` is set where its arguments could not be read, and says why."""

    id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """Result of one tool call, as a model reads it."""

    call_id: str
    name: str
    text: str
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    pictures: tuple[Picture, ...] = ()
    is_error: bool = False
    result: object = None
    """The value that the tool returned, for programs; None where the call failed."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation: text and pictures; calls (of an assistant) or results (of tools)."""

    role: Role
    text: str = ""
    pictures: tuple[Picture, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()
    raw: tuple[dict[str, Any], ...] | None = None
    """A provider's own content blocks, sent back to that provider as they came; opaque to everyone else."""
    task: Task | VideoTask | None = None
    """Subject of the run, on the message that opens it; `text` says the same in words, for models that read."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of an LLM, with its price."""

    message: Message
    input_tokens: int = 0
    """All tokens of the prompt, cached ones included."""
    output_tokens: int = 0
    cached_tokens: int = 0
    """Those of the input tokens that were read from the provider's cache."""
    usd: float = 0.0
    stop: Stop = "done"
    thoughts: str = ""
    """Thinking that the model shows."""
    note: str = ""
    """Remark of the provider about the stop, or of the client about a price that is not known."""
    faults: tuple[str, ...] = ()
    """Failed attempts before the reply came, a line each."""


class LLM(Protocol):
    """An LLM. Safe to call from several threads; all it knows of a run is in `messages`."""

    @property
    def name(self) -> str:
        """The spec that loads it, such as "anthropic:claude-opus-5-5"."""
        ...

    @property
    def sees(self) -> bool:
        """Whether it looks at pictures, and so can judge an answer."""
        ...

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The next assistant message.

        Raises:
            LLMError: it could not be reached after its own retries, or cannot go on.
        """
        ...


class WrappedLLM:
    """Base class for LLM decorators: shows the name and the abilities of the wrapped one."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm

    @property
    def name(self) -> str:
        """The wrapped LLM's."""
        return self._llm.name

    @property
    def sees(self) -> bool:
        """Whether the wrapped LLM does."""
        return self._llm.sees
