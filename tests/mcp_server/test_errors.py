"""What goes wrong comes back as an error result whose one line says what to do."""

import logging
import os
import re
import threading
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from mcp import Client
from numpy.typing import NDArray
from sam3_mcp.path_allowlist import PathAllowlist

from sam3_agent.errors import InputError, ModelUnavailable
from sam3_agent.model.fake import FakeFeatures, FakeSegmenter
from sam3_agent.model.scheduler import Scheduler
from sam3_agent.model.segmenter import Segmenter
from tests.mcp_server.fixtures_server import MakeServer, answers, text_of
from tests.model.fixtures_gated import GatedEngine, image

pytestmark = pytest.mark.anyio


async def complain(client: Client, name: str, arguments: dict[str, Any]) -> str:
    result = await client.call_tool(name, arguments)
    assert result.is_error
    text = text_of(result)
    assert "Traceback" not in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_an_error_is_an_instruction(make_server: MakeServer, folder: Path, mode: str) -> None:
    async with Client(make_server(), mode=mode) as client:
        await client.call_tool("open_image", {"source": str(folder / "square.png")})
        unknown = await complain(client, "look", {"image_id": "img9"})
        assert "unknown image 'img9'; known: img1" in unknown
        assert "missing" in await complain(client, "segment_concepts", {"image_id": "img1"})
        assert "mask 'm9'" in await complain(client, "combine_masks", {"mask_ids": ["m9", "m8"], "operation": "union"})
        assert "no argument 'depth'" in await complain(client, "look", {"image_id": "img1", "depth": 3})
        assert "known: open_image, segment_concepts" in await complain(client, "draw_cat", {})
        assert "known: img1" not in await complain(client, "open_image", {"source": 7})
        assert len(await complain(client, "x" * 10_000, {})) <= 2000


class BrokenSegmenter(FakeSegmenter):
    """A model with a bug."""

    def encode(self, image: NDArray[np.uint8]) -> FakeFeatures:
        raise ZeroDivisionError("secret detail")


async def test_a_bug_is_one_line_for_the_client_and_a_traceback_in_the_log(
    make_server: MakeServer, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server(make_segmenter=lambda: BrokenSegmenter(answers))
    with caplog.at_level(logging.ERROR):
        async with Client(server) as client:
            text = await complain(client, "open_image", {"source": str(folder / "square.png")})
    assert text == "internal error in 'open_image'; the server's log has the details"
    assert "ZeroDivisionError" in caplog.text


async def test_a_model_that_cannot_be_loaded_is_one_clear_line_at_every_call(make_server: MakeServer) -> None:
    def fail() -> Segmenter:
        raise ModelUnavailable("no access to facebook/sam3; ask for it on its page, then run: hf auth login")

    async with Client(make_server(make_segmenter=fail)) as client:
        assert (await client.list_tools()).tools
        for _ in range(2):
            text = await complain(client, "list_images", {})
            assert text.startswith("the model fake is not available: no access")
            assert "hf auth login" in text


async def test_a_bug_while_loading_is_said_without_its_details(
    make_server: MakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Segmenter:
        raise RuntimeError("secret detail")

    async with Client(make_server(make_segmenter=fail)) as client:
        text = await complain(client, "list_images", {})
    assert "internal error while loading (RuntimeError)" in text
    assert "secret detail" not in text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_handshake_does_not_wait_for_the_model_and_the_first_call_does_with_progress(
    make_server: MakeServer, mode: str
) -> None:
    release = threading.Event()

    def load_slowly() -> Segmenter:
        assert release.wait(30)
        return FakeSegmenter(answers)

    messages: list[tuple[float, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        messages.append((progress, message))
        if len(messages) == 2:
            release.set()

    async with Client(make_server(make_segmenter=load_slowly), mode=mode) as client:
        assert len((await client.list_tools()).tools) == 23
        assert not release.is_set()
        with anyio.fail_after(20):
            result = await client.call_tool("list_images", {}, progress_callback=on_progress)
    assert not result.is_error
    assert re.fullmatch(r"loading the model fake \(\d+ s\)", messages[0][1] or "")
    assert messages[0][0] < messages[1][0]


async def test_a_client_that_gives_up_leaves_the_queue_of_the_model(make_server: MakeServer, folder: Path) -> None:
    engine = GatedEngine(closed=True)
    with Scheduler([engine]) as scheduler:
        held = scheduler.begin_encode(image(1))  # keeps the network busy
        engine.wait_for_batches(1)
        async with Client(make_server(make_segmenter=lambda: scheduler)) as client:
            await client.call_tool("list_images", {})
            with anyio.move_on_after(30) as giving_up:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(client.call_tool, "open_image", {"source": str(folder / "square.png")})
                    while scheduler.statistics()["replicas"][0]["waiting"] == 0:
                        await anyio.sleep(0.01)
                    giving_up.cancel()
            with anyio.fail_after(30):
                while scheduler.statistics()["replicas"][0]["cancelled"] == 0:
                    await anyio.sleep(0.01)
        engine.open()
        held.result()
        scheduler.encode(image(2))
    assert engine.batches == [["1"], ["2"]]


@pytest.fixture
def outside(tmp_path: Path, folder: Path) -> Path:
    secret = tmp_path / "secret.png"
    secret.write_bytes((folder / "square.png").read_bytes())
    (folder / "link.png").symlink_to(secret)
    (folder / "stairs").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.png")
    return secret


async def test_only_files_in_the_allowed_folders_are_opened(
    make_server: MakeServer, folder: Path, outside: Path
) -> None:
    attempts = [
        str(outside),
        f"{folder}/../secret.png",
        f"{folder}/link.png",
        f"{folder}/stairs/secret.png",
        f"file://{outside}",
        f"FILE://{outside}",
        f"file://localhost{folder}/%2e%2e/secret.png",
        f"  {outside}  ",
        "/proc/self/environ",
        "/proc/self/cwd/secret.png",
        "~/secret.png",
        "~nobody-such/secret.png",
        f"DATA:/../../../../../../..{outside}",
        f"{folder}/\x00/../../secret.png",
        "\\\\host\\share\\cat.png",
        f"file://host{outside}",
        f"{folder}/pipe.png",
        str(folder),
        "/dev/zero",
        "/no/such/file.png",
        "",
    ]
    async with Client(make_server()) as client:
        for attempt in attempts:
            text = await complain(client, "open_image", {"source": attempt})
            assert "not a file" in text or "empty" in text or f"files under {folder}" in text, (attempt, text)
            assert "--allow-dir" in text or "not a file" in text or "empty" in text
        inside = await client.call_tool("open_image", {"source": f"{folder}/stairs/allowed/../allowed/square.png"})
        url = await client.call_tool("open_image", {"source": f"file://{folder}/square.png"})
    assert not inside.is_error, text_of(inside)
    assert not url.is_error, text_of(url)


def test_the_default_is_the_current_folder_but_never_the_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert PathAllowlist.of([]).folders == (tmp_path.resolve(),)
    monkeypatch.chdir("/")
    assert PathAllowlist.of([]).folders == ()
    with pytest.raises(InputError, match="No folder is allowed yet: start the server with --allow-dir"):
        PathAllowlist.of([]).read("/etc/hostname")
    with pytest.raises(InputError, match=r"--allow-dir .*nothing: no such folder"):
        PathAllowlist.of([tmp_path / "nothing"])
