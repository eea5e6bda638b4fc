"""Pooling of example tokens, and the trial of what was learned on the examples themselves."""

import json
from pathlib import Path

import numpy as np
import pytest

from sam3_agent.formats.concept_file import read_concept, write_concept
from sam3_agent.masks import Box
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.types import Concept, ConceptEstimate, ExemplarTokens, ModelInfo
from sam3_agent.workspace import Workspace, close_ups
from sam3_agent.workspace.k_means import k_centers
from tests.fixtures_workspace import boxes_of_discs, disc, make_workspace, picture, workspace_of_discs

SQUARE: Box = (230.0, 120.0, 290.0, 180.0)
RED: Box = (20.0, 20.0, 81.0, 81.0)


@pytest.fixture
def workspace() -> Workspace:
    """Four pictures open, with the same things on them."""
    workspace = make_workspace()
    for _ in range(3):
        workspace.open(picture())
    return workspace


def test_many_examples_are_asked_as_one_token_and_all_are_kept(workspace: Workspace) -> None:
    concept = workspace.learn("box", positive_boxes=[(f"img{i}", SQUARE) for i in (1, 2, 3)] * 10)
    assert (concept.tokens.count, concept.example_count) == (1, 30)
    assert len(workspace.segment("img4", ["@box"])[0].instances) == 1


def test_the_estimate_is_of_images_that_were_left_out(workspace: Workspace) -> None:
    concept = workspace.learn("box", positive_boxes=[("img1", SQUARE), ("img2", SQUARE)])
    assert concept.estimate == ConceptEstimate(2, 2, 0, 5, 2, held_out=True)
    assert str(concept.estimate) == "finds 2 of 2 of your own examples, 0 false on 5 other words"


def test_a_single_image_says_that_it_flatters(workspace: Workspace) -> None:
    estimate = workspace.learn("box", positive_boxes=[("img1", SQUARE)]).estimate
    assert estimate is not None
    assert not estimate.held_out
    assert str(estimate).endswith("on the image that it was learned from")


def test_a_phrase_that_brings_false_findings_is_left_out_with_a_word(workspace: Workspace) -> None:
    concept = workspace.learn("box", "circle", positive_boxes=[("img1", SQUARE), ("img2", SQUARE)])
    assert concept.phrase is None
    assert "the phrase 'circle' is left out" in concept.notes[0]
    assert "without it 2 and 0" in concept.notes[0]


def test_a_phrase_that_does_no_harm_is_kept(workspace: Workspace) -> None:
    concept = workspace.learn("box", "square", positive_boxes=[("img1", SQUARE), ("img2", SQUARE)])
    assert (concept.phrase, concept.notes) == ("square", ())


def test_a_negative_example_that_kills_the_positives_is_left_out_with_a_word(workspace: Workspace) -> None:
    concept = workspace.learn("round", positive_boxes=[("img1", RED), ("img2", RED)], negative_boxes=[("img3", RED)])
    assert concept.notes[0].startswith("the negative examples are left out: with it 0 of 2 of your examples are found")
    assert concept.tokens.count == 1
    assert concept.example_count == 3


def test_centers_are_means_of_what_lies_together() -> None:
    rows = np.array([[0, 0], [0, 2], [10, 0], [10, 2]], np.float32)
    assert k_centers(rows, 1).tolist() == [[5, 1]]
    assert sorted(k_centers(rows, 2).tolist()) == [[0, 1], [10, 1]]
    assert len(k_centers(np.ones((5, 2), np.float32), 3)) == 1


def test_a_concept_asks_with_its_own_threshold_in_place_of_one_half(workspace: Workspace) -> None:
    learned = workspace.learn("box", positive_boxes=[("img1", SQUARE)])
    strict = Concept("strict", None, learned.tokens, threshold=0.85)
    workspace.add_concept(strict)
    box, kept = workspace.segment("img2", ["@strict", "@box"])
    assert (len(box.instances), box.threshold, len(box.near_misses)) == (0, 0.85, 1)
    assert (len(kept.instances), kept.threshold) == (1, 0.5)
    assert strict.threshold_at(0.9) > 0.9 > 0.5 > strict.threshold_at(0.1)
    assert strict.threshold_at(0.0) == 0.0


class Doubting(FakeSegmenter):
    """A model of small pictures, which is tried in full."""

    @property
    def info(self) -> ModelInfo:
        """Smaller than what counts as slow on a CPU."""
        return ModelInfo("fake", "cpu", "float32", input_side=224)


@pytest.mark.parametrize(
    ("images", "looked", "threshold"), [(6, False, 0.4), (4, False, 0.5), (6, True, 0.3), (4, True, 0.5)]
)
def test_a_kind_that_the_model_doubts_gets_a_lower_threshold_where_enough_images_say_so(
    monkeypatch: pytest.MonkeyPatch, images: int, looked: bool, threshold: float
) -> None:
    if not looked:
        monkeypatch.setattr(close_ups, "calibrated", lambda *_: None)
    gear = detection([disc(50, 50, 30)], [0.9], presence=0.48)
    workspace = Workspace(Doubting({"gear": gear}))
    boxes = [(workspace.open(picture()).id, RED) for _ in range(images)]
    concept = workspace.learn("gear", positive_boxes=boxes)
    assert concept.threshold == threshold
    assert (concept.close_ups is not None) == (looked and images == 6)  # four examples are too few
    assert concept.estimate is not None
    assert concept.estimate.found == (images if threshold < 0.43 else 0)
    assert len(workspace.segment("img1", ["@gear"])[0].instances) == int(threshold < 0.43)


def test_an_old_file_of_many_examples_is_pooled_when_it_is_used(workspace: Workspace, tmp_path: Path) -> None:
    learned = workspace.learn("box", positive_boxes=[("img1", SQUARE)] * 9)
    path = tmp_path / "box.concept.json"
    assert learned.examples is not None
    write_concept(Concept("box", None, learned.examples, learned.thumbnails), path)
    document = json.loads(path.read_text())
    for key in ("examples", "threshold", "estimate", "notes"):
        del document[key]
    path.write_text(json.dumps(document | {"version": 1}))
    old = read_concept(path)
    assert old.tokens.count == 9
    workspace.add_concept(old)
    (known,) = workspace.concepts()
    assert (known.tokens.count, known.example_count) == (1, 9)


def test_an_old_file_that_does_not_say_its_negatives_stays_as_it_is(workspace: Workspace) -> None:
    old = Concept("box", None, ExemplarTokens(np.zeros((5, 4), "<f4").tobytes(), 5, 4, "w"), (b"", b""))
    workspace.add_concept(old)
    assert workspace.concepts() == [old]


def test_negative_examples_that_kill_the_positives_are_left_out_of_a_refinement() -> None:
    workspace = workspace_of_discs()
    found = workspace.refine("img1", "disc", positive_boxes=[boxes_of_discs()[0]], negative_boxes=[boxes_of_discs()[1]])
    assert [exemplar.positive for exemplar in found.prompt.exemplars] == [True]
    assert [instance.box for instance in found.instances] == [boxes_of_discs()[n] for n in (0, 2, 3)]
    assert workspace.mask_count == 3


def test_negative_examples_that_do_no_harm_stay_in_a_refinement(workspace: Workspace) -> None:
    found = workspace.refine("img1", "circle", positive_boxes=[RED], negative_boxes=[SQUARE])
    assert [exemplar.positive for exemplar in found.prompt.exemplars] == [True, False]
    assert len(found.instances) == 3
