"""The concept file: what it may say, and that every complaint names its line."""

from pathlib import Path

import pytest

from sam3_agent.errors import InputError
from sam3_agent.labeling.ontology.ontology import Ontology, Strictness
from sam3_agent.labeling.ontology.yaml_file import parse_ontology, read_ontology
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
    assert fish.strictness == Strictness(threshold=0.4, review=0.4, accept=0.8)
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
