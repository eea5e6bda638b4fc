"""Every tool through a real client session in memory."""

import base64
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from inline_snapshot import snapshot
from mcp import Client
from mcp_types import CallToolResult
from PIL import Image
from sam3_mcp.results import Settings
from sam3_mcp.server import INSTRUCTIONS, build_server, instructions_for

from sam3_agent.loop.load_llm import load_llm
from tests.mcp_server.fixtures_server import MakeServer, images_of, make_backend, still_video, text_of
from tests.tools.fixtures_schema import unbounded

pytestmark = pytest.mark.anyio
ERAS = ("legacy", "auto")
FORBIDDEN = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "prefixItems"}


def walk(value: Any) -> Iterator[Any]:
    yield value
    inner = cast(dict[str, Any], value).values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for child in cast(Iterable[Any], inner):
            yield from walk(child)


def check_honest(result: CallToolResult) -> None:
    """No bytes or RLE in the texts, pictures small and readable, the whole under 1 MB."""
    words = text_of(result) + json.dumps(result.structured_content)
    assert "counts" not in words
    assert "base64," not in words
    assert max((len(word) for word in words.split()), default=0) < 400
    assert len(result.model_dump_json(by_alias=True)) < 1_000_000
    for image in images_of(result):
        data = base64.b64decode(image.data)
        assert len(data) <= 300_000
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.format == "JPEG"


async def test_hosts_see_a_length_for_every_text_and_list_of_every_tool_jobs_included(folder: Path) -> None:
    async with Client(build_server(make_backend(folder, make_llm=lambda: load_llm("rules")))) as client:
        tools = (await client.list_tools()).tools
    assert {"ask_image", "ask_video"} <= {tool.name for tool in tools}
    assert [place for tool in tools for place in unbounded(tool.input_schema, tool.name)] == []


@pytest.mark.parametrize("era", ERAS)
async def test_the_tools_are_listed_with_titles_descriptions_and_annotations(make_server: MakeServer, era: str) -> None:
    async with Client(make_server(), mode=era) as client:
        tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == snapshot(
        [
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
            "get_job",
            "cancel_job",
        ]
    )
    for tool in tools:
        assert tool.title
        assert len(tool.description or "") > 40
        assert tool.annotations is not None
        assert tool.annotations.open_world_hint is False
        taking = ("forget_image", "export_masks", "edit_tracks", "export_tracks", "forget_video", "cancel_job")
        assert tool.annotations.read_only_hint is (tool.name not in taking)
        assert len(f"mcp__sam3__{tool.name}") <= 60


async def test_every_input_schema_is_flat_and_every_name_short(folder: Path) -> None:
    backend = make_backend(folder, make_llm=lambda: load_llm("rules"))
    async with Client(build_server(backend)) as client:
        tools = (await client.list_tools()).tools
    assert len(tools) == 25  # with an LLM of its own the server offers ask_image and ask_video too
    for tool in tools:
        assert len(f"mcp__sam3__{tool.name}") <= 60
        assert tool.description
        for part in walk(tool.input_schema):
            if isinstance(part, dict):
                assert not FORBIDDEN & set(part), tool.name  # pyright: ignore[reportUnknownArgumentType]
                assert not isinstance(part.get("type"), list), tool.name  # pyright: ignore[reportUnknownMemberType]


async def test_the_instructions_reach_the_client_and_fit_on_a_screen(make_server: MakeServer) -> None:
    async with Client(make_server(), mode="legacy") as client:
        assert client.instructions == INSTRUCTIONS
    lines = instructions_for("tiny", has_agent=True).splitlines()
    assert len(lines) <= 32
    assert max(map(len, lines)) <= 120


def test_with_the_tiny_model_the_instructions_say_that_it_knows_only_drawings() -> None:
    for model in ("tiny", "tiny+gears"):
        assert "never report from it that something is not there" in instructions_for(model)
    assert instructions_for("facebook/sam3") == INSTRUCTIONS


async def test_a_server_with_an_agent_says_so_in_its_instructions(folder: Path) -> None:
    backend = make_backend(folder, make_llm=lambda: load_llm("rules"))
    async with Client(build_server(backend), mode="legacy") as client:
        assert "ask_image and ask_video answer one whole question" in (client.instructions or "")
    assert "ask_video" not in INSTRUCTIONS


