"""`sam3-mcp --connect` in front of a server with the deterministic model; and how a server ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError
from sam3_mcp.auth import Tokens
from sam3_mcp.http_app import HttpOptions
from sam3_mcp.stdio_bridge import headers_of

from tests.environment import python_path
from tests.mcp_server.fixtures_server import images_of, make_backend, text_of
from tests.mcp_server.test_http import client, open_square, serving
from tests.mcp_server.test_processes import address_of

pytestmark = [pytest.mark.anyio, pytest.mark.integration]
CHECKOUT = Path(__file__).resolve().parents[2]
TOKEN = "t" * 20


def bridge(url: str, tmp_path: Path, mode: str) -> Client:
    environment = {**os.environ, "PYTHONPATH": python_path(CHECKOUT), "SAM3_MCP_TOKEN": TOKEN}
    command = ["-m", "sam3_mcp", "--connect", f"{url}/mcp"]
    parameters = StdioServerParameters(command=sys.executable, args=command, env=environment, cwd=tmp_path)
    return Client(stdio_client(parameters), mode=mode, read_timeout_seconds=90)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_host_on_stdio_works_with_a_running_server_and_is_a_client_of_its_own(
    folder: Path, tmp_path: Path, mode: str
) -> None:
    options = HttpOptions(verifier=Tokens.of([TOKEN], "tokens"))
    with serving(make_backend(folder, shared=True), options) as url:
        async with bridge(url, tmp_path, mode) as mine:
            image_id, mask_id = await open_square(mine, folder)
            looked = await mine.call_tool("look", {"image_id": image_id, "mask_ids": [mask_id]})
            assert images_of(looked)
            assert len((await mine.list_tools()).tools) == 23
            assert (await mine.read_resource(f"sam3://masks/{mask_id}.png")).contents
            async with client(url, mode, Authorization=f"Bearer {TOKEN}") as other:
                assert "unknown image" in text_of(await other.call_tool("look", {"image_id": image_id}))


async def test_a_server_that_is_not_there_is_an_error_and_not_a_silence(tmp_path: Path) -> None:
    with anyio.fail_after(90), pytest.raises((MCPError, ExceptionGroup)) as caught:
        async with bridge("http://127.0.0.1:9", tmp_path, "legacy") as mine:
            await mine.list_tools()
    assert "cannot reach http://127.0.0.1:9/mcp" in "".join(map(str, leaves(caught.value)))


def leaves(error: BaseException) -> list[BaseException]:
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return [leaf for each in inner for leaf in leaves(each)] or [error]


def test_a_message_of_the_2026_protocol_is_repeated_in_headers() -> None:
    from mcp_types import JSONRPCRequest

    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    call = JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call", params={"name": "look", "_meta": meta})
    assert headers_of(call) == {
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "look",
    }
    assert headers_of(JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call", params={"name": "look"})) == {}


SERVER = """
import functools, sys, anyio, pathlib
from sam3_mcp.server import build_server
from sam3_mcp.http_app import HttpOptions, build_app, serve_http
from sam3_mcp.stdio_server import leave
from sam3_agent.model.fake import FakeSegmenter
from tests.mcp_server.fixtures_server import answers, make_backend

class Slow(FakeSegmenter):
    def encode(self, image):
        print("encoding", flush=True)
        sys.stdin.readline()
        return super().encode(image)

backend = make_backend(pathlib.Path(sys.argv[1]), make_segmenter=lambda: Slow(answers), shared=True)
app = build_app(build_server(backend), HttpOptions(), backend.loading)
run = functools.partial(serve_http, app, backend, "127.0.0.1", 0, grace=float(sys.argv[2]))
leave(anyio.run(run))
"""


def start_slow(folder: Path, grace: float) -> "subprocess.Popen[bytes]":
    """A server whose model encodes until a line comes on stdin."""
    command = [sys.executable, "-c", SERVER, str(folder), str(grace)]
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": python_path(CHECKOUT)}
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)


def end_encoding(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


@pytest.mark.parametrize(("grace", "finishes"), [(3600.0, True), (0.5, False)])
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_running_calls_finish_when_the_server_is_told_to_end_or_are_cancelled_after_its_grace(
    folder: Path, mode: str, grace: float, finishes: bool
) -> None:
    process = start_slow(folder, grace)
    assert process.stdout is not None
    outcome: list[Any] = []
    try:
        url = await address_of(process)
        with anyio.fail_after(60):
            async with client(url, mode) as mine, client(url, mode) as late, anyio.create_task_group() as tasks:
                await late.list_tools()

                async def call() -> None:
                    outcome.append(await mine.call_tool("open_image", {"source": str(folder / "square.png")}))

                tasks.start_soon(call)
                await anyio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True)
                process.send_signal(signal.SIGTERM)
                while finishes and "shutting down" not in text_of(await late.call_tool("list_images", {})):
                    await anyio.sleep(0.05)  # the signal is still on its way
                if finishes:
                    await anyio.to_thread.run_sync(end_encoding, process)
        assert (
            await anyio.to_thread.run_sync(lambda: process.wait(60), abandon_on_cancel=True) == signal.SIGTERM
        )  # what serve_http gives
    finally:
        process.kill()
        _, errors = process.communicate()
    assert b"Traceback" not in errors
    assert outcome[0].is_error is not finishes, text_of(outcome[0])
    assert finishes or "shutting down" in text_of(outcome[0])
