"""'@NAME' on the command line: a learned concept from its file, never a text."""

from pathlib import Path

import pytest

from sam3_agent.cli.concept_names import read_mentioned, read_prompt
from sam3_agent.errors import InputError
from sam3_agent.formats.concept_file import write_concept
from sam3_agent.types import Concept, ExemplarTokens
from tests.cli.conftest import Run

TOKENS = ExemplarTokens(bytes(4 * 8), 1, 8, "of these weights")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder holds two concepts, shared/ a third."""
    monkeypatch.chdir(tmp_path)
    for name, path in (("logo", "logo"), ("valve", "valve"), ("rivet", "shared/rivet")):
        write_concept(Concept(name, None, TOKENS), Path(f"{path}.concept.json"))


@pytest.mark.parametrize("text", ["@logo", " @logo ", "@logo.concept.json", "logo.concept.json", "@./logo"])
def test_a_name_and_its_file_are_the_same_prompt(text: str) -> None:
    prompt = read_prompt(text)
    assert (prompt.label, prompt.phrase) == ("@logo", None)


def test_a_name_may_have_a_folder() -> None:
    assert read_prompt("@shared/rivet").label == "@rivet"


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no concept '@lgo'.*known there: @logo, @valve"):
        read_prompt("@lgo")
    with pytest.raises(InputError, match=r"'shared' holds no lgo.concept.json; known there: @rivet"):
        read_prompt("@shared/lgo")


@pytest.mark.parametrize("text", ["@", "@ logo", "@nowhere/x"])
def test_a_name_that_is_none_is_an_error_too(text: str) -> None:
    with pytest.raises(InputError, match="no concept"):
        read_prompt(text)


def test_a_query_brings_the_concepts_that_it_mentions() -> None:
    query, concepts = read_mentioned("the leftmost @logo, right of a @shared/rivet. mail me@home")
    assert query == "the leftmost @logo, right of a @rivet. mail me@home"
    assert [concept.name for concept in concepts] == ["logo", "rivet"]


def test_a_query_with_an_unknown_name_is_refused(run: Run, picture: Path) -> None:
    ran = run("ask", picture, "the leftmost @nobody")
    assert ran.status == 1
    assert "known there: @logo, @valve" in ran.error()
