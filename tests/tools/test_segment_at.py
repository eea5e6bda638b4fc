"""What segment_at tells: one object by clicks, and other readings of them."""

# ruff: noqa: E501 (snapshots of the lines that a reader sees)

import json
from typing import Any

from inline_snapshot import snapshot

from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.tools import ALL_TOOLS, Presentation
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import disc, make_workspace, picture

TOOLS = {tool.name: tool for tool in ALL_TOOLS}
INSTANCE_KEYS = {
    "id", "concept", "score", "object_score", "box", "center", "area", "area_share", "colors", "concept_scores",
    "parts", "outside_box", "at_border",
}  # fmt: skip


def call(workspace: Workspace, name: str, **raw: Any) -> Presentation:
    result = TOOLS[name].call(workspace, raw)
    json.dumps(result.data, allow_nan=False)
    assert "counts" not in json.dumps(result.data)
    return result


def part_and_whole() -> Workspace:
    """A button on a circle, and a weak smudge."""
    answers = {
        "circle": detection([disc(150, 100, 60)], [0.8]),
        "button": detection([disc(150, 100, 20)], [0.9]),
        "smudge": detection([disc(20, 20, 10)], [0.4]),
    }
    workspace = Workspace(FakeSegmenter(answers))
    workspace.open(picture())
    return workspace


def test_a_click_gives_the_best_mask_and_other_readings_of_it() -> None:
    result = call(part_and_whole(), "segment_at", image_id="img1", points=[150, 100])
    assert result.text == snapshot("""\
on (150, 100) (s1): 1 found; scores are the overlap (IoU) expected
  m1 0.90; box [130, 80, 171, 121]; 1257 px; white 72 %, blue 28 %
  other readings of the same clicks (1):
    m2 0.80; box [90, 40, 211, 161]; 11289 px; white 72 %, blue 28 %
hint: the readings disagree: overlap (IoU) with m1 is m2 0.11. m1 may be a part of what you mean, or more than it; look at all, take the one that fits by its id, or add a point or a tight box
picture of img1: outlined: m1; dashed (near misses): m2; shows x 0-320, y 0-200 at scale 2 (image x = picture x / 2, image y = picture y / 2)\
""")
    assert [found["id"] for found in result.data["instances"]] == ["m1"]
    assert [found["id"] for found in result.data["near_misses"]] == ["m2"]
    assert set(result.data["instances"][0]) == INSTANCE_KEYS
    assert set(result.data) == {"image_id", "segmentation_id", "asked", "instances", "near_misses", "hints"}
    assert "dashed (near misses): m2" in result.pictures[0].caption


def test_clicks_a_box_and_a_mask_to_refine_are_all_named() -> None:
    workspace = make_workspace()
    call(workspace, "segment_concepts", image_id="img1", concepts=["square"])
    result = call(
        workspace,
        "segment_at",
        image_id="img1",
        points=[[260, 150], [10, 10]],
        labels=[1, 0],
        box=[230, 120, 290, 180],
        mask_id="m1",
    )
    assert result.data["asked"] == "on (260, 150), not on (10, 10), in box [230, 120, 290, 180], from a mask"
    assert result.data["instances"][0]["concept_scores"] == {"square": 0.81}


def test_a_click_on_nothing_says_what_to_try() -> None:
    result = call(make_workspace(), "segment_at", image_id="img1", points=[[5, 195]])
    assert result.data["instances"] == result.data["near_misses"] == []
    assert result.data["hints"] == snapshot(
        ["no mask came of it. Put a point deeper inside the object, or draw a tight box around it"]
    )
    assert result.data["hints"][0] in result.text


def test_a_mask_that_the_model_itself_doubts_comes_with_a_hint() -> None:
    assert "doubts" not in call(part_and_whole(), "segment_at", image_id="img1", points=[150, 100]).text
    assert call(part_and_whole(), "segment_at", image_id="img1", points=[20, 20]).data["hints"] == snapshot(
        ["the model doubts m1. Look at it; add a point (label 1 or 0) with mask_id m1, or give a tight box"]
    )


def test_readings_that_agree_are_not_called_different_things() -> None:
    answers = {"circle": detection([disc(150, 100, 60)], [0.8]), "ball": detection([disc(150, 100, 55)], [0.9])}
    workspace = Workspace(FakeSegmenter(answers))
    workspace.open(picture())
    result = call(workspace, "segment_at", image_id="img1", points=[150, 100])
    assert (len(result.data["near_misses"]), result.data["hints"]) == (1, [])


def test_readings_are_named_by_what_was_pointed_with() -> None:
    boxed = call(part_and_whole(), "segment_at", image_id="img1", box=[125, 75, 175, 125])
    assert boxed.data["near_misses"]
    assert "other readings of the same box (" in boxed.text
    assert "clicks" not in boxed.text
    both = call(part_and_whole(), "segment_at", image_id="img1", points=[150, 100], box=[125, 75, 175, 125])
    assert "other readings of the same clicks and box (" in both.text
