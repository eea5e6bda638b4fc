"""An LLM that says what it was told to say: the shipped double of `LLM`."""

import threading
from collections.abc import Callable, Sequence

from sam3_agent.errors import LLMError
from sam3_agent.llm.base import Message, Reply, ToolCall
from sam3_agent.tools import ToolSpec

Line = str | ToolCall | tuple[ToolCall, ...] | Message | Reply | BaseException | Callable[[Sequence[Message]], "Line"]
"""Text, a call, several calls, a whole message or reply, an exception to raise, or a function of the conversation."""


class ScriptedLLM:
    """Gives its lines in order, one a reply; when they are used up it raises LLMError.

    `seen` keeps the conversation of every reply, `tools` the names that were offered with the latest.
    """

    def __init__(self, *lines: Line, name: str = "scripted", sees: bool = False) -> None:
        self._lines = lines
        self._name = name
        self._sees = sees
        self._lock = threading.Lock()
        self.seen: list[tuple[Message, ...]] = []
        self.tools: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name it was given, or "scripted"."""
        return self._name

    @property
    def sees(self) -> bool:
        """Return the next line of the script."""
        return self._sees

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The next line."""
        with self._lock:
            number = len(self.seen)
            self.seen.append(tuple(messages))
            self.tools = tuple(tool.name for tool in tools)
        if number >= len(self._lines):
            raise LLMError(f"the script has {len(self._lines)} lines and was asked for one more")
        return _spoken(self._lines[number], messages)


def _spoken(line: Line, messages: Sequence[Message]) -> Reply:
    if callable(line):
        return _spoken(line(messages), messages)
    if isinstance(line, BaseException):
        raise line
    if isinstance(line, Reply):
        return line
    if isinstance(line, Message):
        return Reply(line)
    if isinstance(line, str):
        return Reply(Message("assistant", line))
    return Reply(Message("assistant", calls=line if isinstance(line, tuple) else (line,)))
