"""`python -m benchmarks.mcp.hostile_images [--files 5000]`: mutated images of 14 formats against a server, 40 at once.

One token opens them; another lists its images ten times a second. The bars: no call of the other takes over a second,
the server stays below what it had when it was idle plus what its options allow it to hold, each of its decoders below
its own limit, and neither the log nor an answer holds a traceback.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client
from sam3_mcp.decoding import MEMORY_BYTES

from benchmarks.machine import machine_words
from benchmarks.mcp.flood import client_of, serving, session_of
from benchmarks.mcp.load import until_ready
from benchmarks.mcp.mutated_images import FORMATS, mutated, originals
from benchmarks.process import children_of, resident_mib

LATE_BAR = 1.0
HELD_MIB = 256
"""For features, and as much again for pixels of open images: options of the server."""
SPARE_MIB = 256
"""For copies of images between their decoder and the model, and for what the allocator keeps."""
_EVERY = 0.1
_OPENER, _OTHER = "opener", "other"


@dataclass(slots=True)
class Seen:
    """Outcomes of the images, seconds of the other's calls, and MiB of the processes."""

    outcomes: Counter[str] = field(default_factory=Counter[str])
    tracebacks: int = 0
    idle: list[float] = field(default_factory=list[float])
    seconds: list[float] = field(default_factory=list[float])
    own_delays: list[float] = field(default_factory=list[float])
    """Seconds by which this process itself woke up too late: a busy machine, not the server."""
    idle_mib: int = 0
    server_mib: int = 0
    decoder_mib: int = 0


def main() -> None:
    """See the module."""
    run(options_of(__doc__ or "", 5000), FilesOf(originals(), mutated, _open, len(FORMATS)))


@dataclass(frozen=True, slots=True)
class FilesOf:
    """Files that are opened: sound ones by their ending, what breaks them, how a client opens one."""

    sound: dict[str, bytes]
    mutated: Callable[[dict[str, bytes], int], tuple[str, bytes]]
    open: Callable[[Client, Path, str, "Seen"], Awaitable[None]]
    formats: int


