"""The real command in a process of its own, over stdio and over HTTP."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import sam3_mcp
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from sam3_mcp.options import parser

from tests.environment import python_path
from tests.mcp_server.fixtures_server import images_of, text_of

pytestmark = [pytest.mark.anyio, pytest.mark.integration]
CHECKOUT = Path(sam3_mcp.__file__).resolve().parents[2]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
Start = Callable[..., "subprocess.Popen[bytes]"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": python_path(CHECKOUT), "OMP_NUM_THREADS": "1"}


def has_tiny_weights() -> bool:
    spec = importlib.util.find_spec("sam3_agent")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "model" / "weights" / "tiny" / "model.safetensors").exists()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `sam3-mcp` in an empty folder; what is still running at the end is killed."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*options: str, path: Path | None = None) -> "subprocess.Popen[bytes]":
        pipe, given = subprocess.PIPE, environment()
        given["PYTHONPATH"] = os.pathsep.join(map(str, filter(None, (path, given["PYTHONPATH"]))))
        command = [sys.executable, "-m", "sam3_mcp", *options]
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=tmp_path, env=given)
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def exchange(process: "subprocess.Popen[bytes]", message: dict[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def test_initialize_is_answered_before_the_model_or_what_it_runs_on_is_loaded(start: Start, tmp_path: Path) -> None:
    # How many seconds that takes is what `python -m benchmarks.mcp.handshake` measures.
    for heavy in ("torch", "torchvision", "transformers", "cv2", "scipy"):
        (tmp_path / f"{heavy}.py").write_text("import time\nwhile True: time.sleep(3600)\n")
    process = start("--model", "tiny", path=tmp_path)
    assert exchange(process, INITIALIZE)["result"]["serverInfo"]["name"] == "sam3"


def test_stdout_carries_nothing_but_the_protocol_and_broken_lines_do_no_harm(start: Start) -> None:
    process = start("--model", "/no/such/model")
    exchange(process, INITIALIZE)
    assert process.stdin is not None
    process.stdin.write(
        b'{"broken\n[]\n\n\xff\xfe\n{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"\\ud800"}}\n'
    )
    call: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "tools/call",
        "params": {"name": "list_images", "arguments": {}},
    }
    answer = exchange(process, call)
    assert answer["id"] == 3
    assert answer["result"]["isError"] is True
    assert "the model /no/such/model is not available" in answer["result"]["content"][0]["text"]
    rest, errors = process.communicate(timeout=60)
    assert rest == b""
    assert b"Traceback" not in errors
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_at_once_without_a_traceback(start: Start, number: signal.Signals) -> None:
    process = start("--model", "tiny", "--grace", "3600")
    exchange(process, INITIALIZE)
    process.send_signal(number)
    status = process.wait(timeout=60)  # not "until stdin closes", nor the grace that running calls have
    assert status == (130 if number is signal.SIGINT else 0)
    assert process.stderr is not None
    assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--allow-dir", "/no/such/folder"), "/no/such/folder: no such folder"),
        (("--transport", "pigeon"), "invalid choice: 'pigeon'"),
        (("--images", "maybe"), "invalid choice: 'maybe'"),
        (("--max-seconds", "0"), "expected seconds above 0, got '0'"),
        (("--feature-mib", "none"), "expected a whole number from 1 on, got 'none'"),
        (("--device", "cuda:0,toaster"), "'cuda:0,toaster' is none of auto, cuda, cuda:N"),
    ],
)
def test_a_usage_error_exits_2_and_says_what_is_wrong(start: Start, options: tuple[str, ...], words: str) -> None:
    process = start(*options)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == b""
    assert words in errors.decode()


async def test_a_call_that_takes_too_long_is_given_up_with_words(tmp_path: Path) -> None:
    if not has_tiny_weights():
        pytest.skip("the tiny model's weights are not in sam3_agent/model/weights/tiny")
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    command = ["-m", "sam3_mcp", "--max-seconds", "0.001"]
    parameters = StdioServerParameters(command=sys.executable, args=command, env=environment(), cwd=tmp_path)
    async with Client(stdio_client(parameters), read_timeout_seconds=90) as client:
        result = await client.call_tool("open_image", {"source": "black.png"})
        after = await client.call_tool("list_images", {})
    assert result.is_error
    assert "did not answer in the time given" in text_of(result)
    assert not after.is_error


async def test_the_tiny_model_finds_the_objects_of_a_scene_over_stdio(start: Start, tmp_path: Path) -> None:
    if not has_tiny_weights():
        pytest.skip("the tiny model's weights are not in sam3_agent/model/weights/tiny yet (training is still running)")
    from PIL import Image

    from sam3_agent.scenes import SceneOptions, generate_scene

    scene = generate_scene(11, SceneOptions(min_objects=3, max_objects=5))
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    parameters = StdioServerParameters(command=sys.executable, args=["-m", "sam3_mcp"], env=environment(), cwd=tmp_path)
    async with Client(stdio_client(parameters), read_timeout_seconds=90) as client:
        opened = await client.call_tool("open_image", {"source": "scene.png"})
        nouns = sorted({thing.noun for thing in scene.objects})
        result = await client.call_tool("segment_concepts", {"image_id": "img1", "concepts": nouns})
    assert not opened.is_error, text_of(opened)
    assert not result.is_error, text_of(result)
    assert [found["concept"] for found in result.structured_content["results"]] == nouns
    assert sum(len(found["instances"]) for found in result.structured_content["results"]) >= 1
    assert images_of(result)


async def test_the_tiny_model_tracks_a_procedural_video_over_stdio(tmp_path: Path) -> None:
    if not has_tiny_weights():
        pytest.skip("the tiny model's weights are not in sam3_agent/model/weights/tiny")
    from sam3_agent.scenes.video.clip import draw_clip
    from sam3_agent.video import write_video

    clip = draw_clip(2**40 + 3, 8, (256, 192))
    write_video(tmp_path / "clip.mp4", clip.frames, fps=8)
    command = ["-m", "sam3_mcp", "--out-dir", str(tmp_path / "out")]
    parameters = StdioServerParameters(command=sys.executable, args=command, env=environment(), cwd=tmp_path)
    async with Client(stdio_client(parameters), read_timeout_seconds=300) as client:
        opened = await client.call_tool("open_video", {"source": "clip.mp4"})
        assert not opened.is_error, text_of(opened)
        nouns = sorted({thing.noun for thing in clip.objects})
        begun = await client.call_tool("track_concepts", {"video_id": "v1", "concepts": nouns, "wait_s": 0})
        job = begun.structured_content
        while job["state"] == "running":
            job = (await client.call_tool("get_job", {"job_id": job["job_id"]})).structured_content
        assert job["state"] == "done", job
        assert job["tracks"]
        measured = await client.call_tool("measure_tracks", {"video_id": "v1", "sort_by": "last_seen"})
        shown = await client.call_tool("look_frames", {"video_id": "v1", "track_ids": [job["tracks"][0]["id"]]})
        exported = await client.call_tool("export_tracks", {"video_id": "v1", "format": "ytvis"})
    assert [t["rank"] for t in measured.structured_content["tracks"]] == list(range(1, len(job["tracks"]) + 1))
    assert images_of(shown)
    assert Path(exported.structured_content["paths"][0]).is_file()


async def test_a_server_that_ends_in_the_middle_of_a_job_leaves_nothing_behind(start: Start, tmp_path: Path) -> None:
    if not has_tiny_weights():
        pytest.skip("the tiny model's weights are not in sam3_agent/model/weights/tiny")
    import numpy as np

    from sam3_agent.video import write_video

    write_video(tmp_path / "clip.mp4", (np.full((96, 128, 3), n, dtype=np.uint8) for n in range(60)), fps=8)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = ["-m", "sam3_mcp"]
    given = environment() | {"TMPDIR": str(temporary)}
    parameters = StdioServerParameters(command=sys.executable, args=command, env=given, cwd=tmp_path)
    with (tmp_path / "errors").open("w+") as errors:
        async with Client(stdio_client(parameters, errlog=errors), read_timeout_seconds=300) as client:
            await client.call_tool("open_video", {"source": "clip.mp4"})
            begun = await client.call_tool("track_concepts", {"video_id": "v1", "concepts": ["star"], "wait_s": 0})
            assert begun.structured_content["state"] == "running", text_of(begun)
            assert list(temporary.glob("sam3-tracks-*"))
        errors.seek(0)
        said = errors.read()
    with anyio.fail_after(60):
        while list(temporary.glob("sam3-tracks-*")):
            await anyio.sleep(0.05)
    assert "terminate called" not in said
    assert "Traceback" not in said


async def address_of(process: "subprocess.Popen[bytes]") -> str:
    """Where a server that was started on port 0 says that it serves, without a path; it answers there."""
    assert process.stderr is not None
    with anyio.fail_after(60):
        line = await anyio.to_thread.run_sync(process.stderr.readline, abandon_on_cancel=True)
        url = line.decode().rpartition("serving ")[2].strip().removesuffix("/mcp")
        assert url.startswith("http://127.0.0.1:"), line
        async with httpx2.AsyncClient() as client:
            while True:
                try:
                    await client.get(f"{url}/healthz")
                except httpx2.TransportError:
                    await anyio.sleep(0.05)
                else:
                    return url


async def test_http_serves_this_machine_and_refuses_foreign_hosts_and_origins(start: Start) -> None:
    process = start("--transport", "http", "--port", "0", "--model", "/no/such/model")
    url = await address_of(process) + "/mcp"
    async with Client(url) as client:
        assert len((await client.list_tools()).tools) == 23
        result = await client.call_tool("list_images", {})
    assert "/no/such/model is not available" in text_of(result)
    async with httpx2.AsyncClient() as client:
        accept = {"Accept": "application/json, text/event-stream"}
        foreign_host = await client.post(url, json=INITIALIZE, headers={**accept, "Host": "evil.example"})
        foreign_origin = await client.post(url, json=INITIALIZE, headers={**accept, "Origin": "http://evil.example"})
    assert (foreign_host.status_code, foreign_origin.status_code) == (421, 403)
    process.send_signal(signal.SIGINT)
    status = await anyio.to_thread.run_sync(process.wait, 60)
    assert process.stderr is not None
    assert status == 130
    assert b"Traceback" not in process.stderr.read()


def test_the_fast_path_is_on_by_default_and_the_old_option_is_still_read() -> None:
    assert parser().parse_args([]).fast == "auto"
    assert parser().parse_args(["--fast", "off", "--compile"]).fast == "off"
