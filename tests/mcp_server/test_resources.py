"""Masks, images and overlays as resources; the playbook as a prompt; the viewer; what a large result is cut to."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from PIL import Image
from sam3_mcp.results import DATA_BYTES, TEXT_BYTES, Settings, shorten, shrink
from sam3_mcp.server import build_server
from sam3_mcp.viewer import VIEWER_MIME, VIEWER_URI

from sam3_agent import masks
from sam3_agent.masks import Rle
from tests.mcp_server.fixtures_server import MakeServer, make_backend, text_of

pytestmark = pytest.mark.anyio


async def opened(client: Client, folder: Path) -> None:
    await client.call_tool("open_image", {"source": str(folder / "square.png")})
    await client.call_tool("segment_concepts", {"image_id": "img1", "concepts": ["square", "cat"]})


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_masks_images_and_overlays_can_be_read_as_files(make_server: MakeServer, folder: Path, mode: str) -> None:
    async with Client(make_server(), mode=mode) as client:
        await opened(client, folder)
        listed = {str(r.uri) for r in (await client.list_resources()).resources}
        templates = {t.uri_template for t in (await client.list_resource_templates()).resource_templates}
        read = {uri: (await client.read_resource(uri)).contents[0] for uri in listed}
        data = json.loads((await client.read_resource("sam3://masks/m1.json")).contents[0].text)
    assert listed == {
        VIEWER_URI,
        "sam3://images/img1.jpg",
        "sam3://overlays/img1.jpg",
        *(f"sam3://masks/m{n}.png" for n in (1, 2, 3)),
    }
    assert len(templates) == 4
    mask = Image.open(io.BytesIO(base64.b64decode(read["sam3://masks/m1.png"].blob)))
    mask.load()
    assert mask.size == (320, 240)
    assert np.asarray(mask).sum() == 3600
    rle = Rle((data["mask"]["size"][0], data["mask"]["size"][1]), data["mask"]["counts"])
    assert masks.area(rle) == data["area"] == 3600
    assert data["image_id"] == "img1"
    for kind in ("images", "overlays"):  # small pictures are drawn enlarged
        assert Image.open(io.BytesIO(base64.b64decode(read[f"sam3://{kind}/img1.jpg"].blob))).size == (640, 480)
    assert read[VIEWER_URI].mime_type == VIEWER_MIME
    assert "<canvas" in read[VIEWER_URI].text


@pytest.mark.parametrize(
    "uri",
    [
        "sam3://masks/m99.png",
        "sam3://masks/m1.exe",
        "sam3://images/img1.png",
        "sam3://masks/../../etc/passwd.png",
        "file:///etc/passwd",
        "sam3://masks/" + "m" * 100 + ".png",
        "x",
    ],
)
async def test_a_resource_that_is_not_there_is_one_clear_error(make_server: MakeServer, folder: Path, uri: str) -> None:
    async with Client(make_server()) as client:
        await opened(client, folder)
        with pytest.raises(MCPError, match=r"unknown mask|no such resource") as caught:
            await client.read_resource(uri)
    assert "\n" not in str(caught.value)


async def test_links_to_masks_are_sent_only_when_asked_for(folder: Path) -> None:
    for links in (False, True):
        async with Client(build_server(make_backend(folder, Settings(links=links)))) as client:
            await client.call_tool("open_image", {"source": str(folder / "square.png")})
            result = await client.call_tool("segment_concepts", {"image_id": "img1", "concepts": ["square"]})
        found = [str(block.uri) for block in result.content if block.type == "resource_link"]
        assert found == (["sam3://masks/m1.png", "sam3://masks/m2.png"] if links else [])


async def test_the_playbook_names_query_picture_and_only_tools_that_there_are(make_server: MakeServer) -> None:
    async with Client(make_server()) as client:
        (prompt,) = (await client.list_prompts()).prompts
        given = {"query": "the {image} left of it", "image": "/pictures/cat.png"}
        text = (await client.get_prompt("ground_expression", given)).messages[0].content.text
        tools = {tool.name for tool in (await client.list_tools()).tools}
        with pytest.raises(MCPError, match="needs the argument 'image'"):
            await client.get_prompt("ground_expression", {"query": "a cat"})
        with pytest.raises(MCPError, match="unknown prompt 'draw'; known: ground_expression"):
            await client.get_prompt("draw", {})
    assert prompt.description
    assert "Expression: the {image} left of it\nImage: /pictures/cat.png" in text
    named = {word.strip("`.,:;()") for word in text.split() if "_" in word} - {"image_id", "image_id;"}
    assert named
    assert {name for name in named if name not in tools} == set()


def test_a_result_that_is_too_large_is_cut_and_says_so() -> None:
    text = "\n".join(f"m{n} 'cup': score 0.5; box [0, 0, 10, 10]" for n in range(20_000))
    short = shorten(text, TEXT_BYTES)
    assert len(json.dumps(short)) < TEXT_BYTES + 500
    assert short.endswith("or a higher threshold)")
    assert "more lines are left out here" in short
    assert shorten("one line", 100) == "one line"
    data = {"image_id": "img1", "results": [{"instances": [{"id": f"m{n}", "box": [0.0] * 4} for n in range(30_000)]}]}
    small = shrink(data, DATA_BYTES)
    assert len(json.dumps(small)) < DATA_BYTES + 500
    kept = len(small["results"][0]["instances"])
    assert small["left_out"].startswith(f"{30_000 - kept} items are left out here")
    assert kept > 2000
    assert len(data["results"][0]["instances"]) == 30_000
    assert shrink({"words": "x" * 1000}, 500) == {"left_out": shrink({"words": "x" * 1000}, 500)["left_out"]}


async def test_a_whole_result_stays_under_a_megabyte_with_sixteen_crowded_concepts(
    make_server: MakeServer, folder: Path
) -> None:
    concepts = ["dot", *(f"dot {n}" for n in range(15))]
    async with Client(make_server()) as client:
        await client.call_tool("open_image", {"source": str(folder / "square.png")})
        result = await client.call_tool("segment_concepts", {"image_id": "img1", "concepts": concepts})
    assert not result.is_error, text_of(result)
    assert len(result.model_dump_json(by_alias=True)) < 1_000_000
