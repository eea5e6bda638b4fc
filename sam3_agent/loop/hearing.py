"""Asking a brain for one call of one tool, and taking no for an answer."""

from collections.abc import Callable, Sequence

from pydantic import BaseModel

from sam3_agent.errors import LLMError, ToolError
from sam3_agent.llm.base import Message, Reply
from sam3_agent.tools import ToolSpec

ATTEMPTS = 2


def hear(
    ask: Callable[[Sequence[Message], Sequence[ToolSpec]], Reply], messages: Sequence[Message], tool: ToolSpec
) -> BaseModel | str:
    """The checked arguments of the call that the brain makes of `tool`, or in words why there are none.

    A reply without a usable call is asked for ATTEMPTS times; a brain that raises LLMError is not asked again.
    """
    why = ""
    for _ in range(ATTEMPTS):
        try:
            reply = ask(messages, (tool,))
        except LLMError as error:
            return str(error)
        call = next((call for call in reply.message.calls if call.name == tool.name), None)
        if call is None or call.problem:
            why = call.problem if call is not None else f"no call of {tool.name}"
            continue
        try:
            return tool.parse(call.arguments)
        except ToolError as error:
            why = str(error)
    return why
