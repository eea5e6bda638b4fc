"""The concept file: what it may say, and that every complaint names its line."""

from itertools import pairwise
from pathlib import Path

import pytest

from sam3_agent.errors import InputError
from sam3_agent.labeling.ontology.ontology import Ontology, Thresholds
from sam3_agent.labeling.ontology.yaml_file import MOST_COMPLAINTS, parse_ontology, read_ontology
from sam3_agent.masks import Rle

HERE = Path("/data/concepts.yaml")

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
      - {image: b.png, mask: {size: [4, 4], counts: "04<"}, positive: false}
  - name: umbrella
"""


def parsed(text: str) -> Ontology:
    return parse_ontology(text, HERE)


def test_everything_in_a_file_becomes_values() -> None:
    fish, spoils, umbrella = parsed(FULL).classes
    assert fish.phrases == ("Fish", "sea animal")
    assert fish.thresholds == Thresholds(threshold=0.4, review=0.4, accept=0.8)
    assert dict(fish.attributes) == {"habitat": "water"}
    assert dict(fish.choices) == {"color": ("red", "blue")}
    assert fish.overlap == "best"
    assert spoils.overlap == "keep"
    assert spoils.phrases == ()
    first, second = spoils.exemplars
    assert (first.image, first.box, first.positive) == (Path("/data/a.png"), (1, 2, 3, 4), True)
    assert (second.mask, second.positive) == (Rle((4, 4), "04<"), False)
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
def test_a_complaint_names_the_line(text: str, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        parsed(text)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("/data/concepts.yaml")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the concept file"):
        read_ontology(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-16"):
        read_ontology(tmp_path / "binary.yaml")


def test_equal_ontologies_have_equal_json() -> None:
    assert parsed(FULL).to_json() == parsed(FULL + "\n# a comment\n").to_json()
    assert parsed(FULL).to_json() != parsed(FULL.replace("0.8", "0.9")).to_json()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "classes:\n  - name: a\n    phrases:\n      - b\n      - " + "furry " * 41,
            ":5: classes.0.phrases.1: the phrase is",
        ),
        ("classes:\n  - name: a\n    negatives: [" + "1" * 31 + "]", ":3: classes.0.negatives.0: Input should be"),
        (
            "classes:\n  - name: a\n    negatives: ['" + "1" * 31 + "']",
            ":3: classes.0.negatives.0: the phrase is too long: 31",
        ),
        (
            "classes:\n  - name: a\n    phrases: [" + "b " * 29 + "]\n    attributes:\n      x: [c, d d]",
            ":5: classes.0.attributes.x.1: the phrase is too long: 31",
        ),
        ("classes:\n  - name: a\n    phrases: [\x07]", ":3: not YAML"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
            "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\n"
            "e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]\nclasses: [*e, *e, *e, *e, *e, *e, *e, *e, *e]\n",
            "more than 200000 entries",
        ),
    ],
)
def test_phrases_of_any_place_and_explosions_name_their_line(text: str, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        parsed(text)
    assert complaint in str(caught.value)


def test_a_file_of_any_unicode_is_read_and_another_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "concepts.yaml"
    text = "classes:\n  - name: caf\u00e9\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes(text.encode(encoding))
        assert read_ontology(path).names == ("caf\u00e9",)
    path.write_bytes(text.encode("cp1252"))
    with pytest.raises(InputError, match=r"concepts\.yaml:2: not UTF-8 text .*; save it as UTF-8"):
        read_ontology(path)


def test_an_exemplar_that_is_not_there_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "concepts.yaml"
    path.write_text("classes:\n  - name: a\n    exemplars:\n      - {image: none.png, box: [1, 2, 3, 4]}\n")
    with pytest.raises(InputError, match=r"concepts\.yaml:4: classes\.0\.exemplars\.0: there is no image .*none\.png"):
        read_ontology(path)


def test_all_complaints_come_at_once_in_order_of_lines() -> None:
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
    exemplars: [{image: none.png}]
  - name: f
    name: g
  - {name: x, phrases: [y]}
  - {name: z, phrases: [Y]}
"""
    with pytest.raises(InputError) as caught:
        parse_ontology(text, HERE)
    said = [line.removeprefix(f"{HERE}:").split(": ", 1) for line in str(caught.value).splitlines()]
    assert [int(line) for line, _ in said] == [2, 5, 6, 7, 9, 11, 13, 15]
    words = " | ".join(message for _, message in said)
    assert "did you mean 'phrases'?" in words
    assert "did you mean 'name'?" in words
    assert "an exemplar needs a box" in words
    assert "the phrase 'Y' belongs to class 'x' and to 'z'" in words


def test_a_mapping_of_classes_is_told_how_to_be_a_list() -> None:
    with pytest.raises(InputError, match=r":1: classes: expected a list of classes, each beginning with '- name"):
        parse_ontology("classes: {a: {phrases: [b]}}", HERE)


def test_endless_complaints_are_cut() -> None:
    with pytest.raises(InputError) as caught:
        parse_ontology("classes:\n" + "- nam: x\n" * 500, HERE)
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
def test_what_would_never_end_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        parse_ontology(text, HERE)
    assert str(caught.value).startswith(f"{HERE}:")
    assert len(str(caught.value)) < 1000


def test_aliases_of_ordinary_size_are_fine() -> None:
    text = "classes:\n- {name: a, negatives: &n [x, y]}\n- {name: b, negatives: *n}"
    assert parse_ontology(text, HERE).named("b").negatives == ("x", "y")


def test_thirty_thousand_classes_are_read() -> None:
    text = "classes:\n" + "".join(f"- {{name: c{n}, phrases: [thing {n}]}}\n" for n in range(30_000))
    assert len(parse_ontology(text, HERE).classes) == 30_000
