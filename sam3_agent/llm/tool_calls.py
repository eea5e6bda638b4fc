"""Tool calls in plain text, for models that have no native ones."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, cast

from sam3_agent.formats.reading import MOST_DEPTH, is_deep
from sam3_agent.llm.base import ToolCall
from sam3_agent.tools import ToolSpec

MOST_ARGUMENTS = 100_000
"""Characters of one call's arguments. The longest sound ones, 200 mask ids or 32 points, have under 3,000."""
MOST_NAME = 200
"""Characters of a call's id or of a tool's name; the longest id of a provider has about 50."""
CUT = "your reply was cut off in the middle of this call, so it was not made; make it again, and think briefly"


def read_call(call_id: str, name: str, arguments: Any, *, cut: bool = False) -> ToolCall:
    """A call from its arguments (an object, or the JSON text of one); what cannot be read becomes its problem."""
    if cut:
        return ToolCall(call_id, name, problem=CUT)
    call_id, name = call_id[:MOST_NAME], name[:MOST_NAME]
    if isinstance(arguments, str) and len(arguments) > MOST_ARGUMENTS:
        return ToolCall(
            call_id, name, problem=f"the arguments have {len(arguments)} characters; {MOST_ARGUMENTS} at most"
        )
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError) as error:
            return ToolCall(
                call_id, name, problem=f"the arguments are no JSON ({error}): {arguments!r:.80}; make the call again"
            )
    if is_deep(arguments):
        return ToolCall(call_id, name, problem=f"the arguments are nested more than {MOST_DEPTH} deep")
    if not isinstance(arguments, dict):
        return ToolCall(
            call_id, name, problem=f"the arguments must be a JSON object, got {arguments!r:.80}; make the call again"
        )
    return ToolCall(call_id, name, cast(dict[str, Any], arguments))


_THOUGHTS = re.compile(r"<(think|thinking|reasoning)>(.*?)(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```[\w-]*\s*\n?(.*?)(?:```|\Z)|<tool(?:_call)?>(.*?)(?:</tool(?:_call)?>|\Z)", re.DOTALL)
_ARGUMENTS = ("arguments", "parameters", "args", "input")


@dataclass(frozen=True, slots=True)
class ParsedText:
    """A text taken apart."""

    thoughts: str
    text: str
    """Without the thoughts; the calls are still in it."""
    calls: tuple[ToolCall, ...]


def explain_tools(tools: Sequence[ToolSpec]) -> str:
    """Explain how to call which tools, for the system prompt."""
    described = "\n\n".join(f"### {t.name}\n{t.description}\narguments: {json.dumps(t.json_schema)}" for t in tools)
    return f"{_instruction()}\n\n{described}"


@cache
def _instruction() -> str:
    """Return how to write a call as text; the file beside this one."""
    return resources.files("sam3_agent.llm").joinpath("text_tools.md").read_text(encoding="utf-8").strip()


def write_call(name: str, arguments: Any) -> str:
    """A call as the models are asked to write it."""
    return "```tool\n" + json.dumps({"name": name, "arguments": arguments}) + "\n```"


def read_text(text: str, tools: Iterable[str], *, turn: int, cut: bool = False) -> ParsedText:
    """Take a reply apart; a call is a JSON object with a name and arguments, fenced or bare, outside of the thoughts.

    Where fences hold calls, bare objects are none; a fenced block that is meant as a call but is no JSON becomes a
    call with a problem, which the loop shows to the model. With `cut`, the last call was cut off.
    """
    thoughts = "\n".join(found[2].strip() for found in _THOUGHTS.finditer(text))
    rest = _THOUGHTS.sub("", text).strip()
    known = frozenset(tools)
    blocks = [found[1] or found[2] or "" for found in _FENCE.finditer(rest)]
    raw = [call for block in blocks for call in _calls_in(block, known, fenced=True)]
    if not raw:
        raw = list(_calls_in(rest, known, fenced=False))
    calls = [read_call(f"text-{turn}-{number}", name, given) for number, (name, given) in enumerate(raw, 1)]
    if cut and calls and calls[-1].problem:
        calls[-1] = ToolCall(calls[-1].id, calls[-1].name, problem=CUT)
    return ParsedText(thoughts, rest, tuple(calls))


def _calls_in(text: str, known: frozenset[str], *, fenced: bool) -> Iterable[tuple[str, Any]]:
    """(name, arguments) of each call in a text; arguments that are no JSON stay text."""
    position, found = 0, False
    while (position := text.find("{", position)) >= 0:
        try:
            value, end = json.JSONDecoder().raw_decode(text, position)
        except ValueError:
            position += 1
            continue
        except RecursionError:  # as deep as any model means a call, or deeper, and so is all that follows
            break
        for name, arguments in _named(value, known):
            found = True
            yield name, arguments
        position = end
    meant = next((name for name in known if re.search(rf"\"{name}\"", text)), None)
    if fenced and not found and meant and "{" in text:
        yield meant, text.strip()


def _named(value: Any, known: frozenset[str]) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, dict):
        return
    entry = cast(dict[str, Any], value)
    inner = entry.get("function")
    if isinstance(inner, dict):
        entry = cast(dict[str, Any], inner)
    name = entry.get("name") or entry.get("tool")
    given = next((entry[key] for key in _ARGUMENTS if key in entry), None)
    if isinstance(name, str) and (given is not None or name in known):
        yield name, {} if given is None else given
