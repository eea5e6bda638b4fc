"""A call that waited for the model says so once, in its text and in its data; later ones say nothing."""

import threading
from pathlib import Path

import pytest
from mcp import Client
from sam3_mcp.image_access import ImageAccess
from sam3_mcp.model_loader import NOTICE_SECONDS, Loading
from sam3_mcp.path_allowlist import PathAllowlist
from sam3_mcp.server import build_server
from sam3_mcp.sessions import Sessions
from sam3_mcp.tool_handler import Backend

from sam3_agent.model.fake import FakeSegmenter
from tests.mcp_server.fixtures_server import answers, text_of

pytestmark = pytest.mark.anyio


async def test_a_call_that_waited_for_the_model_says_so(folder: Path) -> None:
    loading = Loading(lambda: FakeSegmenter(answers), "fake", notice_seconds=0.0)
    backend = Backend(loading, lambda: Sessions(ImageAccess(PathAllowlist.of([folder]))))
    async with Client(build_server(backend)) as client:
        result = await client.call_tool("open_image", {"source": str(folder / "square.png")})
    assert "s of this call were the model fake warming up; further calls do not wait" in text_of(result)
    assert result.structured_content["notice"].startswith("note: ")
    assert result.structured_content["image_id"] == "img1"


async def test_a_call_that_did_not_wait_says_nothing(folder: Path) -> None:
    loading = Loading(lambda: FakeSegmenter(answers), "fake", notice_seconds=600.0)
    backend = Backend(loading, lambda: Sessions(ImageAccess(PathAllowlist.of([folder]))))
    async with Client(build_server(backend)) as client:
        result = await client.call_tool("open_image", {"source": str(folder / "square.png")})
    assert "warming up" not in text_of(result)
    assert "notice" not in result.structured_content


def test_the_notice_tells_how_long() -> None:
    loading = Loading(threading.Event, "facebook/sam3")  # type: ignore[arg-type]  # never made
    assert loading.notice(NOTICE_SECONDS / 2) == ""
    assert loading.notice(41.4) == (
        "note: 41 s of this call were the model facebook/sam3 warming up; further calls do not wait"
    )
