"""What an LLM is shown of a long conversation: what is old shrinks to a ledger, and the beginning stays the same."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from sam3_agent.llm.base import Message, ToolResult

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
    entries = result.data.get("results")
    if result.is_error or not isinstance(entries, list):
        lines = [_cut(result.text)]
    else:
        lines = [_concept(entry) for entry in cast(list[dict[str, Any]], entries)]
    dropped = [
        f"[picture no longer shown: {_cut(picture.caption)}; call look to see it again]" for picture in result.pictures
    ]
    return replace(result, text="\n".join([*lines, *dropped]), pictures=())


def _concept(entry: dict[str, Any]) -> str:
    """Such as: 'cup': presence 0.97; m1 0.93 at (40, 52), m2 0.90 at (80, 60); near misses m3 0.21."""
    found = ", ".join(_mask(mask) for mask in entry.get("instances", ()))
    near = ", ".join(f"{mask['id']} {mask['score']:.2f}" for mask in list(entry.get("near_misses", ()))[:4])
    parts = [f"'{entry['concept']}': presence {entry['presence']:.2f}"]
    parts += [found or "nothing found"] if "instances" in entry else []
    parts += [f"near misses {near}"] if near else []
    return "; ".join(parts)


def _mask(mask: dict[str, Any]) -> str:
    x, y = mask["center"]
    return f"{mask['id']} {mask['score']:.2f} at ({x:.0f}, {y:.0f})"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WORDS else line[: _WORDS - 3] + "..."
