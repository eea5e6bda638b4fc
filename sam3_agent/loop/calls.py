"""Calls of a model as providers send them: arguments that are JSON text, or should be."""

import json
from typing import Any, cast

from sam3_agent.llm.base import ToolCall

CUT = "your reply was cut off in the middle of this call, so it was not made; make it again, and think briefly"


def read_call(call_id: str, name: str, arguments: Any, *, cut: bool = False) -> ToolCall:
    """A call from its arguments (an object, or the JSON text of one); what cannot be read becomes its problem."""
    if cut:
        return ToolCall(call_id, name, problem=CUT)
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except ValueError as error:
            return ToolCall(
                call_id, name, problem=f"the arguments are no JSON ({error}): {arguments!r:.80}; make the call again"
            )
    if not isinstance(arguments, dict):
        return ToolCall(
            call_id, name, problem=f"the arguments must be a JSON object, got {arguments!r:.80}; make the call again"
        )
    return ToolCall(call_id, name, cast(dict[str, Any], arguments))
