"""What each tool tells: the same facts in text and data, and pictures that show them."""

# ruff: noqa: E501 (snapshots of the lines that a reader sees)

import json
from typing import Any

import pytest
from inline_snapshot import snapshot

from benchmarks.tiling.truth_segmenter import TruthSegmenter, map_picture
from sam3_agent import masks
from sam3_agent.errors import ToolError
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.tools import ALL_TOOLS, Presentation
from sam3_agent.types import ModelInfo
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import boxes_of_discs, disc, make_workspace, picture, square, workspace_of_discs

TOOLS = {tool.name: tool for tool in ALL_TOOLS}
INSTANCE_KEYS = {
    "id", "concept", "score", "object_score", "box", "center", "area", "area_share", "colors", "concept_scores",
    "parts", "outside_box", "at_border",
}  # fmt: skip


def call(workspace: Workspace, tool: str, /, **raw: Any) -> Presentation:
    result = TOOLS[tool].call(workspace, raw)
    json.dumps(result.data, allow_nan=False)
    assert "counts" not in json.dumps(result.data)
    return result


def test_segmenting_tells_everything_in_one_reply() -> None:
    result = call(make_workspace(), "segment_concepts", image_id="img1", concepts=["circle", "square"])
    assert result.text == snapshot("""\
'circle' (s1): presence 0.95; 3 found above the threshold 0.5
  m1 0.85; box [20, 20, 81, 81]; 2821 px; red
  m2 0.84; box [230, 40, 271, 81]; 1257 px; red
  m3 0.82; box [115, 105, 186, 176]; 3853 px; blue
  near misses, below the threshold (1):
    m4 0.28; box [230, 120, 290, 180]; 3600 px; green; also as 'square' 0.81
'square' (s2): presence 0.90; 1 found above the threshold 0.5
  m5 0.81; box [230, 120, 290, 180]; 3600 px; green; also as 'circle' 0.28
picture of img1: outlined: m1, m2, m3, m5=m4; shows x 0-320, y 0-200 at scale 2 (image x = picture x / 2, image y = picture y / 2)\
""")


def test_the_data_of_segmenting_has_every_fact() -> None:
    result = call(make_workspace(), "segment_concepts", image_id="img1", concepts=["square"])
    assert result.data == snapshot(
        {
            "image_id": "img1",
            "threshold": 0.5,
            "results": [
                {
                    "segmentation_id": "s1",
                    "concept": "square",
                    "presence": 0.9,
                    "presence_assumed": False,
                    "tiles": 0,
                    "instances": [
                        {
                            "id": "m1",
                            "concept": "square",
                            "score": 0.81,
                            "object_score": 0.9,
                            "box": [230.0, 120.0, 290.0, 180.0],
                            "center": [260.0, 150.0],
                            "area": 3600,
                            "area_share": 0.05625,
                            "colors": [{"name": "green", "share": 1.0}],
                            "concept_scores": {"square": 0.81},
                            "parts": [1.0],
                            "outside_box": 0.0,
                            "at_border": False,
                        }
                    ],
                    "near_misses": [],
                }
            ],
            "asked_instead": [],
            "warnings": [],
            "notes": [],
            "hints": [],
        }
    )


def test_the_text_has_every_id_box_and_score_of_the_data() -> None:
    result = call(make_workspace(), "segment_concepts", image_id="img1", concepts=["circle", "star", "red circle"])
    for each in result.data["results"]:
        for instance in (*each["instances"], *each["near_misses"]):
            assert set(instance) == INSTANCE_KEYS
            box = ", ".join(f"{v:.0f}" for v in instance["box"])
            line = next(line for line in result.text.splitlines() if line.strip().startswith(instance["id"] + " "))
            assert f"box [{box}]" in line
            assert line.split()[1].rstrip(";") == f"{instance['score']:.2f}"


