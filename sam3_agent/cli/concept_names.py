"""Concepts that a command is given as '@NAME' or as a file, read from their files."""

import re
from collections.abc import Sequence
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.formats.adapter_folder import adapter_concepts, split_model
from sam3_agent.formats.concept_file import SUFFIX, read_concept
from sam3_agent.types import Concept, ConceptPrompt, Exemplar

MARK = "@"
_IN_TEXT = re.compile(r"(?<!\S)@([\w./~-]*[\w/~-])")
"""'@NAME' as a word of its own; a full stop or comma after it belongs to the sentence."""


def read_prompt(text: str, exemplars: Sequence[Exemplar] = (), model: str = "") -> ConceptPrompt:
    """Read a concept of the command line: a phrase, '@NAME' or FILE.concept.json.

    Args:
        text: as it was given.
        exemplars: asked together with it.
        model: as `--model` names it; its adapters have names too.

    Raises:
        InputError: it is empty, or names a concept that is not there.
    """
    if text.strip().startswith(MARK):
        learned = read_named(text.strip().removeprefix(MARK), model)
    elif text.endswith(SUFFIX):
        learned = read_concept(Path(text))
    else:
        return ConceptPrompt(text, tuple(exemplars))
    return ConceptPrompt(learned.phrase, tuple(exemplars), learned)


def read_mentioned(query: str, model: str = "") -> tuple[str, list[Concept]]:
    """Read the concepts that a query mentions as '@NAME'; returns the query with their own names, and them.

    `model` is as in `read_prompt`.

    Raises:
        InputError: one of them is not there.
    """
    concepts: dict[str, Concept] = {}

    def named(found: re.Match[str]) -> str:
        concept = concepts.setdefault(found[1], read_named(found[1], model))
        return f"{MARK}{concept.name}"

    return _IN_TEXT.sub(named, query), list(concepts.values())


def read_named(name: str, model: str = "") -> Concept:
    """Read NAME.concept.json of the working folder, or of the folder in the name ("shared/logo").

    Adapters of the model that are called so come first: who names an adapter means it.

    Raises:
        InputError: there is no such file; the message lists those that are there.
        ModelUnavailable: the model names an adapter that is not there.
    """
    brought = adapter_concepts(split_model(model)[1])
    if name in brought:
        return brought[name]
    path = Path(name if name.endswith(SUFFIX) else f"{name}{SUFFIX}").expanduser()
    if path.is_file() and name:
        return read_concept(path)
    where = "this folder" if path.parent == Path() else f"'{path.parent}'"
    known = sorted(f"{MARK}{file.name.removesuffix(SUFFIX)}" for file in path.parent.glob(f"*{SUFFIX}"))
    known += [f"{MARK}{each} (an adapter)" for each in brought]
    there = f"known there: {', '.join(known)}" if known else "there is none yet"
    raise InputError(
        f"no concept '{MARK}{name}': {where} holds no {path.name}; {there}"
        f" (sam3-agent learn {path.name.removesuffix(SUFFIX) or 'NAME'} --like IMAGE:X0,Y0,X1,Y1 makes one)"
    )
