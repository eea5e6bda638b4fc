"""The concept file: what it may say, and that every complaint names its line."""

from itertools import pairwise
from pathlib import Path

import pytest

from sam3_agent.errors import InputError
from sam3_agent.labeling.ontology.ontology import Thresholds
from sam3_agent.labeling.ontology.yaml_file import MOST_COMPLAINTS, parse_ontology, read_ontology
from sam3_agent.masks import Rle

FULL = """
accept: 0.8
classes:
  - name: fish
    phrases: [fish, sea  animal, Fish]
    negatives: [bird]
    threshold: 0.4
    attributes:
      habitat: water
      color: [red, blue]
  - name: spoils
    query: what would spoil in heat
    exemplars:
      - {image: a.png, box: [1, 2, 3, 4]}
      - {image: b.png, mask: {size: [4, 4], counts: "0`0"}, positive: false}
  - name: umbrella
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A concept file's place, with the images of exemplars beside it."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path / "concepts.yaml"


def test_everything_in_a_file_becomes_values(here: Path) -> None:
    fish, spoils, umbrella = parse_ontology(FULL, here).classes
    assert fish.phrases == ("Fish", "sea animal")
    assert fish.thresholds == Thresholds(threshold=0.4, review=0.4, accept=0.8)
    assert dict(fish.attributes) == {"habitat": "water"}
    assert dict(fish.choices) == {"color": ("red", "blue")}
    assert fish.overlap == "best"
    assert spoils.overlap == "keep"
    assert spoils.phrases == ()
    first, second = spoils.exemplars
    assert (first.image, first.box, first.positive) == (here.parent / "a.png", (1, 2, 3, 4), True)
    assert (second.mask, second.positive) == (Rle((4, 4), "0`0"), False)
    assert umbrella.phrases == ("umbrella",)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "concepts.yaml:1: the file is empty"),
        ("classes: []", ":1: classes: List should have at least 1"),
        (
            "classes:\n  - name: a\n    phrase: [b]",
            ":3: classes.0.phrase: unknown key; known here: name, phrases, negatives",
        ),
        ("classes:\n  - name: a\n    phrases:\n      - b\n      - yes", ":5: classes.0.phrases.1: Input should be a"),
        ("classes:\n  - name: a\n    threshold: 2", ":3: classes.0.threshold: Input should be less than or equal to 1"),
        ("classes:\n  - name: a\n    name: b", ":3: 'name' is given twice"),
        ("classes:\n  - name: a\n  - name: A", ":3: classes.1: the name 'A' belongs to class 'a' and to 'A'"),
        ("classes:\n- name: a\n  phrases: [x]\n- name: b\n  phrases: [X]", ":4: classes.1: the phrase 'X' belongs to"),
        ("classes:\n- name: a\n  phrases: [x]\n  negatives: [X]", ":2: classes.0: class 'a': 'x' is among its phrases"),
        ("classes:\n- name: background", ":2: classes.0: the class name 'background' means something else"),
        ("classes:\n- name: a\n  exemplars:\n  - {image: b.png}", ":4: classes.0.exemplars.0: an exemplar needs a box"),
        ("classes:\n- name: a\n  review: 0.9\n  accept: 0.5", ":2: classes.0: review (0.9) must not be over accept"),
        ("classes:\n- name: a\n  query: [", "not YAML"),
        ("classes:\n- name: a\n  phrases: *b", ":3: not YAML: found undefined alias"),
        ("1: a", ":1: a key must be a word, got '1'"),
        ("- a", ":1: expected keys with values"),
        ("classes:\n- negatives: [b]", ":2: classes.0: 'name' is missing"),
    ],
)
def test_a_complaint_names_the_line(here: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_ontology(text, here)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith(str(here))
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the concept file"):
        read_ontology(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"classes:\n- name: \xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary.yaml:2: not UTF-8"):
        read_ontology(tmp_path / "binary.yaml")


def test_equal_ontologies_have_equal_json(here: Path) -> None:
    full = parse_ontology(FULL, here).to_json()
    assert full == parse_ontology(FULL + "\n# a comment\n", here).to_json()
    assert full != parse_ontology(FULL.replace("0.8", "0.9"), here).to_json()


def test_all_complaints_come_at_once_in_order_of_lines(here: Path) -> None:
    text = """
accept: 3
classes:
  - name: a
    phrase: [b]
  - name: background
  - nam: c
  - name: d
    phrases: [e, e, 5]
  - name: a2
    exemplars: [{image: none.png, box: [1, 2, 3, 4]}]
  - name: f
    name: g
  - {name: x, phrases: [y]}
  - {name: z, phrases: [Y]}
"""
    with pytest.raises(InputError) as caught:
        parse_ontology(text, here)
    said = [line.removeprefix(f"{here}:").split(": ", 1) for line in str(caught.value).splitlines()]
    assert [int(line) for line, _ in said] == [2, 5, 6, 7, 7, 9, 11, 13, 15]
    words = " | ".join(message for _, message in said)
    assert "did you mean 'phrases'?" in words
    assert "did you mean 'name'?" in words
    assert "there is no image" in words
    assert "the phrase 'Y' belongs to class 'x' and to 'z'" in words


def test_a_mapping_of_classes_is_told_how_to_be_a_list(here: Path) -> None:
    with pytest.raises(InputError, match=r":1: classes: expected a list of classes, each beginning with '- name"):
        parse_ontology("classes: {a: {phrases: [b]}}", here)


def test_endless_complaints_are_cut(here: Path) -> None:
    with pytest.raises(InputError) as caught:
        parse_ontology("classes:\n" + "- nam: x\n" * 500, here)
    lines = str(caught.value).splitlines()
    assert len(lines) == MOST_COMPLAINTS + 1
    assert lines[-1].endswith("more")


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in pairwise("abcdefghij")
)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (LAUGHS, "aliases of aliases"),
        ("a: &a [*a]", "stands inside of what it stands for"),
        ("a: &a {b: &b [*a]}", "stands inside of what it stands for"),
        ("[" * 100_000, "nest"),
        ("{a: " * 100_000, "nest"),
        ("- " * 100_000, "nested more than"),
        ("x" * 3_000_000, "characters"),
        (f"a: {'9' * 100_000}", "cannot read"),
    ],
)
def test_what_would_never_end_is_refused_with_its_line(here: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        parse_ontology(text, here)
    assert str(caught.value).startswith(f"{here}:")
    assert len(str(caught.value)) < 1000


def test_aliases_of_ordinary_size_are_fine(here: Path) -> None:
    text = "classes:\n- {name: a, negatives: &n [x, y]}\n- {name: b, negatives: *n}"
    assert parse_ontology(text, here).named("b").negatives == ("x", "y")


def test_thirty_thousand_classes_are_read(here: Path) -> None:
    text = "classes:\n" + "".join(f"- {{name: c{n}, phrases: [thing {n}]}}\n" for n in range(30_000))
    assert len(parse_ontology(text, here).classes) == 30_000
