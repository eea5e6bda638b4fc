"""Arguments are understood in the ways in which hosts and models write them."""

import base64
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sam3_agent.errors import ToolError
from sam3_agent.tools import ALL_TOOLS
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import fake_segmenter, make_workspace, picture

TOOLS = {tool.name: tool for tool in ALL_TOOLS}
SEGMENT = {"image_id": "img1", "concepts": ["circle"]}


def checked(name: str, **raw: Any) -> dict[str, Any]:
    return TOOLS[name].checked(raw)


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize(
    "added",
    [
        {"toolCallId": "call_1", "sessionId": "s"},
        {"_meta": {"progressToken": 1}, "_sessionID": "x", "$schema": "y"},
        {"random_string": "dummy"},
        {
            "tool_call_id": "c",
            "requestId": 7,
            "thread_id": "t",
            "traceUUID": "u",
            "chatInput": "find it",
            "action": "go",
        },
        {"explanation": "because", "request_heartbeat": True},
    ],
)
def test_what_a_host_adds_is_left_out(added: dict[str, Any]) -> None:
    assert checked("segment_concepts", **SEGMENT, **added) == checked("segment_concepts", **SEGMENT)
    assert checked("list_images", **added) == {}


@pytest.mark.parametrize("slip", ["prompt", "mask_id", "imgId", "boxes", "pointId"])
def test_a_slip_of_the_caller_is_told(slip: str) -> None:
    with pytest.raises(ToolError, match=f"there is no argument '{slip}'"):
        checked("segment_concepts", **SEGMENT, **{slip: "m1"})


def test_a_tool_without_arguments_takes_any() -> None:
    assert checked("list_images", anything=1) == {}


@pytest.mark.parametrize("key", ["input", "arguments", "kwargs"])
def test_arguments_may_come_under_one_key(key: str) -> None:
    assert checked("segment_concepts", **{key: SEGMENT}) == checked("segment_concepts", **SEGMENT)
    assert checked("segment_concepts", **{key: json.dumps(SEGMENT)}) == checked("segment_concepts", **SEGMENT)


def test_names_may_be_in_camel_case() -> None:
    assert checked("segment_concepts", imageId="img1", concepts=["circle"], assumePresent="true")["assume_present"]


@pytest.mark.parametrize(
    "way",
    [
        ["red cup", "dog"],
        '["red cup", "dog"]',
        "['red cup', 'dog']",
        "('red cup', 'dog')",
        "'red cup', 'dog'",
        "[red cup, dog]",
        "red cup, dog",
        "red cup; dog",
        "red cup\ndog",
        {"0": "red cup", "1": "dog"},
        '`["red cup", "dog"]`',
    ],
)
def test_phrases_may_come_in_many_ways(way: Any) -> None:
    assert list(checked("segment_concepts", image_id="img1", concepts=way)["concepts"]) == ["red cup", "dog"]


@pytest.mark.parametrize(
    "way",
    [
        [1, 2, 30.5, 40],
        [1.0, 2.0, 30.5, 40.0],
        ["1", "2", "30.5", "40"],
        "[1, 2, 30.5, 40]",
        "(1, 2, 30.5, 40)",
        "1, 2, 30.5, 40",
        "1 2 30.5 40",
        "1,2,30.5,40;",
        "(1, 2), (30.5, 40)",
        {"x0": 1, "y0": 2, "x1": 30.5, "y1": 40},
        {"xmin": 1, "ymin": 2, "xmax": 30.5, "ymax": 40},
        {"x": 1, "y": 2, "width": 29.5, "height": 38},
        {"bbox": [1, 2, 30.5, 40]},
        [[1, 2, 30.5, 40]],
    ],
)
def test_a_box_may_come_in_many_ways(way: Any) -> None:
    assert plain(checked("look", image_id="img1", region=way)["region"]) == [1, 2, 30.5, 40]


@pytest.mark.parametrize(
    "way",
    [
        [[1, 2], [3, 4]],
        "[[1, 2], [3, 4]]",
        "[1, 2], [3, 4]",
        "(1, 2), (3, 4)",
        "1, 2; 3, 4",
        "1 2\n3 4",
        [{"x": 1, "y": 2}, {"x": 3, "y": 4}],
        ["1, 2", "3, 4"],
        [(1, 2), (3, 4)],
    ],
)
def test_points_may_come_in_many_ways(way: Any) -> None:
    assert plain(checked("segment_at", image_id="img1", points=way)["points"]) == [[1, 2], [3, 4]]


