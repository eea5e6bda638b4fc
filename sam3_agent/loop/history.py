"""Conversation as an LLM is shown it: what is old shrinks to a ledger, and the beginning stays the same."""

from collections.abc import Sequence
from dataclasses import replace

from sam3_agent.llm.base import Message, ToolResult
from sam3_agent.tools.read_presence import PresenceReading
from sam3_agent.tools.segment_concepts import Segmented
from sam3_agent.types import Instance, Segmentation

KEPT = 3
"""The latest turns with tool results keep their pictures and words, at least."""
STRIDE = 4
"""Older turns shrink in groups of so many, so that a provider's cache of the beginning is lost rarely."""
_WORDS = 160


def as_shown(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation with old results as a ledger: what was tried, how it scored, and no pictures.

    The task with its preview always stays, and so does every word of the LLM. What a message becomes depends only
    on how many turns follow it, so the same conversation always looks the same.
    """
    turns = [index for index, message in enumerate(messages) if message.results]
    old = max(0, (len(turns) - KEPT) // STRIDE * STRIDE)
    shrunk = set(turns[:old])
    return tuple(_shrunk(message) if index in shrunk else message for index, message in enumerate(messages))


def _shrunk(message: Message) -> Message:
    return replace(message, results=tuple(_ledger(result) for result in message.results))


def _ledger(result: ToolResult) -> ToolResult:
    """One result in a few lines; its data stays, for LLMs that read it."""
    match result.result:
        case Segmented(results=answers):
            lines = [_concept(answer) for answer in answers]
        case PresenceReading(presence=presence):
            lines = [f"'{phrase}': presence {value:.2f}" for phrase, value in presence.items()]
        case _:
            lines = [_cut(result.text)]
    dropped = [
        f"[picture no longer shown: {_cut(picture.caption)}; call look to see it again]" for picture in result.pictures
    ]
    return replace(result, text="\n".join([*lines, *dropped]), pictures=())


def _concept(answer: Segmentation) -> str:
    """Such as: 'cup': presence 0.97; m1 0.93 at (40, 52), m2 0.90 at (80, 60); near misses m3 0.21."""
    found = ", ".join(_mask(instance) for instance in answer.instances) or "nothing found"
    near = ", ".join(f"{miss.id} {miss.score:.2f}" for miss in answer.near_misses[:4])
    missed = f"; near misses {near}" if near else ""
    return f"'{answer.prompt.label}': presence {answer.presence:.2f}; {found}{missed}"


def _mask(instance: Instance) -> str:
    x0, y0, x1, y1 = instance.box
    return f"{instance.id} {instance.score:.2f} at ({(x0 + x1) / 2:.0f}, {(y0 + y1) / 2:.0f})"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WORDS else line[: _WORDS - 3] + "..."
