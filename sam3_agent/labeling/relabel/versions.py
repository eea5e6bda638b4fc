"""Versions of the classes of a run: concepts that decisions taught, each in a file beside the journal.

A class is asked by its last version that was kept. What is asked of an image, and which labels came of it, names the
version: "@gear.v2" is `concepts/gear.v2.concept.json` of the run's folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from sam3_agent.errors import InputError
from sam3_agent.formats.concept_file import SUFFIX, read_concept
from sam3_agent.labeling.ontology.ontology import LabelClass, Ontology, ontology_of
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.types import Concept

FOLDER = "concepts"
_KEY = "versions"
_LONGEST = 48
"""Characters of a class in a concept's name, which has at most 64."""
How = Literal["taught", "learned"]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a class."""

    class_name: Annotated[str, pydantic.Field(min_length=1, max_length=1000)]
    name: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """Of the concept: "gear.v2"."""
    how: How
    """Taught by gradient, or learned from the examples where there were too few to teach."""
    digest: Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the decisions that it is of, and of the recipe."""
    kept: bool
    """Whether it found more of what people decided than what was asked before."""
    says: Annotated[str, pydantic.Field(max_length=1000)]
    """Result on the images that people decided, for people."""


_VERSIONS = pydantic.TypeAdapter(list[Version])


def versions_of(journal: Journal) -> list[Version]:
    """List every version that a round made, oldest first; raises InputError where the journal is damaged."""
    try:
        return _VERSIONS.validate_python(journal.meta(_KEY) or [])
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InputError(f"the journal {journal.path} holds damaged versions: {first['msg']:.200}") from error


def versions_json(versions: Sequence[Version]) -> dict[str, object]:
    """Give the entry of the journal that remembers them."""
    return {_KEY: _VERSIONS.dump_python(list(versions), mode="json")}


def next_name(class_name: str, known: Sequence[Version]) -> str:
    """Name the next version of a class; classes whose names differ in signs alone get different ones."""
    base = "".join(c if c.isascii() and c.isalnum() else "-" for c in class_name)[:_LONGEST]
    base = base if base[:1].isalnum() else f"class{base}"
    number = 1 + sum(each.class_name == class_name for each in known)
    while any(each.name == f"{base}.v{number}" for each in known):
        number += 1
    return f"{base}.v{number}"


def concept_path(folder: Path, name: str) -> Path:
    """Place of a version's file in the folder of a run."""
    return folder / FOLDER / f"{name}{SUFFIX}"


def with_versions(ontology: Ontology, journal: Journal) -> Ontology:
    """Give the classes with the version that each is asked by.

    Raises:
        InputError: the file of a version is gone or damaged.
    """
    kept = {each.class_name: each for each in versions_of(journal) if each.kept}
    folder = journal.path.parent
    return Ontology(tuple(_versioned(each, kept.get(each.name), folder) for each in ontology.classes))


def run_ontology(journal: Journal) -> Ontology:
    """Read the classes that a run was begun with, each with its version.

    Raises:
        InputError: the run has not begun, or its journal is damaged.
    """
    return with_versions(ontology_of(journal.meta("ontology") or {}), journal)


def _versioned(each: LabelClass, version: Version | None, folder: Path) -> LabelClass:
    if version is None:
        return each
    concept: Concept = read_concept(concept_path(folder, version.name))
    return replace(each, taught=replace(concept, name=version.name))