def test_a_weaker_fit_to_another_phrase_is_a_note_and_a_better_one_a_warning() -> None:
    result = call(make_workspace(), "segment_concepts", image_id="img1", concepts=["circle", "button"])
    assert (result.data["warnings"], result.data["notes"]) == (
        [],
        ["m3 ('circle' 0.82) also scores 0.63 as 'button'"],
    )
    assert "also as 'button' 0.63" in result.text
    assert result.text.count("0.63") == 2, "once beside m3, once as button's own score"
    assert "also scores" not in result.text
    answers = {"star": detection([disc(150, 100, 60)], [0.9]), "moon": detection([disc(150, 100, 60)], [0.6])}
    workspace = Workspace(FakeSegmenter(answers))
    workspace.open(picture())
    call(workspace, "segment_concepts", image_id="img1", concepts=["star"])
    later = call(workspace, "segment_concepts", image_id="img1", concepts=["moon"])
    assert later.data["warnings"] == ["m2 ('moon' 0.57) fits 'star' better: 0.85"]


def test_a_noun_for_everything_is_neither_warned_of_nor_noted() -> None:
    answers = {"house": detection([disc(150, 100, 60)], [0.9]), "yellow thing": detection([disc(150, 100, 60)], [0.9])}
    workspace = Workspace(FakeSegmenter(answers))
    workspace.open(picture())
    data = call(workspace, "segment_concepts", image_id="img1", concepts=["house", "yellow thing"]).data
    assert (data["warnings"], data["notes"]) == ([], [])


def test_a_narrower_phrase_is_no_conflict() -> None:
    assert (
        call(make_workspace(), "segment_concepts", image_id="img1", concepts=["circle", "red circles"]).data["warnings"]
        == []
    )


def test_an_empty_result_says_what_to_try() -> None:
    result = call(make_workspace(), "segment_concepts", image_id="img1", concepts=["dog"])
    assert result.data["hints"] == snapshot(
        ["'dog': not found (presence 0.02), nor as 'puppy': absent. If you see it in the image, use segment_at"]
    )
    assert result.data["hints"][0] in result.text


def test_low_presence_with_a_good_object_is_called_a_belief() -> None:
    hints = call(make_workspace(), "segment_concepts", image_id="img1", concepts=["star"]).data["hints"]
    assert hints == snapshot(
        [
            "'star': nothing above the threshold 0.5, but these objects fit well: m1 (object 0.80). presence 0.20 is a belief, not proof: look at them before you say no"
        ]
    )


def test_in_a_picture_what_the_call_has_found_stands_out_and_older_masks_are_thin() -> None:
    workspace = make_workspace()
    call(workspace, "segment_concepts", image_id="img1", concepts=["circle"])
    result = call(workspace, "segment_concepts", image_id="img1", concepts=["star"])
    assert "outlined: m5=m3; thin, without labels (found earlier): m1, m2;" in result.pictures[0].caption


def test_of_several_older_masks_of_one_object_one_is_named() -> None:
    workspace = make_workspace()
    call(workspace, "segment_concepts", image_id="img1", concepts=["circle"])
    call(workspace, "segment_concepts", image_id="img1", concepts=["star"])
    ids = ["m3", "m5"]
    assert "outlined: m3=m5;" in workspace.look("img1", ids).caption
    assert "(found earlier): m3;" in workspace.look("img1", ids, earlier=ids).caption


def test_presence_is_read_by_concept() -> None:
    result = call(make_workspace(), "read_presence", image_id="img1", concepts=["circle", "dog"])
    assert result.data == {
        "image_id": "img1",
        "results": [{"concept": "circle", "presence": 0.95}, {"concept": "dog", "presence": 0.02}],
    }
    assert result.text == snapshot("""\
presence on img1:
  'circle': 0.95
  'dog': 0.02
hint: low for 'dog': presence is a belief, not proof; segment_concepts shows near misses\
""")
    assert result.pictures == ()


