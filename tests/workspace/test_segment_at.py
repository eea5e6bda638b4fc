"""One object by clicks, a box or a mask: the prompt itself, the deterministic model, the workspace."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError, ToolError, UnknownHandle
from sam3_agent.model.fake import Answers, FakeSegmenter, detection
from sam3_agent.types import ClickPrompt
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import (
    BLUE_CIRCLE,
    GREEN_SQUARE,
    RED,
    RED_CIRCLES,
    disc,
    fake_segmenter,
    make_workspace,
    picture,
)

WHOLE, PART, OTHER = disc(100, 100, 60), disc(100, 100, 20), disc(250, 100, 40)


def parts_workspace() -> Workspace:
    """A disc with a smaller one on it, and another disc."""
    workspace = Workspace(FakeSegmenter({"disc": detection([WHOLE, OTHER]), "button": detection([PART])}))
    workspace.open(picture())
    return workspace


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "nothing says which object"),
        ({"points": ((1.0, math.nan),)}, "two finite numbers"),
        ({"points": ((1.0, math.inf),)}, "two finite numbers"),
        ({"points": ((1.0, 2.0), (3.0, 4.0)), "labels": (True,)}, "2 points, 1 labels"),
        ({"labels": (True,), "box": (0.0, 0.0, 5.0, 5.0)}, "0 points, 1 labels"),
        ({"box": (5.0, 0.0, 5.0, 5.0)}, "x0 < x1"),
        ({"box": (math.nan, 0.0, 5.0, 5.0)}, "four finite numbers"),
    ],
)
def test_a_prompt_that_says_nothing_usable_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ClickPrompt(**arguments)  # pyright: ignore[reportArgumentType]


def test_points_without_labels_all_belong_to_the_object() -> None:
    assert ClickPrompt(((1.0, 2.0), (3.0, 4.0))).labels == (True, True)


def test_a_prompt_is_named_by_what_it_is_made_of() -> None:
    box, mask = (0.0, 0.0, 5.0, 5.0), masks.empty(4, 4)
    one, two = ((1.0, 2.0),), ((1.0, 2.0), (3.0, 4.0))
    prompts = [ClickPrompt(one), ClickPrompt(two), ClickPrompt(box=box), ClickPrompt(one, box=box, mask=mask)]
    assert [prompt.label for prompt in prompts] == ["click", "2 clicks", "box", "mask + box + click"]


def test_a_click_means_the_smallest_thing_under_it_and_larger_ones_are_near_misses() -> None:
    workspace = parts_workspace()
    found = workspace.segment_at("img1", points=[(100, 100)])
    assert [i.id for i in (*found.instances, *found.near_misses)] == ["m1", "m2"]
    assert np.array_equal(found.instances[0].mask, PART)
    assert np.array_equal(found.near_misses[0].mask, WHOLE)
    assert [workspace.is_near_miss(i) for i in ("m1", "m2")] == [False, True]
    assert found.instances[0].score == found.instances[0].object_score == 0.9
    assert workspace.phrase_of("m1") == "click"
    assert workspace.encodes == 1


def test_a_point_beside_the_object_rules_a_reading_out() -> None:
    whole = parts_workspace().segment_at("img1", points=[(100, 100), (150, 100)])
    assert [np.array_equal(i.mask, WHOLE) for i in whole.instances] == [True]
    part = parts_workspace().segment_at("img1", points=[(100, 100), (150, 100)], labels=[True, False])
    assert [np.array_equal(i.mask, PART) for i in part.instances] == [True]
    assert part.near_misses == ()


def test_a_box_and_a_mask_to_refine_choose_by_overlap() -> None:
    workspace = parts_workspace()
    (boxed,) = workspace.segment_at("img1", box=(41, 41, 160, 160)).instances
    assert np.array_equal(boxed.mask, WHOLE)
    refined = workspace.segment_at("img1", points=[(100, 100)], mask_id=boxed.id)
    assert np.array_equal(refined.instances[0].mask, WHOLE)


def test_a_click_on_nothing_finds_nothing_and_leaves_nothing() -> None:
    workspace = parts_workspace()
    found = workspace.segment_at("img1", points=[(3, 3)])
    assert found.instances == found.near_misses == ()
    assert workspace.masks_of("img1") == []


def test_the_same_click_gives_the_same_ids_again() -> None:
    workspace = parts_workspace()
    first, again = (workspace.segment_at("img1", points=[(100, 100)]) for _ in range(2))
    assert [i.id for i in first.instances] == [i.id for i in again.instances]
    assert first.id != again.id


def test_a_clicked_mask_combines_measures_and_is_seen_under_phrases() -> None:
    workspace = parts_workspace()
    workspace.segment("img1", ["disc"])
    (clicked,) = workspace.segment_at("img1", box=(41, 41, 160, 160)).instances
    (facts,) = workspace.facts([clicked.id])
    assert facts.concept_scores == {"disc": pytest.approx(0.95 * 0.9)}
    assert workspace.combine([clicked.id, "m2"], "union").area == clicked.area + int(OTHER.sum())


def test_a_region_is_looked_at_by_itself_and_masks_are_still_those_of_the_image() -> None:
    def answers(image: NDArray[np.uint8]) -> Answers:
        return {"red thing": detection([(image == RED).all(axis=2)])}

    workspace = Workspace(FakeSegmenter(answers))
    workspace.open(picture())
    (found,) = workspace.segment_at("img1", points=[(250, 60)], region=(200, 20, 300, 100)).instances
    assert np.array_equal(found.mask, RED_CIRCLES[1])
    (refined,) = workspace.segment_at("img1", mask_id=found.id, region=(200, 20, 300, 100)).instances
    assert np.array_equal(refined.mask, RED_CIRCLES[1])
    (boxed,) = workspace.segment_at("img1", box=(229, 39, 400, 82), region=(200, 20, 300, 100)).instances
    assert np.array_equal(boxed.mask, RED_CIRCLES[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": [(50, 50)]}, r"point \[50, 50\] lies outside the region \[200, 20, 300, 100\]"),
        ({"box": (0, 0, 90, 90)}, "lies outside the region"),
        ({"mask_id": "m1"}, "the mask lies outside the region"),
    ],
)
def test_what_lies_outside_the_region_is_refused(arguments: dict[str, object], message: str) -> None:
    workspace = make_workspace()
    workspace.segment("img1", ["red circle"])
    with pytest.raises(InputError, match=message):
        workspace.segment_at("img1", region=(200, 20, 300, 100), **arguments)  # pyright: ignore[reportArgumentType]


def test_unusable_clicks_are_refused_before_the_model_is_asked() -> None:
    workspace = make_workspace()
    with pytest.raises(InputError, match="outside the 320x200 image"):
        workspace.segment_at("img1", points=[(320.5, 10)])
    with pytest.raises(InputError, match="add one on it"):
        workspace.segment_at("img1", points=[(10, 10)], labels=[False])
    with pytest.raises(UnknownHandle):
        workspace.segment_at("img1", mask_id="m7")
    with pytest.raises(UnknownHandle):
        workspace.segment_at("img9", points=[(10, 10)])
    workspace.open(picture())
    workspace.segment("img2", ["square"])
    with pytest.raises(InputError, match="on image 'img2', not on 'img1'"):
        workspace.segment_at("img1", mask_id="m1")


def test_the_deterministic_model_prefers_the_surer_of_two_equal_masks() -> None:
    segmenter = fake_segmenter()
    found = segmenter.segment_at(segmenter.encode(picture()), ClickPrompt(((260.0, 150.0),)))
    assert [answer.predicted_iou for answer in found] == [0.9]
    assert np.array_equal(masks.decode(found[0].rle), GREEN_SQUARE)
    blue = segmenter.segment_at(segmenter.encode(picture()), ClickPrompt(box=(115.0, 105.0, 186.0, 176.0)))
    assert np.array_equal(masks.decode(blue[0].rle), BLUE_CIRCLE)


def test_a_model_that_knows_no_clicks_leaves_the_workspace_as_it_was() -> None:
    class WordsOnly(FakeSegmenter):
        def segment_at(self, features: object, prompt: ClickPrompt) -> tuple[()]:
            raise ToolError("no tracker half")

    workspace = Workspace(WordsOnly({}))
    workspace.open(picture())
    with pytest.raises(ToolError, match="no tracker half"):
        workspace.segment_at("img1", points=[(5, 5)])
    assert workspace.masks_of("img1") == []
