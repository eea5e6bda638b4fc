"""YAML of strangers: what it stands for is bounded before anything is built of it."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from sam3_agent.errors import InputError
from sam3_agent.formats.notes import Notes
from sam3_agent.formats.yaml_document import (
    MOST_CHARACTERS,
    YamlTooLarge,
    compose_yaml,
    dump_yaml,
    load_yaml,
    load_yaml_texts,
)
from sam3_agent.formats.yolo import read_dataset

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in pairwise("abcdefghij")
)
BOMBS = [
    LAUGHS,
    "a: &a {b: 1}\n" + "".join(f"k{n}: {{<<: *a}}\n" for n in range(100_000)),
    "a: &a [*a]",
    "x: &x {y: {z: [*x]}}",
    "- " * 50_000,
    "x" * (MOST_CHARACTERS + 1),
]


@pytest.mark.parametrize("load", [load_yaml, load_yaml_texts, compose_yaml])
@pytest.mark.parametrize("text", BOMBS)
def test_a_document_that_stands_for_too_much_is_refused(load: Callable[[str], object], text: str) -> None:
    with pytest.raises(YamlTooLarge) as caught:
        load(text)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", BOMBS)
def test_a_data_yaml_that_stands_for_too_much_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=r"data\.yaml") as caught:
        read_dataset(tmp_path / "data.yaml", Notes())
    assert "\n" not in str(caught.value)


def test_ordinary_documents_are_read_and_written(tmp_path: Path) -> None:
    text = "names: &n [no, 'yes', 1]\nagain: *n\nmore: {a: 1.5, b: null}\n"
    assert load_yaml(text) == {"names": [False, "yes", 1], "again": [False, "yes", 1], "more": {"a": 1.5, "b": None}}
    assert load_yaml_texts(text) == {
        "names": ["no", "yes", "1"],
        "again": ["no", "yes", "1"],
        "more": {"a": "1.5", "b": "null"},
    }
    assert load_yaml(dump_yaml({"b": [1, "zwölf"], "a": {}})) == {"b": [1, "zwölf"], "a": {}}
    assert compose_yaml("") is None
