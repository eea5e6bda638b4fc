"""`python -m benchmarks.mcp.load`: many HTTP clients on one server, and what the protocol adds to a call.

The bars: 64 clients for 60 s without an error other than a quota's; at most 5 ms (median) over the direct call of a
tool that sends no picture. The overhead is measured with one client, before the load.
"""

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from benchmarks.machine import machine_words
from benchmarks.process import resident_mib

OVERHEAD_BAR = 0.005
_QUOTA_WORDS = ("as many as one client may", "more to do than it takes on", "queue", "Free some with forget_image")


def main() -> None:
    """Start the real command, measure, print JSON."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        picture = _scene(Path(folder))
        port = free_port()
        command = [sys.executable, "-m", "sam3_mcp", "--transport", "http", "--port", str(port)]
        command += ["--allow-dir", folder, "--model", options.model, "--device", options.device]
        environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
        process = subprocess.Popen(command, env=environment)
        try:
            document = anyio.run(_measure, f"http://127.0.0.1:{port}", picture, options, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    direct = _direct_seconds(picture, options.model, options.device, options.calls)
    document["direct_ms"] = round(direct * 1000, 3)
    document["overhead_ms"] = round(document["one_client_ms"] - direct * 1000, 3)
    document["machine"] = machine_words()
    print(json.dumps(document, indent=1))


async def _measure(url: str, picture: Path, options: argparse.Namespace, pid: int) -> dict[str, Any]:
    await until_ready(url)
    single = await _one_client(url, picture, options.calls)
    counts: Counter[str] = Counter()
    seconds: list[float] = []
    memory = resident_mib(pid)
    deadline = time.monotonic() + options.seconds
    async with anyio.create_task_group() as tasks:
        for number in range(options.clients):
            tasks.start_soon(_client, url, picture, number, deadline, counts, seconds)
    return {
        "clients": options.clients,
        "seconds": options.seconds,
        "outcomes": dict(counts),
        "calls_per_second": round(len(seconds) / options.seconds, 1),
        "median_ms_under_load": round(statistics.median(seconds) * 1000, 1) if seconds else None,
        "resident_mib": {"before": memory, "after": resident_mib(pid)},
        "one_client_ms": round(single * 1000, 3),
    }


async def _client(
    url: str, picture: Path, number: int, deadline: float, counts: Counter[str], seconds: list[float]
) -> None:
    """One client that opens, asks, measures, looks and forgets until the time is over."""
    chance = random.Random(number)
    mode = "legacy" if number % 2 else "auto"
    async with httpx2.AsyncClient(timeout=120) as session:
        transport = streamable_http_client(f"{url}/mcp", http_client=session)
        async with Client(transport, mode=mode) as client:
            while time.monotonic() < deadline:
                await _round(client, picture, chance, deadline, counts, seconds)


async def _round(
    client: Client, picture: Path, chance: random.Random, deadline: float, counts: Counter[str], seconds: list[float]
) -> None:
    opened = await _call(client, "open_image", {"source": str(picture)}, counts, seconds)
    if opened is None:
        return
    image = {"image_id": opened["image_id"]}
    for _ in range(chance.randrange(2, 12)):
        if time.monotonic() >= deadline:
            break
        tool, arguments = chance.choice(_CALLS)
        await _call(client, tool, arguments | (image if tool != "list_images" else {}), counts, seconds)
    await _call(client, "forget_image", image, counts, seconds)


_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("segment_concepts", {"concepts": ["house", "star"]}),
    ("read_presence", {"concepts": ["tree", "car", "cup"]}),
    ("measure_masks", {}),
    ("list_images", {}),
    ("look", {}),
    ("look", {"region": [10, 10, 120, 120]}),
]


async def _call(
    client: Client, tool: str, arguments: dict[str, Any], counts: Counter[str], seconds: list[float]
) -> dict[str, Any] | None:
    began = time.monotonic()
    result = await client.call_tool(tool, arguments)
    seconds.append(time.monotonic() - began)
    if not result.is_error:
        counts["ok"] += 1
        return result.structured_content
    words = result.content[0].text  # pyright: ignore[reportAttributeAccessIssue]
    quota = any(part in words for part in _QUOTA_WORDS)
    counts["quota" if quota else f"error: {words[:80]}"] += 1
    return None


async def _one_client(url: str, picture: Path, calls: int) -> float:
    """Median seconds of a call without a picture, made one at a time."""
    async with Client(f"{url}/mcp") as client:
        opened = await client.call_tool("open_image", {"source": str(picture)})
        image_id = opened.structured_content["image_id"]
        await client.call_tool("segment_concepts", {"image_id": image_id, "concepts": ["house"]})
        seconds: list[float] = []
        for _ in range(calls):
            began = time.perf_counter()
            await client.call_tool("measure_masks", {"image_id": image_id})
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _direct_seconds(picture: Path, model: str, device: str, calls: int) -> float:
    """The same call of the same tool in this process."""
    from sam3_agent.model.replicas import load_segmenter
    from sam3_agent.tools import HOST_TOOLS
    from sam3_agent.workspace import Workspace

    tools = {tool.name: tool for tool in HOST_TOOLS}
    workspace = Workspace(load_segmenter(model, device))
    workspace.open(_scene_pixels())
    tools["segment_concepts"].call(workspace, {"image_id": "img1", "concepts": ["house"]})
    seconds: list[float] = []
    for _ in range(calls):
        began = time.perf_counter()
        tools["measure_masks"].call(workspace, {"image_id": "img1"})
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _scene_pixels() -> Any:
    from sam3_agent.scenes import SceneOptions, generate_scene

    return generate_scene(5, SceneOptions(min_objects=6, max_objects=6)).image


def _scene(folder: Path) -> Path:
    from PIL import Image

    path = folder / "scene.png"
    Image.fromarray(_scene_pixels()).save(path)
    return path


async def until_ready(url: str) -> None:
    """Wait until a server has loaded its model."""
    async with httpx2.AsyncClient() as client:
        with anyio.fail_after(300):
            while True:
                try:
                    if (await client.get(f"{url}/healthz")).json()["model"] == "ready":
                        return
                except httpx2.TransportError:
                    pass
                await anyio.sleep(0.2)


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mcp.load", description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--calls", type=int, default=200, help="calls for the overhead")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
