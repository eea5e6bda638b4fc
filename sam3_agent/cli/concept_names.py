"""Concepts that a command is given as '@NAME' or as a file, read from their files."""

import re
from collections.abc import Sequence
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.formats.concept_file import SUFFIX, read_concept
from sam3_agent.types import Concept, ConceptPrompt, Exemplar

MARK = "@"
_IN_TEXT = re.compile(r"(?<!\S)@([\w./~-]*[\w/~-])")
"""'@NAME' as a word of its own; a full stop or comma after it belongs to the sentence."""


def read_prompt(text: str, exemplars: Sequence[Exemplar] = ()) -> ConceptPrompt:
    """Read a concept of the command line: a phrase, '@NAME' or FILE.concept.json.

    Raises:
        InputError: it is empty, or names a concept that is not there.
    """
    if text.strip().startswith(MARK):
        learned = read_named(text.strip().removeprefix(MARK))
    elif text.endswith(SUFFIX):
        learned = read_concept(Path(text))
    else:
        return ConceptPrompt(text, tuple(exemplars))
    return ConceptPrompt(learned.phrase, tuple(exemplars), learned)


def read_mentioned(query: str) -> tuple[str, list[Concept]]:
    """Read the concepts that a query mentions as '@NAME'; returns the query with their own names, and them.

    Raises:
        InputError: one of them is not there.
    """
    concepts: dict[str, Concept] = {}

    def named(found: re.Match[str]) -> str:
        concept = concepts.setdefault(found[1], read_named(found[1]))
        return f"{MARK}{concept.name}"

    return _IN_TEXT.sub(named, query), list(concepts.values())


def read_named(name: str) -> Concept:
    """Read NAME.concept.json of the working folder, or of the folder in the name ("shared/logo").

    Raises:
        InputError: there is no such file; the message lists those that are there.
    """
    path = Path(name if name.endswith(SUFFIX) else f"{name}{SUFFIX}").expanduser()
    if path.is_file() and name:
        return read_concept(path)
    where = "this folder" if path.parent == Path() else f"'{path.parent}'"
    known = sorted(f"{MARK}{file.name.removesuffix(SUFFIX)}" for file in path.parent.glob(f"*{SUFFIX}"))
    there = f"known there: {', '.join(known)}" if known else "there is none yet"
    raise InputError(
        f"no concept '{MARK}{name}': {where} holds no {path.name}; {there}"
        f" (sam3-agent learn {path.name.removesuffix(SUFFIX) or 'NAME'} --like IMAGE:X0,Y0,X1,Y1 makes one)"
    )
