"""A tool is read off one function, and bad arguments come back as instructions."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sam3_agent.errors import ToolError
from sam3_agent.tools import ALL_TOOLS, HOST_TOOLS, LOOP_TOOLS, VIDEO_LOOP_TOOLS, ToolSpec
from tests.fixtures_workspace import make_workspace
from tests.tools.fixtures_schema import unbounded

TOOLS = {tool.name: tool for tool in ALL_TOOLS}
FORBIDDEN = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "prefixItems", "title", "const", "additionalProperties"}


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def refusal(tool: str, /, **raw: Any) -> str:
    with pytest.raises(ToolError) as caught:
        TOOLS[tool].call(make_workspace(), raw)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_tools_are_those_of_the_design() -> None:
    assert [tool.name for tool in ALL_TOOLS] == [
        "open_image",
        "segment_concepts",
        "read_presence",
        "refine_with_exemplars",
        "segment_at",
        "combine_masks",
        "measure_masks",
        "look",
        "learn_concept",
        "export_masks",
        "list_images",
        "forget_image",
        "open_video",
        "look_frames",
        "track_concepts",
        "track_at",
        "list_tracks",
        "measure_tracks",
        "edit_tracks",
        "export_tracks",
        "forget_video",
        "submit_answer",
        "report_no_match",
        "submit_tracks",
    ]


def test_hosts_get_no_end_of_run_and_the_loop_opens_nothing() -> None:
    assert {"submit_answer", "submit_tracks", "report_no_match"}.isdisjoint(tool.name for tool in HOST_TOOLS)
    assert {"open_image", "forget_image"}.isdisjoint(tool.name for tool in LOOP_TOOLS)
    assert {"open_video", "forget_video"}.isdisjoint(tool.name for tool in VIDEO_LOOP_TOOLS)
    assert {*HOST_TOOLS, *LOOP_TOOLS, *VIDEO_LOOP_TOOLS} == {*ALL_TOOLS}


@pytest.mark.parametrize("tool", ALL_TOOLS, ids=lambda tool: tool.name)
def test_a_schema_is_flat_and_every_argument_is_described(tool: ToolSpec) -> None:
    schema = tool.json_schema
    json.dumps(schema)
    assert schema["type"] == "object"
    properties = schema["properties"]
    assert FORBIDDEN.isdisjoint(keys({name: {**value, "description": ""} for name, value in properties.items()}))
    assert all(isinstance(value["type"], str) and value["description"] for value in properties.values())
    assert set(schema.get("required", [])) <= set(properties)


@pytest.mark.parametrize("tool", ALL_TOOLS, ids=lambda tool: tool.name)
def test_every_text_and_every_list_has_a_length_that_models_see(tool: ToolSpec) -> None:
    assert list(unbounded(tool.json_schema, tool.name)) == []


def test_a_text_a_list_and_an_object_without_a_length_are_found() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "kind": {"type": "string", "enum": ["a"]},
            "rows": {"type": "array", "maxItems": 4, "items": {"type": "array", "items": {"type": "string"}}},
            "more": {"type": "object"},
        },
    }
    assert list(unbounded(schema, "tool")) == ["tool.name", "tool.rows[]", "tool.rows[][]", "tool.more"]


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("segment_at", {"image_id": "img1", "points": [[1, 1]] * 65}, "at most 64 items"),
        ("segment_at", {"image_id": "img1", "points": str([[1, 1]] * 65)}, "at most 64 items"),
        ("segment_at", {"image_id": "img1", "points": [[1, 1]], "labels": [1] * 65}, "at most 64 items"),
        ("refine_with_exemplars", {"image_id": "img1", "positive_boxes": [[1, 1, 9, 9]] * 65}, "at most 64 items"),
        ("refine_with_exemplars", {"image_id": "img1", "concept": "x" * 301}, "at most 300 characters"),
        ("segment_concepts", {"image_id": "img1", "concepts": ["x"] * 17}, "at most 16 items"),
        ("look", {"image_id": "img1", "mask_ids": ["m1"] * 1025}, "at most 1024 items"),
        ("look", {"image_id": "img1" + "0" * 80}, "at most 64 characters"),
        ("look", {"image_id": "img1", "mask_ids": ["m1" + "0" * 80]}, "at most 64 characters"),
        ("export_masks", {"mask_ids": ["m1"], "path": "x" * 1025}, "at most 1024 characters"),
        ("learn_concept", {"name": "x" * 101}, "at most 100 characters"),
        ("report_no_match", {"reason": "x" * 2001}, "at most 2000 characters"),
        ("segment_at", {"image_id": "img1", "points": "[1, 2]" * 20_000}, "points = '[1, 2]"),
    ],
)
def test_more_than_the_schema_allows_is_refused_with_the_limit(name: str, raw: dict[str, Any], said: str) -> None:
    message = refusal(name, **raw)
    assert said in message
    assert len(message) < 400


@pytest.mark.parametrize("tool", ALL_TOOLS, ids=lambda tool: tool.name)
def test_a_description_says_enough_and_names_are_short(tool: ToolSpec) -> None:
    assert 40 < len(tool.description) < 1300
    assert len(tool.name) <= 24
    assert tool.title
    assert "workspace" not in tool.description


def test_the_descriptions_teach_what_a_concept_and_a_presence_are() -> None:
    text = TOOLS["segment_concepts"].description
    assert all(
        word in text for word in ("singular", "relations", "superlatives", "negations", "presence", "object_score")
    )


def test_only_forgetting_editing_and_writing_files_are_not_read_only() -> None:
    removing = ["export_masks", "forget_image", "edit_tracks", "export_tracks", "forget_video"]
    assert [tool.name for tool in ALL_TOOLS if tool.removes] == removing


def test_lists_and_texts_of_the_tools_for_videos_are_bounded() -> None:
    for tool in ALL_TOOLS:
        if "video_id" in tool.json_schema["properties"]:
            for name, field in tool.json_schema["properties"].items():
                if field["type"] == "array":
                    assert field["maxItems"] <= 200, (tool.name, name)
                if field["type"] == "string" and not name.endswith("_id"):
                    assert field.get("maxLength", 0) or field.get("enum"), (tool.name, name)


def test_a_brief_spec_tells_no_limits_and_nothing_that_the_caller_knows() -> None:
    tool = TOOLS["segment_at"]
    told = replace(tool, hidden=("image_id",), brief=True)
    assert {"image_id"} == tool.json_schema["properties"].keys() - told.json_schema["properties"].keys()
    assert not {"maxLength", "maxItems", "minItems"} & set(keys(told.json_schema))
    assert "required" not in told.json_schema
    assert len(json.dumps(told.json_schema)) < 0.8 * len(json.dumps(tool.json_schema))


def test_what_a_brief_spec_does_not_tell_is_filled_in_and_its_limits_stay() -> None:
    workspace, known = make_workspace(), {"image_id": "img1"}
    told = replace(TOOLS["read_presence"], hidden=("image_id",), brief=True)
    for raw in (
        {"concepts": ["circle"]},
        {"input": {"concepts": ["circle"]}},
        {"concepts": "circle", "imageId": "img1"},
    ):
        assert told.call(workspace, raw, known=known).data["results"][0]["concept"] == "circle"
    with pytest.raises(ToolError, match="known: img1"):
        told.call(workspace, {"image_id": "img7", "concepts": ["circle"]}, known=known)
    with pytest.raises(ToolError, match="at most 16 items"):
        told.call(workspace, {"concepts": ["x"] * 17}, known=known)
    combine = replace(TOOLS["combine_masks"], hidden=("image_id",), brief=True)
    with pytest.raises(ToolError, match="unknown mask 'm1'"):
        combine.call(workspace, {"mask_ids": ["m1"], "operation": "union"}, known=known)


def test_a_missing_argument_is_asked_for() -> None:
    assert refusal("segment_concepts", concepts=["cup"]).startswith(
        "segment_concepts: the argument 'image_id' is missing: Image id, as 'img1'"
    )


def test_an_unknown_argument_names_the_known_ones() -> None:
    assert refusal("segment_concepts", image_id="img1", concepts=["cup"], prompt="cup") == (
        "segment_concepts: there is no argument 'prompt'; the arguments are image_id, concepts, threshold, region, "
        "tiles, assume_present"
    )


def test_a_bad_value_is_shown_with_what_is_expected() -> None:
    message = refusal("segment_concepts", image_id="img1", concepts=[], threshold=3)
    assert "concepts = [] is not usable: value should have at least 1 item" in message
    assert "threshold = 3 is not usable: input should be less than or equal to 1" in message
    assert "concepts[1] = 7" in refusal("segment_concepts", image_id="img1", concepts=["cup", 7])
    assert "style = 'neon' is not usable: input should be 'marks'" in refusal("look", image_id="img1", style="neon")


def test_a_huge_bad_value_is_cut_short() -> None:
    assert len(refusal("segment_concepts", image_id={"a": "x" * 9000}, concepts=["cup"])) < 400


def test_numbers_that_are_none_are_refused() -> None:
    assert "threshold" in refusal("segment_concepts", image_id="img1", concepts=["cup"], threshold=float("nan"))
    assert "four finite numbers" in refusal("look", image_id="img1", region=[0, 0, float("inf"), 5])


def test_a_region_needs_four_numbers() -> None:
    assert "region needs four numbers" in refusal("look", image_id="img1", region=[1, 2, 3])


def test_lists_may_come_in_the_ways_models_write_them() -> None:
    workspace = make_workspace()
    ways = (["circle", "square"], '["circle", "square"]', "circle, square")
    texts = {
        json.dumps(TOOLS["read_presence"].call(workspace, {"image_id": "img1", "concepts": way}).data) for way in ways
    }
    assert len(texts) == 1
    flat = {"image_id": "img1", "positive_boxes": [20, 20, 81, 81]}
    nested = {"image_id": "img1", "positive_boxes": "[[20, 20, 81, 81]]"}
    found = [
        TOOLS["refine_with_exemplars"].call(workspace, raw).data["results"][0]["instances"] for raw in (flat, nested)
    ]
    assert found[0] == found[1]
    assert TOOLS["look"].call(workspace, {"image_id": "img1", "region": "0, 0, 50, 50"}).data["region"] == [
        0,
        0,
        50,
        50,
    ]


def test_an_argument_left_null_takes_its_default() -> None:
    assert (
        TOOLS["look"].call(make_workspace(), {"image_id": "img1", "region": None, "style": None}).data["style"]
        == "marks"
    )


def test_a_required_argument_left_null_is_refused() -> None:
    assert "image_id = None" in refusal("look", image_id=None)


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("look", {"image_id": "img7"}, "unknown image 'img7'; known: img1"),
        ("look", {"image_id": "img1", "mask_ids": ["m9"]}, "unknown mask 'm9'; known: none yet"),
        ("look", {"image_id": "img1", "region": [400, 0, 500, 9]}, "outside the 320x200 image"),
        ("segment_concepts", {"image_id": "img1", "concepts": [" "]}, "the concept is empty"),
        ("segment_concepts", {"image_id": "img1", "concepts": ["x" * 500]}, "at most 300 characters"),
        ("open_image", {"source": "nowhere.png"}, "no such file: 'nowhere.png'"),
        ("submit_answer", {"mask_ids": []}, "call report_no_match"),
        ("submit_answer", {"mask_ids": ["m3"]}, "unknown mask 'm3'"),
        ("combine_masks", {"mask_ids": ["m1"], "operation": "union"}, "unknown mask 'm1'"),
        ("refine_with_exemplars", {"image_id": "img1", "positive_boxes": [[1, 2, 3]]}, "needs four numbers"),
        ("measure_masks", {"image_id": "img1", "order_by": "wide"}, "order_by = 'wide'"),
        ("segment_at", {"image_id": "img1"}, "nothing says which object"),
        ("segment_at", {"image_id": "img1", "points": [[900, 5]]}, "point [900.0, 5.0] lies outside the 320x200 image"),
        ("segment_at", {"image_id": "img1", "points": [[1, 2, 3]]}, "at most 2 items"),
        ("segment_at", {"image_id": "img1", "points": [[1]]}, "each of points needs two numbers"),
        ("segment_at", {"image_id": "img1", "points": [[9, 9]], "labels": [1, 1]}, "1 points, 2 labels"),
        ("segment_at", {"image_id": "img1", "points": [[9, 9]], "labels": [2]}, "got 2"),
        ("segment_at", {"image_id": "img1", "points": [[9, 9]], "labels": [0]}, "add one on it"),
        ("segment_at", {"image_id": "img1", "points": [[float("nan"), 9]]}, "two finite numbers"),
        ("segment_at", {"image_id": "img1", "box": [5, 5, 5, 9]}, "x0 < x1"),
        ("segment_at", {"image_id": "img1", "mask_id": "m3"}, "unknown mask 'm3'"),
    ],
)
def test_what_the_caller_can_repair_comes_back_as_one_line(name: str, raw: dict[str, Any], message: str) -> None:
    assert message in refusal(name, **raw)
