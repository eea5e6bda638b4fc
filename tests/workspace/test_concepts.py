"""Concepts learned on some images and asked on others."""

from pathlib import Path

import numpy as np
import pytest

from sam3_agent.errors import InputError, UnknownHandle
from sam3_agent.formats.concept_file import read_concept, write_concept
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.types import Concept, ConceptPrompt, ExemplarTokens
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import disc, fake_segmenter, make_workspace, picture


@pytest.fixture
def workspace() -> Workspace:
    """Two pictures open."""
    workspace = make_workspace()
    workspace.open(picture())
    return workspace


def test_a_concept_learned_on_one_image_finds_its_kind_on_another(workspace: Workspace) -> None:
    square = workspace.segment("img1", ["square"])[0].instances[0]
    concept = workspace.learn("box", positive_masks=[square.id])
    assert concept.tokens.count == 1
    found = workspace.segment("img2", ["@box"])[0]
    assert found.prompt.label == "@box"
    assert [i.box for i in found.instances] == [square.box]
    assert workspace.image_of(found.instances[0].id) == "img2"
    assert workspace.presence("img2", ["@box", "dog"]) == {"@box": pytest.approx(0.9), "dog": pytest.approx(0.02)}


def test_examples_may_be_of_several_images_and_of_either_sign(workspace: Workspace) -> None:
    left = workspace.segment("img1", ["red circle"])[0].instances[0]
    concept = workspace.learn(
        "round", "circle", positive_masks=[left.id], negative_boxes=[("img2", (230.0, 120.0, 290.0, 180.0))]
    )
    assert concept.phrase == "circle"
    assert (concept.example_count, concept.tokens.count, concept.notes) == (2, 2, ())
    assert len(concept.thumbnails) == 1
    found = workspace.segment("img2", ["@round"])[0]
    assert len(found.instances) == 3
    assert found.near_misses == ()


def test_a_learned_concept_can_be_refined_on_an_image(workspace: Workspace) -> None:
    workspace.learn("round", positive_boxes=[("img1", (20.0, 20.0, 81.0, 81.0))])
    wider = workspace.refine("img2", "@round", positive_boxes=[(230.0, 120.0, 290.0, 180.0)])
    assert len(wider.instances) == 3


def test_a_concept_survives_a_file_and_another_workspace(workspace: Workspace, tmp_path: Path) -> None:
    concept = workspace.learn("box", positive_boxes=[("img1", (230.0, 120.0, 290.0, 180.0))])
    path = tmp_path / "box.concept.json"
    write_concept(concept, path)
    assert path.stat().st_size < 10_000
    again = read_concept(path)
    assert again == concept
    other = Workspace(fake_segmenter())
    image = other.open(picture())
    other.add_concept(again)
    assert len(other.segment(image.id, ["@box"])[0].instances) == 1
    assert other.concepts() == [concept]


def test_scores_of_a_learned_concept_are_not_compared_with_those_of_phrases(workspace: Workspace) -> None:
    workspace.learn("box", "square", positive_boxes=[("img1", (230.0, 120.0, 290.0, 180.0))])
    found = workspace.segment("img1", ["@box"])[0].instances[0]
    assert workspace.facts([found.id])[0].concept_scores == {}


@pytest.mark.parametrize("name", ["", "two words", "a/b", "@", ".hidden", "x" * 65])
def test_a_name_that_is_none_is_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(InputError, match="name"):
        workspace.learn(name, positive_boxes=[("img1", (230.0, 120.0, 290.0, 180.0))])


def test_what_cannot_be_learned_says_why(workspace: Workspace) -> None:
    box = (230.0, 120.0, 290.0, 180.0)
    with pytest.raises(InputError, match="positive example"):
        workspace.learn("a", negative_boxes=[("img1", box)])
    with pytest.raises(InputError, match="at most 256"):
        workspace.learn("a", positive_boxes=[("img1", box)] * 257)
    with pytest.raises(InputError, match="outside"):
        workspace.learn("a", positive_boxes=[("img1", (400.0, 10.0, 500.0, 20.0))])
    with pytest.raises(UnknownHandle, match="unknown image 'img9'"):
        workspace.learn("a", positive_boxes=[("img9", box)])
    with pytest.raises(UnknownHandle, match="unknown concept '@a'; known: none yet"):
        workspace.segment("img1", ["@a"])


def test_a_concept_of_another_model_is_refused(workspace: Workspace) -> None:
    alien = Concept("x", None, ExemplarTokens(np.zeros((1, 4), "<f4").tobytes(), 1, 4, "feedfacefeedface"))
    with pytest.raises(InputError, match="other weights"):
        workspace.segment("img1", [ConceptPrompt(None, (), alien)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "", "no concept file"),
        (lambda text: text[: len(text) // 2], "no concept file"),
        (lambda text: text.replace("sam3-agent concept", "shopping list"), "format 'shopping list'"),
        (lambda text: text.replace('"version": 2', '"version": 3'), "version 3"),
        (lambda text: text.replace('"shape": [\n   1,', '"shape": [\n   7,'), "expected 7 x 301"),
    ],
)
def test_a_damaged_file_says_what_is_wrong(workspace: Workspace, tmp_path: Path, change, words) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "box.concept.json"
    write_concept(workspace.learn("box", positive_boxes=[("img1", (230.0, 120.0, 290.0, 180.0))]), path)
    damaged = change(path.read_text())
    assert damaged != path.read_text()
    path.write_text(damaged)
    with pytest.raises(InputError, match=words):
        read_concept(path)


def of_a_stranger(count: int = 1, width: int = 4, value: float = 1.0, notes: tuple[str, ...] = ()) -> Concept:
    values = np.full((count, width), value, "<f4").tobytes()
    return Concept("x", None, ExemplarTokens(values, count, width, "feedfacefeedface"), notes=notes)


@pytest.mark.parametrize(
    ("concept", "words"),
    [
        (of_a_stranger(count=65), "65 tokens of 4 numbers; at most 64 of 4096"),
        (of_a_stranger(width=5000), "1 tokens of 5000 numbers"),
        (of_a_stranger(value=np.inf), "not finite"),
        (of_a_stranger(value=1e30), "numbers beyond 10000"),
        (of_a_stranger(notes=("a",) * 17), "more than 16 notes"),
        (of_a_stranger(notes=("a" * 1001,)), "over 1000 characters"),
        (of_a_stranger(notes=("\x1b[2J",)), "no terminal"),
    ],
)
def test_a_strangers_file_is_bounded_before_anything_of_it_is_used(
    tmp_path: Path, concept: Concept, words: str
) -> None:
    write_concept(concept, tmp_path / "x.concept.json")
    with pytest.raises(InputError, match=words):
        read_concept(tmp_path / "x.concept.json")


def test_the_fake_model_learns_a_kind_not_a_place() -> None:
    """A disc elsewhere on a picture of another size is of the same kind."""
    workspace = Workspace(FakeSegmenter(lambda image: {"circle": detection([disc(20, 20, 10, *image.shape[:2])])}))
    workspace.open(np.zeros((40, 60, 3), np.uint8))
    workspace.open(np.zeros((80, 50, 3), np.uint8))
    workspace.learn("c", positive_boxes=[("img1", (10.0, 10.0, 31.0, 31.0))])
    assert workspace.segment("img2", ["@c"])[0].instances[0].mask.shape == (80, 50)