def test_refining_has_the_shape_of_segmenting() -> None:
    workspace = make_workspace()
    call(workspace, "segment_concepts", image_id="img1", concepts=["circle"])
    result = call(workspace, "refine_with_exemplars", image_id="img1", concept="circle", negative_masks=["m1"])
    (found,) = result.data["results"]
    assert (found["concept"], len(found["instances"])) == ("circle", 1)
    assert set(result.data) == {"image_id", "threshold", "results", "asked_instead", "warnings", "notes", "hints"}


def test_combining_describes_the_new_mask() -> None:
    workspace = make_workspace()
    call(workspace, "segment_concepts", image_id="img1", concepts=["circle"])
    result = call(workspace, "combine_masks", mask_ids=["m1", "m2"], operation="union")
    assert (result.data["operation"], result.data["sources"]) == ("union", ["m1", "m2"])
    assert set(result.data["mask"]) == INSTANCE_KEYS
    assert result.data["mask"]["id"] == "m5"
    assert "outlined: m5" in result.text


def test_measuring_is_a_table_in_the_asked_order() -> None:
    workspace = make_workspace()
    call(workspace, "segment_concepts", image_id="img1", concepts=["circle"])
    result = call(workspace, "measure_masks", image_id="img1", order_by="right")
    assert [row["id"] for row in result.data["masks"]] == ["m2", "m3", "m1"]
    assert result.data["masks"][0]["ranks"] == {"left_to_right": 3, "top_to_bottom": 2, "largest_first": 3}
    assert result.data["masks"][0]["nearest"] == {"id": "m3", "distance": pytest.approx(128.1, abs=0.1)}
    assert set(result.data["masks"][0]) == INSTANCE_KEYS | {"ranks", "contains", "inside", "nearest"}
    assert result.text == snapshot("""\
3 masks of img1, ordered by right; ranks:
  m2 'circle' box [230, 40, 271, 81]; 1257 px; 3 from the left, 2 from the top, 3 by size; nearest m3 at 128 px
  m3 'circle' box [115, 105, 186, 176]; 3853 px; 2 from the left, 3 from the top, 1 by size; nearest m2 at 128 px
  m1 'circle' box [20, 20, 81, 81]; 2821 px; 1 from the left, 1 from the top, 2 by size; nearest m3 at 135 px\
""")


def test_measuring_nothing_says_what_to_do() -> None:
    assert "segment something first" in call(make_workspace(), "measure_masks", image_id="img1").text


def test_looking_says_what_is_shown_and_at_which_scale() -> None:
    workspace = make_workspace()
    call(workspace, "segment_concepts", image_id="img1", concepts=["circle"])
    result = call(workspace, "look", image_id="img1", region=[0, 0, 160, 100])
    assert result.data == {
        "image_id": "img1",
        "mask_ids": ["m1", "m2", "m3"],
        "region": [0, 0, 160, 100],
        "scale": 4.0,
        "style": "marks",
        "hints": [],
    }
    assert result.pictures[0].image.size == (640, 400)
    assert call(workspace, "look", image_id="img1", style="plain").data["mask_ids"] == []


def test_an_assumed_presence_is_called_so() -> None:
    result = call(make_workspace(), "segment_concepts", image_id="img1", concepts=["star"], assume_present=True)
    assert "'star' (s1): presence 0.20 (assumed); 1 found above the threshold 0.5 by object score alone" in result.text
    (star,) = result.data["results"]
    assert (star["presence"], star["presence_assumed"], star["instances"][0]["score"]) == (0.2, True, 0.16)


def test_looking_closer_is_told() -> None:
    dot = masks.encode(square(300, 100, 308, 108, 480, 640))
    workspace = Workspace(
        TruthSegmenter({"dot": [dot]}, ModelInfo("truth", "cpu", "float32", 160, 20, 8), least_side=4)
    )
    workspace.open(map_picture(480, 640))
    unseen = call(workspace, "segment_concepts", image_id="img1", concepts=["dot"])
    assert "or too small to be seen in the whole: look in a region" in unseen.data["hints"][0]
    seen = call(workspace, "segment_concepts", image_id="img1", concepts=["dot"], tiles="always")
    (dots,) = seen.data["results"]
    assert dots["tiles"] > 0
    assert f"1 found above the threshold 0.5; looked at more closely in {dots['tiles']} tiles" in seen.text