def run(options: argparse.Namespace, files: FilesOf) -> None:
    """Start the real command, open the files, print JSON; status 1 when a bar is missed."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile("w+b") as log:
        folder, seen = Path(name), Seen()
        served = [
            "--model",
            "tiny",
            "--device",
            "cpu",
            "--feature-mib",
            f"{HELD_MIB}",
            "--max-image-mib",
            f"{HELD_MIB}",
        ]
        began = time.monotonic()
        with serving(folder, [_OPENER, _OTHER], served, log) as (url, process):
            anyio.run(_measure, url, folder, options, process, seen, files)
            alive = process.poll() is None
        log.seek(0)
        in_log = log.read().decode("utf-8", "replace")
    document = _judged(seen, alive, in_log.count("Traceback"), options, files.formats)
    document |= {"minutes": round((time.monotonic() - began) / 60, 1), "machine": machine_words()}
    print(json.dumps(document, indent=1))
    print("passed" if document["passed"] else "failed")
    sys.exit(0 if document["passed"] else 1)


async def _measure(
    url: str,
    folder: Path,
    options: argparse.Namespace,
    process: "subprocess.Popen[bytes]",
    seen: Seen,
    files: FilesOf,
) -> None:
    await until_ready(url)
    async with session_of(_OTHER) as session, client_of(session, url) as other:
        with anyio.move_on_after(options.idle):
            await _ask(other, seen.idle, [])
        seen.idle_mib, _ = _memory(process.pid)
        numbers = iter(range(options.first, options.first + options.files))
        async with anyio.create_task_group() as watching:
            watching.start_soon(_ask, other, seen.seconds, seen.own_delays)
            watching.start_soon(_watch, process.pid, seen)
            # One HTTP session: each one of its own would keep this process, which is to measure, busy for 30 ms.
            async with session_of(_OPENER) as opener, anyio.create_task_group() as tasks:
                for _ in range(options.at_once):
                    tasks.start_soon(_open_all, opener, url, folder, files, numbers, seen)
            watching.cancel_scope.cancel()


async def _ask(client: Client, seconds: list[float], delays: list[float]) -> None:
    """Call again and again; notes what each call took."""
    while True:
        began = time.monotonic()
        result = await client.call_tool("list_images", {})
        assert not result.is_error
        seconds.append(time.monotonic() - began)
        slept = time.monotonic()
        await anyio.sleep(_EVERY)
        delays.append(time.monotonic() - slept - _EVERY)


async def _watch(pid: int, seen: Seen) -> None:
    while True:
        server, decoder = _memory(pid)
        seen.server_mib, seen.decoder_mib = max(seen.server_mib, server), max(seen.decoder_mib, decoder)
        await anyio.sleep(0.2)


async def _open_all(
    session: httpx2.AsyncClient, url: str, folder: Path, files: FilesOf, numbers: Any, seen: Seen
) -> None:
    """Open one after the other, each from a file of its own, and forget it."""
    async with client_of(session, url) as client:
        for number in numbers:
            ending, data = files.mutated(files.sound, number)
            path = folder / f"{number}.{ending}"
            path.write_bytes(data)
            try:
                await files.open(client, path, ending, seen)
            except httpx2.HTTPError as error:
                seen.outcomes[f"broken: {type(error).__name__}"] += 1
            path.unlink()


async def _open(client: Client, path: Path, ending: str, seen: Seen) -> None:
    result = await call(client, "open_image", {"source": str(path), "max_side": 0}, ending, seen)
    if result is not None:
        seen.outcomes["opened"] += 1
        await client.call_tool("forget_image", {"image_id": result["image_id"]})


async def call(client: Client, tool: str, arguments: dict[str, Any], ending: str, seen: Seen) -> dict[str, Any] | None:
    """Give what a call gives, asked again while the server says to wait; None where it is refused, which is noted."""
    for _ in range(200):  # all calls of the token are taken: the limit is part of what keeps others going
        result = await client.call_tool(tool, arguments)
        words = str(getattr(result.content[0], "text", ""))
        seen.tracebacks += "Traceback" in words
        if result.structured_content is not None and not result.is_error:
            return dict(result.structured_content)
        if "internal error" in words:
            seen.outcomes[f"internal error ({ending})"] += 1
            return None
        if not any(part in words for part in ("as many as", "busy", "again in a moment")):
            seen.outcomes[f"{tool} refused"] += 1
            return None
        seen.outcomes["told to wait"] += 1
        await anyio.sleep(0.2)
    seen.outcomes["never taken"] += 1
    return None


def _memory(pid: int) -> tuple[int, int]:
    """(MiB of the server, MiB of the largest of its children)."""
    return resident_mib(pid), max(map(resident_mib, children_of(pid)), default=0)


def _judged(
    seen: Seen, alive: bool, tracebacks_in_log: int, options: argparse.Namespace, formats: int
) -> dict[str, Any]:
    bad = {what: n for what, n in seen.outcomes.items() if what.startswith(("internal", "broken", "never"))}
    late = sum(1 for each in seen.seconds if each > LATE_BAR)
    limit = seen.idle_mib + 2 * HELD_MIB + SPARE_MIB
    within = seen.server_mib <= limit and seen.decoder_mib <= MEMORY_BYTES // 2**20
    return {
        "files": options.files,
        "formats": formats,
        "at_once": options.at_once,
        "outcomes": dict(seen.outcomes),
        "calls_of_the_other": len(seen.seconds),
        "late": late,
        "worst_s": round(max(seen.seconds, default=0.0), 3),
        "worst_idle_s": round(max(seen.idle, default=0.0), 3),
        "worst_own_delay_s": round(max(seen.own_delays, default=0.0), 3),
        "server_mib": {"idle": seen.idle_mib, "most": seen.server_mib, "limit": limit},
        "decoder_mib": {"most": seen.decoder_mib, "limit": MEMORY_BYTES // 2**20},
        "tracebacks": seen.tracebacks + tracebacks_in_log,
        "passed": alive and within and not late and not bad and not seen.tracebacks and not tracebacks_in_log,
    }


def options_of(words: str, files: int) -> argparse.Namespace:
    """Read the command line of a measurement of so many files."""
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument("--files", type=int, default=files)
    parser.add_argument("--first", type=int, default=0, help="the number of the first file")
    parser.add_argument("--at-once", type=int, default=40)
    parser.add_argument("--idle", type=float, default=5.0, help="seconds of the idle server that are measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