def test_one_point_or_box_needs_no_outer_list() -> None:
    given = checked("segment_at", image_id="img1", points=[1, 2], labels=1.0)
    assert plain(given["points"]) == [[1, 2]]
    assert plain(given["labels"]) == [1]
    boxes = checked("refine_with_exemplars", image_id="img1", positive_boxes="1, 2, 3, 4")["positive_boxes"]
    assert plain(boxes) == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    "way", ["img1", " img1 ", '"img1"', "'img1'", "`img1`", "IMG1", "img1.", "image img1", 1, "1", ["img1"]]
)
def test_an_id_may_be_padded_quoted_or_in_capitals(way: Any) -> None:
    assert checked("look", image_id=way)["image_id"] == "img1"


@pytest.mark.parametrize(
    "way",
    [["m1", "m4"], "m1, m4", "m1 m4", "m1 and m4", "['m1', 'm4']", ["M1", " m4"], [1, 4], "1, 4", ["#m1", "mask m4"]],
)
def test_mask_ids_may_come_in_many_ways(way: Any) -> None:
    assert list(checked("look", image_id="img1", mask_ids=way)["mask_ids"]) == ["m1", "m4"]


def test_ids_with_a_suffix_and_frames_of_videos_stay_whole() -> None:
    given = checked("look", image_id="v1@120", mask_ids=["m7-k3v9abcdef"])
    assert (given["image_id"], list(given["mask_ids"])) == ("v1@120", ["m7-k3v9abcdef"])


@pytest.mark.parametrize("way", ["union", " Union", '"union"', "UNION"])
def test_a_choice_is_read_in_any_case(way: str) -> None:
    assert checked("combine_masks", mask_ids=["m1", "m2"], operation=way)["operation"] == "union"


def encoded(form: str = "PNG") -> tuple[bytes, str]:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, form)
    return buffer.getvalue(), base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_may_come_as_base64_in_any_dress(form: str) -> None:
    _, text = encoded(form)
    uri = f"data:image/{form.lower()};base64,{text}"
    lines = "\n".join(text[start : start + 76] for start in range(0, len(text), 76))
    ways = [uri, uri.rstrip("="), f'"{uri}"', "DATA" + uri[4:], text, text.rstrip("="), lines]
    ways += [text.replace("+", "-").replace("/", "_") if form != "JPEG" else text]
    for way in ways:
        opened = TOOLS["open_image"].call(Workspace(fake_segmenter()), {"source": way})
        assert (opened.data["width"], opened.data["height"]) == (320, 200)


@pytest.mark.parametrize("quotes", ["''", '""', "``", "<>", "  "])
def test_a_path_may_be_quoted(tmp_path: Any, quotes: str) -> None:
    path = tmp_path / "a picture.png"
    path.write_bytes(encoded()[0])
    opened = TOOLS["open_image"].call(Workspace(fake_segmenter()), {"source": f"{quotes[0]}{path}{quotes[1]}"})
    assert opened.data["source"] == str(path)


@pytest.mark.parametrize(
    ("tool", "raw"),
    [
        ("segment_concepts", {"concepts": ["circle"], "region": [0.1, 0.1, 0.9, 0.9]}),
        ("look", {"region": [0, 0, 0.5, 1]}),
        ("segment_at", {"points": [[0.5, 0.25]]}),
        ("segment_at", {"box": [0.1, 0.1, 0.9, 0.9]}),
        ("refine_with_exemplars", {"positive_boxes": [[0.1, 0.1, 0.9, 0.9]]}),
    ],
)
def test_shares_are_no_pixels(tool: str, raw: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match="looks like shares of the image; coordinates are pixels"):
        TOOLS[tool].call(make_workspace(), {"image_id": "img1", **raw})


