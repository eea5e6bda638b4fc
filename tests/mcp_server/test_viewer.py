"""The viewer in a real browser: as a saved page, and inside a page that plays the host of an MCP App."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from sam3_mcp.server import build_server
from sam3_mcp.viewer import VIEWER_URI

from tests.labeling.fixtures_page import chromium
from tests.mcp_server.fixtures_server import make_backend

HOST = """<!doctype html><iframe id="app" style="width:900px;height:600px"></iframe><script>
const given = JSON.parse(document.getElementById("given").textContent), app = document.getElementById("app");
window.asked = [];
window.addEventListener("message", ({ data }) => {
  const send = (message) => app.contentWindow.postMessage({ jsonrpc: "2.0", ...message }, "*");
  if (data.method === "ui/initialize")
    send({ id: data.id, result: { protocolVersion: "2026-01-26", hostInfo: {}, hostCapabilities: {} } });
  if (data.method === "resources/read") {
    window.asked.push(data.params.uri);
    send({ id: data.id, result: { contents: [given.resources[data.params.uri]] } });
  }
  if (data.method === "ui/notifications/initialized")
    send({ method: "ui/notifications/tool-result", params: given.result });
});
app.srcdoc = given.page;
</script>"""


@pytest.fixture
def page() -> Iterator[Any]:
    """A page of a headless browser; what it complains of fails the test."""
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        found = browser.new_page(viewport={"width": 1200, "height": 800})
        complaints: list[str] = []
        found.on("pageerror", lambda error: complaints.append(str(error)))
        yield found
        browser.close()
    assert complaints == []


def painted(frame: Any) -> int:
    """How many pixels of the overlay are not empty."""
    return frame.evaluate(
        """() => { const c = document.getElementById("masks"); if (!c.width) return 0;
        const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data; let n = 0;
        for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; }"""
    )


def use(frame: Any) -> None:
    """Move the threshold, switch masks off and on, point at one."""
    frame.wait_for_function("document.querySelectorAll('#list li').length === 2")
    assert frame.locator("#count").inner_text() == "2 of 2 shown"
    whole = painted(frame)
    assert whole > 500
    frame.locator("#threshold").evaluate("e => { e.value = 0.9; e.dispatchEvent(new Event('input')); }")
    assert frame.locator("#count").inner_text() == "1 of 2 shown"
    assert 0 < painted(frame) < whole
    frame.locator("#all").uncheck()
    assert painted(frame) == 0
    frame.locator("#all").check()
    before = painted(frame)
    frame.locator("#list li").first.hover()
    assert painted(frame) > before  # filled while one points at it
    assert "object 0.95" in frame.locator("#list li").first.inner_text()


async def results(folder: Path) -> dict[str, Any]:
    """A result, the viewer's page and every resource that the page may ask for."""
    async with Client(build_server(make_backend(folder, out_dir=folder / "out"))) as client:
        await client.call_tool("open_image", {"source": str(folder / "square.png")})
        result = await client.call_tool("segment_concepts", {"image_id": "img1", "concepts": ["square"]})
        await client.call_tool("export_masks", {"mask_ids": ["m1", "m2"], "format": "viewer", "path": "saved"})
        uris = ["sam3://images/img1.jpg", "sam3://masks/m1.json", "sam3://masks/m2.json", VIEWER_URI]
        read = [(await client.read_resource(uri)).contents[0] for uri in uris]
    files = {
        uri: one.model_dump(mode="json", by_alias=True, exclude_none=True) for uri, one in zip(uris, read, strict=True)
    }
    return {
        "result": result.model_dump(mode="json", by_alias=True),
        "resources": files,
        "page": files[VIEWER_URI]["text"],
    }


@pytest.fixture
def given(folder: Path) -> dict[str, Any]:
    return anyio.run(results, folder)


@pytest.mark.integration
def test_a_saved_page_shows_its_masks(given: dict[str, Any], folder: Path, page: Any) -> None:
    page.goto((folder / "out" / "saved" / "img1.html").as_uri())
    use(page)


@pytest.mark.integration
def test_the_app_shows_a_tools_result_inside_a_host(given: dict[str, Any], page: Any) -> None:
    text = json.dumps(given).replace("<", "\\u003c")
    page.set_content(f'<script type="application/json" id="given">{text}</script>{HOST}')
    page.wait_for_function("window.asked.length === 3")
    frame = page.frames[1]
    use(frame)
    assert sorted(page.evaluate("window.asked")) == [
        "sam3://images/img1.jpg",
        "sam3://masks/m1.json",
        "sam3://masks/m2.json",
    ]