@pytest.mark.parametrize("era", ERAS)
async def test_every_tool_works_in_one_session(make_server: MakeServer, folder: Path, era: str) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("open_image", {"source": str(folder / "square.png")}),
        ("segment_concepts", {"image_id": "img1", "concepts": ["square", "cat", "ghost"]}),
        ("read_presence", {"image_id": "img1", "concepts": ["square", "ghost"]}),
        ("refine_with_exemplars", {"image_id": "img1", "concept": "square", "positive_masks": ["m1"]}),
        ("segment_at", {"image_id": "img1", "points": [[50, 50]]}),
        ("combine_masks", {"mask_ids": ["m1", "m2"], "operation": "union"}),
        ("measure_masks", {"image_id": "img1", "mask_ids": ["m1", "m2"]}),
        ("look", {"image_id": "img1", "mask_ids": ["m1"], "region": [0, 0, 100, 100]}),
        ("learn_concept", {"name": "box", "positive_masks": ["m1"]}),
        ("export_masks", {"mask_ids": ["m1", "m2"], "path": "both"}),
        ("list_images", {}),
        ("forget_image", {"image_id": "img1"}),
        ("open_video", {"source": str(still_video(folder))}),
        ("look_frames", {"video_id": "v1", "frames": [0, 2]}),
        ("track_concepts", {"video_id": "v1", "concepts": ["square"]}),
        ("track_at", {"video_id": "v1", "frame": 1, "points": [[30, 30]]}),
        ("list_tracks", {"video_id": "v1"}),
        ("measure_tracks", {"video_id": "v1", "frame": 1}),
        ("edit_tracks", {"video_id": "v1", "operation": "drop", "track_ids": ["t3"]}),
        ("export_tracks", {"video_id": "v1", "format": "ytvis"}),
        ("forget_video", {"video_id": "v1"}),
        ("get_job", {"job_id": "job1"}),
        ("cancel_job", {"job_id": "job1"}),
    ]
    async with Client(build_server(make_backend(folder, out_dir=folder.parent / "out")), mode=era) as client:
        assert [name for name, _ in calls] == [tool.name for tool in (await client.list_tools()).tools]
        results = {name: await client.call_tool(name, arguments) for name, arguments in calls}
    for name, result in results.items():
        assert not result.is_error, (name, text_of(result))
        check_honest(result)
    with_pictures = {name for name, result in results.items() if images_of(result)}
    without = {"read_presence", "measure_masks", "learn_concept", "export_masks", "list_images", "forget_image"}
    without |= {"list_tracks", "measure_tracks", "edit_tracks", "export_tracks", "forget_video"}
    assert with_pictures == {name for name, _ in calls} - without


async def test_the_same_facts_are_in_text_and_in_structured_content(make_server: MakeServer, folder: Path) -> None:
    async with Client(make_server()) as client:
        await client.call_tool("open_image", {"source": str(folder / "square.png")})
        result = await client.call_tool("segment_concepts", {"image_id": "img1", "concepts": ["square", "cat"]})
    text, data = text_of(result), result.structured_content
    square, cat = data["results"]
    assert [found["id"] for found in square["instances"]] == ["m1", "m2"]
    assert [found["id"] for found in cat["near_misses"]] == ["m3"]
    assert square["instances"][0]["box"] == [20, 20, 80, 80]
    for fact in ("m1", "m2", "m3", "[20, 20, 80, 80]", "presence 0.95", "presence 0.30", *data["hints"]):
        assert fact in text
    assert data["pictures"][0]["caption"] in text


async def test_two_hundred_masks_fit_into_one_result(make_server: MakeServer, folder: Path) -> None:
    async with Client(make_server()) as client:
        await client.call_tool("open_image", {"source": str(folder / "square.png")})
        result = await client.call_tool("segment_concepts", {"image_id": "img1", "concepts": ["dot"]})
        measured = await client.call_tool("measure_masks", {"image_id": "img1"})
    assert len(result.structured_content["results"][0]["instances"]) == 200
    check_honest(result)
    check_honest(measured)


async def test_pictures_can_be_left_out(make_server: MakeServer, folder: Path) -> None:
    async with Client(make_server(Settings(images="omit"))) as client:
        result = await client.call_tool("open_image", {"source": str(folder / "square.png")})
    assert not images_of(result)
    assert "--images omit" in text_of(result)
    assert result.structured_content["pictures"][0]["note"] in text_of(result)


@pytest.mark.parametrize(("max_side", "sent"), [(1024, 640), ("320", 320), (64, 64), (0, None)])
async def test_the_caller_decides_how_large_a_picture_it_gets(
    make_server: MakeServer, folder: Path, max_side: Any, sent: int | None
) -> None:
    async with Client(make_server()) as client:
        result = await client.call_tool("open_image", {"source": str(folder / "square.png"), "max_side": max_side})
    assert not result.is_error, text_of(result)
    pictures = [Image.open(io.BytesIO(base64.b64decode(image.data))) for image in images_of(result)]
    assert [max(picture.size) for picture in pictures] == ([] if sent is None else [sent])
    note = result.structured_content["pictures"][0].get("note", "")
    assert note in text_of(result)
    if sent is None:
        assert "max_side is 0" in note
    elif sent < 640:  # the preview of a 320 pixel image is 640 wide, and its caption says so
        assert f"its scale is {sent / 320:.4g}, not the caption's" in note


@pytest.mark.parametrize("max_side", [-1, 5, "big", 2.5, True, "9" * 5000])
async def test_an_unusable_max_side_is_explained(make_server: MakeServer, folder: Path, max_side: Any) -> None:
    async with Client(make_server()) as client:
        result = await client.call_tool("open_image", {"source": str(folder / "square.png"), "max_side": max_side})
    assert result.is_error
    assert "expected 64 to 1024 pixels, or 0" in text_of(result)
    assert len(text_of(result)) < 200