def test_thousandths_get_a_hint_with_the_pixels_they_mean() -> None:
    result = TOOLS["segment_concepts"].call(make_workspace(), {**SEGMENT, "region": [100, 100, 900, 950]})
    hint = next(hint for hint in result.data["hints"] if "reaches out" in hint)
    assert "if it was meant in thousandths of the image, it is [32, 20, 288, 190]" in hint
    assert f"hint: {hint}" in result.text
    inside = TOOLS["segment_concepts"].call(make_workspace(), {**SEGMENT, "region": [0, 0, 325, 200]})
    assert inside.data["hints"] == []


HUGE = st.sampled_from([10**400, -(10**400), 2**63, "9" * 5000, "\u00b2", "\ud800", "[" * 3000])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | HUGE
KEYS = st.sampled_from(["0", "1", "\u00b2", "9" * 5000, "x", "y", "x0", "box", "input", "points"]) | st.text(max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3))
WRITTEN = st.text(alphabet="[](){}'\"`,;. -+eE0123456789mgi\n", max_size=40)


@pytest.mark.parametrize(
    "box",
    [
        {"x": 10**400, "y": 0.5, "width": 1.5, "height": 2},
        {"\u00b2": 1, "0": 2},
        {"9" * 5000: 1, "0": 2},
        [10**400, 1, 2, 3],
        "[" * 5000,
    ],
)
def test_numbers_and_keys_that_python_itself_cannot_take_are_refused_in_one_line(box: Any) -> None:
    with pytest.raises(ToolError, match=r"^look: region") as caught:
        checked("look", image_id="img1", region=box)
    assert "\n" not in str(caught.value)


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_whatever_comes_is_read_or_refused_in_one_line(data: st.DataObject) -> None:
    tool = data.draw(st.sampled_from(ALL_TOOLS))
    names = st.sampled_from([*tool.arguments.model_fields, "toolCallId", "input", "prompt"])
    raw = data.draw(st.dictionaries(names, VALUES | WRITTEN, max_size=4))
    told = ""
    try:
        read = list(tool.checked(raw))
    except ToolError as refused:
        read, told = list(tool.arguments.model_fields), str(refused)
    assert read == list(tool.arguments.model_fields)
    assert "\n" not in told
    assert not told or told.startswith(f"{tool.name}: ")


def test_more_that_means_nothing_or_stands_in_a_list_of_one() -> None:
    given = checked("segment_at", image_id="img1", points=[[5, 5]], box="null", mask_id="None", region="none")
    assert (list(given["box"]), given["mask_id"], list(given["region"])) == ([], "", [])
    assert list(checked("segment_concepts", image_id="img1", concepts=["['cup', 'dog']"])["concepts"]) == ["cup", "dog"]
    assert list(checked("look", image_id="img1", mask_ids=["m1, m4"])["mask_ids"]) == ["m1", "m4"]
    assert checked("segment_concepts", **SEGMENT, threshold="40 %")["threshold"] == 0.4
    assert checked("open_image", source={"url": "a.png"}) == {"source": "a.png"}


@pytest.mark.parametrize(
    ("tool", "raw", "message"),
    [
        ("segment_at", {"points": [[900, 950]]}, "point [900.0, 950.0] lies outside the 320x200 image"),
        ("look", {"region": [400, 400, 800, 900]}, "box [400.0, 400.0, 800.0, 900.0] lies outside the 320x200 image"),
        ("refine_with_exemplars", {"positive_boxes": [[400, 400, 800, 900]]}, "lies outside the 320x200 image"),
    ],
)
def test_what_lies_outside_is_told_in_pixels(tool: str, raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolError) as caught:
        TOOLS[tool].call(make_workspace(), {"image_id": "img1", **raw})
    assert message in str(caught.value)
    assert "if it was meant in thousandths of the image, it is" in str(caught.value)


def test_python_opens_binary_files_and_says_what_it_cannot_open() -> None:
    data, _ = encoded()
    workspace = Workspace(fake_segmenter())
    for source in (io.BytesIO(data), bytearray(data), memoryview(data)):
        image = workspace.open(source)
        assert (image.width, image.height) == (320, 200)
    closed = io.BytesIO(data)
    closed.close()
    unusable: list[Any] = [io.StringIO("text"), closed, 7, None]
    for source in unusable:
        with pytest.raises(ToolError, match=r"cannot (open|read)"):
            workspace.open(source)
