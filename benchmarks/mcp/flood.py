"""`python -m benchmarks.mcp.flood`: what one token's flood costs another one's calls.

One token floods a server with worst legal calls over many connections; another asks for one phrase at a time, before
and meanwhile. The bars: median at most twice and 99th percentile at most four times that of the idle server. The flood
comes from a process of its own with the lowest priority, as it would come from another machine.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from benchmarks.machine import machine_words
from benchmarks.mcp.load import free_port, until_ready

MEDIAN_BAR, P99_BAR = 2.0, 4.0
FLOODER, VICTIM = "flooder", "victim"
_WARM_UP_CALLS = 10


def token_of(name: str) -> str:
    """The token of a client of these benchmarks."""
    return f"{name}-token-of-a-benchmark"


@contextmanager
def serving(
    folder: Path, names: Sequence[str], options: Sequence[str], log: IO[bytes] | None = None
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The real command with a token for each name; gives its URL and its process. Its log goes to stderr or `log`."""
    tokens = folder / "tokens.txt"
    tokens.write_text("".join(f"{name}:{token_of(name)}\n" for name in names))
    port = free_port()
    command = [sys.executable, "-m", "sam3_mcp", "--transport", "http", "--port", str(port), *options]
    command += ["--allow-dir", str(folder), "--token-file", str(tokens)]
    process = subprocess.Popen(command, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextmanager
def images(longest: int = 1600) -> Iterator[tuple[Path, Path]]:
    """A folder with scene.png, and the path of that; noise.jpg is larger and slow to decode."""
    import numpy as np
    from PIL import Image

    from sam3_agent.scenes import SceneOptions, generate_scene

    with tempfile.TemporaryDirectory() as name:
        scene = Path(name) / "scene.png"
        Image.fromarray(generate_scene(5, SceneOptions(min_objects=6, max_objects=6)).image).save(scene)
        noise = np.random.default_rng(1).integers(0, 255, (longest * 3 // 4, longest, 3), dtype=np.uint8)
        Image.fromarray(noise).save(Path(name) / "noise.jpg", progressive=True)
        yield Path(name), scene


def client_of(session: httpx2.AsyncClient, url: str, mode: str = "legacy") -> Client:
    """A client over a session, which has its token."""
    return Client(streamable_http_client(f"{url}/mcp", http_client=session), mode=mode)


def session_of(name: str) -> httpx2.AsyncClient:
    """A session with the token of a client."""
    return httpx2.AsyncClient(timeout=180, headers={"Authorization": f"Bearer {token_of(name)}"})


def main() -> None:
    """Start the real command, measure, print JSON; status 1 when a bar is missed."""
    options = _options()
    if options.flood:
        anyio.run(_flood, options.flood, Path(options.folder), options.connections)
        return
    with images() as (folder, scene):
        served = ["--model", options.model, "--device", options.device]
        with serving(folder, (FLOODER, VICTIM), served) as (url, _):
            document = anyio.run(_measure, url, folder, scene, options)
    document["machine"] = machine_words()
    document["passed"] = document["median_ratio"] <= MEDIAN_BAR and document["p99_ratio"] <= P99_BAR
    print(json.dumps(document, indent=1))
    sys.exit(0 if document["passed"] else 1)


async def _measure(url: str, folder: Path, scene: Path, options: argparse.Namespace) -> dict[str, Any]:
    await until_ready(url)
    async with session_of(VICTIM) as session, client_of(session, url) as client:
        opened = await client.call_tool("open_image", {"source": str(scene)})
        asked = {"image_id": opened.structured_content["image_id"], "concepts": ["star"], "max_side": 0}
        for _ in range(_WARM_UP_CALLS):
            await client.call_tool("segment_concepts", asked)
        idle, _ = await _ask(client, asked, options.seconds / 4)
        command = [sys.executable, "-m", "benchmarks.mcp.flood", "--flood", url, "--folder", str(folder)]
        flood = subprocess.Popen(
            [*command, "--connections", str(options.connections)],
            stdout=subprocess.PIPE,
            preexec_fn=lambda: os.nice(19),
        )
        try:
            await _until_flooded(url, options.connections)
            flooded, errors = await _ask(client, asked, options.seconds / 2)
        finally:
            flood.send_signal(signal.SIGTERM)
            told, _ = flood.communicate()
    found = {"idle": _summary(idle), "flooded": _summary(flooded)}
    return {
        **found,
        "median_ratio": round(found["flooded"]["median_ms"] / found["idle"]["median_ms"], 2),
        "p99_ratio": round(found["flooded"]["p99_ms"] / found["idle"]["p99_ms"], 2),
        "errors_of_victim": errors,
        "flood": json.loads(told or b"{}"),
    }


async def _until_flooded(url: str, connections: int) -> None:
    """Wait until the server says that the flood has calls running, then for a second more."""
    async with session_of(VICTIM) as session:
        with anyio.move_on_after(30):
            while (
                f'sam3_principal_calls{{principal="{FLOODER}"}} 0.0'
                in (text := (await session.get(f"{url}/metrics")).text)
                or f'sam3_principal_calls{{principal="{FLOODER}"}}' not in text
            ):
                await anyio.sleep(0.2)
        await anyio.sleep(1.0)


async def _ask(client: Client, asked: dict[str, Any], seconds: float) -> tuple[list[float], int]:
    """Seconds of each call, made one after the other, and how many failed."""
    found: list[float] = []
    errors = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        result = await client.call_tool("segment_concepts", asked)
        found.append(time.monotonic() - began)
        errors += bool(result.is_error)
    return found, errors


def _summary(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return {
        "calls": len(ordered),
        "median_ms": round(statistics.median(ordered) * 1000, 1),
        "p99_ms": round(p99 * 1000, 1),
        "worst_ms": round(ordered[-1] * 1000, 1),
    }


async def _flood(url: str, folder: Path, connections: int) -> None:
    """Flood until SIGTERM; prints how the calls ended."""
    counts: Counter[str] = Counter()
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as tasks:
            for number in range(connections):
                tasks.start_soon(_flood_by_one, url, folder, random.Random(number), counts)
            async for _ in signals:
                tasks.cancel_scope.cancel()
                break
    print(json.dumps(counts))


async def _flood_by_one(url: str, folder: Path, chance: random.Random, counts: Counter[str]) -> None:
    while True:
        try:
            async with session_of(FLOODER) as session, client_of(session, url) as client:
                await _worst_calls(client, folder, chance, counts)
        except* (httpx2.HTTPError, OSError, anyio.ClosedResourceError) as errors:
            counts[f"broken: {type(errors.exceptions[0]).__name__}"] += 1
            await anyio.sleep(0.5)


async def _worst_calls(client: Client, folder: Path, chance: random.Random, counts: Counter[str]) -> None:
    image_id = ""
    while True:
        calls: list[tuple[str, dict[str, Any]]] = [("open_image", {"source": str(folder / "noise.jpg")})]
        if image_id:
            boxes = [[x, y, x + 40, y + 40] for x in range(0, 400, 50) for y in range(0, 400, 50)]
            points = [[10 * k, 10 * k] for k in range(1, 40)]
            calls += [
                ("segment_concepts", {"concepts": [f"thing {k}" for k in range(16)], "tiles": "always"}),
                ("segment_at", {"points": points, "labels": [True] * len(points)}),
                ("refine_with_exemplars", {"concept": "star", "positive_boxes": boxes}),
                ("look", {}),
                ("forget_image", {}),
            ]
        tool, arguments = chance.choice(calls)
        result = await client.call_tool(tool, arguments | ({"image_id": image_id} if tool != "open_image" else {}))
        counts[f"{tool}: {'refused' if result.is_error else 'ok'}"] += 1
        if tool == "open_image" and not result.is_error:
            image_id = result.structured_content["image_id"]
        elif tool == "forget_image":
            image_id = ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mcp.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=48.0, help="of measuring: a quarter idle, half flooded")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--flood", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