def test_submitting_echoes_ids_areas_and_a_picture() -> None:
    workspace = make_workspace()
    call(workspace, "segment_concepts", image_id="img1", concepts=["circle"])
    result = call(workspace, "submit_answer", mask_ids=["m4", "m1", "m4"], reason="both fit")
    areas = [workspace.instance(i).area for i in ("m4", "m1")]
    assert result.data == {"outcome": "answered", "mask_ids": ["m4", "m1"], "areas": areas, "reason": "both fit"}
    assert "dashed (near misses): m4" in result.pictures[0].caption


def test_an_answer_is_about_one_image() -> None:
    workspace = make_workspace()
    workspace.open(picture())
    for image in ("img1", "img2"):
        call(workspace, "segment_concepts", image_id=image, concepts=["square"])
    with pytest.raises(ToolError, match=r"several images \(img1, img2\)"):
        call(workspace, "submit_answer", mask_ids=["m1", "m2"])


def test_reporting_no_match_gives_the_reason_back() -> None:
    result = call(make_workspace(), "report_no_match", reason="no dog")
    assert result.data == {"outcome": "no_match", "reason": "no dog"}


def test_listing_and_forgetting_images() -> None:
    workspace = make_workspace()
    call(workspace, "segment_concepts", image_id="img1", concepts=["circle"])
    assert call(workspace, "list_images").data == {
        "images": [{"image_id": "img1", "width": 320, "height": 200, "source": "array", "masks": 4}],
        "videos": [],
    }
    assert call(workspace, "forget_image", image_id="img1").data == {"image_id": "img1"}
    assert call(workspace, "list_images").text == "no image is open; call open_image"


def test_a_crowd_is_told_whole_and_drawn_by_call() -> None:
    workspace = make_workspace()
    first = call(workspace, "segment_concepts", image_id="img1", concepts=["circle", "square", "button"], threshold=0)
    assert len(first.data["results"]) == 3
    assert first.text.count("; box [") == 6


def test_a_concept_learned_from_a_mask_is_named_and_usable() -> None:
    workspace = make_workspace()
    call(workspace, "segment_concepts", image_id="img1", concepts=["square"])
    learned = call(workspace, "learn_concept", name="@box", phrase="", positive_masks=["m1"])
    assert learned.text == snapshot(
        "learned '@box' from 1 example. It finds 1 of 1 of your own examples, 0 false on 5 other words, on the image"
        " that it was learned from. Use '@box' as a concept on any image."
    )
    assert learned.data == {
        "concept": "@box", "phrase": "", "examples": 1, "threshold": 0.5, "notes": [],
        "estimate": {"found": 1, "examples": 1, "false": 0, "other_words": 5, "images": 1, "held_out": False,
                     "absent_images": 0, "absent_refused": 0},
    }  # fmt: skip
    found = call(workspace, "segment_concepts", image_id="img1", concepts=["@box"])
    assert [i["concept"] for i in found.data["results"][0]["instances"]] == ["@box"]


def test_boxes_to_learn_from_need_their_image() -> None:
    with pytest.raises(ToolError, match="say with image_id on which image the boxes are"):
        call(make_workspace(), "learn_concept", name="box", positive_boxes=[[230, 120, 290, 180]])


def test_the_refining_tool_says_that_it_left_the_negatives_out() -> None:
    workspace = workspace_of_discs()
    liked, disliked = ([list(box)] for box in boxes_of_discs()[:2])
    arguments = {"image_id": "img1", "concept": "disc", "positive_boxes": liked}
    told = call(workspace, "refine_with_exemplars", **arguments, negative_boxes=disliked)
    assert "hint: with the negative examples the positive ones were no longer found" in told.text
    told = call(workspace, "refine_with_exemplars", **arguments)
    assert "negative" not in told.text
