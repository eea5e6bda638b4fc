"""Remarks on label files: what was read in another way than it stands there, and what was left out."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sam3_agent.errors import InputError

logger = logging.getLogger(__name__)

MOST_SHOWN = 12
"""Kinds of remarks that are written out; a file with ten thousand broken lines must not bury the screen."""


@dataclass(frozen=True, slots=True)
class Note:
    """One remark."""

    place: str
    """File and entry, such as "labels.json: annotation 7" or "labels/a.txt:3"."""
    words: str
    lost: int = 0
    """Labels that were left out for it."""


class Notes:
    """Remarks on the files that are read; strict ones turn the first loss into an error."""

    def __init__(self, *, strict: bool = False) -> None:
        """`strict` is for truth that figures depend on: there nothing may be left out."""
        self._strict = strict
        self._notes: list[Note] = []

    @property
    def all(self) -> tuple[Note, ...]:
        """Every remark, in order."""
        return tuple(self._notes)

    @property
    def lost(self) -> int:
        """Labels that were left out."""
        return sum(note.lost for note in self._notes)

    def tolerate(self, place: str, words: str) -> None:
        """Remember that something was read in another way than it stands there, and nothing is lost."""
        logger.info("%s: %s", place, words)
        self._notes.append(Note(place, words))

    def leave_out(self, place: str, words: str, labels: int = 1) -> None:
        """Remember that labels were left out.

        Raises:
            InputError: the notes are strict.
        """
        if self._strict:
            raise InputError(f"{place}: {words}")
        self._notes.append(Note(place, words, labels))


def note_lines(notes: Sequence[Note]) -> list[str]:
    """Give one line for each kind of remark, losses first, with the first place and the number of the others."""
    kinds: dict[tuple[bool, str], list[Note]] = {}
    for note in notes:
        kinds.setdefault((note.lost == 0, note.words), []).append(note)
    lines: list[str] = []
    for (harmless, words), same in sorted(kinds.items(), key=lambda item: item[0][0]):
        more = f" (and {len(same) - 1} more)" if len(same) > 1 else ""
        lost = sum(note.lost for note in same)
        left_out = "" if harmless else f"; {lost} {'label' if lost == 1 else 'labels'} left out"
        lines.append(f"{same[0].place}{more}: {words}{left_out}")
    hidden = len(lines) - MOST_SHOWN
    return [*lines[:MOST_SHOWN], f"... and {hidden} more kinds of remarks"] if hidden > 0 else lines
