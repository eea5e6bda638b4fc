"""`python -m benchmarks.mcp.soak`: a server under mixed use for half an hour; memory, files and threads stay flat.

Clients of several tokens open images of 0.1 to 12 megapixels, ask, look, give calls up and hang up; one image in a
hundred is hostile, and one in ten is left behind. The bar: after five minutes (a quarter of a shorter run) memory grows
by at most 5 %, and no error is seen but declared ones: limits, busy, and refused images.

Flat can be only who holds all that the limits allow: by the server's own limits the clients would still be filling up
after an hour. So the limits here are smaller by default, and the report says them with what is held in the end.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import numpy as np
from mcp import Client
from PIL import Image

from benchmarks.machine import machine_words
from benchmarks.mcp.flood import client_of, images, serving, session_of
from benchmarks.mcp.load import until_ready
from benchmarks.process import children_of, resident_mib, status_of

GROWTH_BAR = 1.05
_SETTLING_SECONDS = 300.0
_HELD_SECONDS = 20.0
_SIDES = ((400, 300), (1200, 900), (2000, 1500), (4000, 3000))
"""0.1 to 12 megapixels."""
_LIMITS = {"max-images": 6, "max-image-mib": 128, "max-total-image-mib": 256, "feature-mib": 64}
"""Options of the server that its clients fill up to in less than five minutes on two cores."""
_HELD = {
    "sessions": "sam3_sessions",
    "images": "sam3_images",
    "masks": "sam3_masks",
    "image_mib": "sam3_principal_bytes",
    "feature_mib": "sam3_feature_cache_bytes",
}
"""Names in the report of what the server holds -> its metric, summed over principals."""
_DECLARED = ("as many as", "forget_image", "busy", "unknown", "damaged", "not an image", "the limit is", "try again")


@dataclass(slots=True)
class Seen:
    """Outcomes of calls, and samples of the server's process."""

    outcomes: Counter[str] = field(default_factory=Counter[str])
    samples: list[tuple[float, int, int, int]] = field(default_factory=list[tuple[float, int, int, int]])
    """(seconds, MiB of it and its decoders, open files, threads)."""
    refused: dict[str, float] = field(default_factory=dict[str, float])
    """Calls refused by each limit, and images evicted, as the server counts them."""
    held: list[tuple[float, dict[str, float]]] = field(default_factory=list[tuple[float, dict[str, float]]])
    """(seconds, holdings by their names in _HELD)."""


def main() -> None:
    """Start the real command, measure, print JSON; status 1 when a bar is missed."""
    options = _options()
    names = [f"token{number}" for number in range(options.tokens)]
    with images() as (folder, _):
        _paint(folder)
        served = ["--model", options.model, "--device", options.device]
        limits = {name: getattr(options, name.replace("-", "_")) for name in _LIMITS}
        served += [word for name, most in limits.items() for word in (f"--{name}", str(most))]
        with serving(folder, names, served) as (url, process):
            seen = anyio.run(_soak, url, folder, names, options, process.pid)
    document = {"limits": limits} | judged(seen, options.minutes * 60)
    print(json.dumps(document | {"machine": machine_words()}, indent=1))
    print(_verdict(document))
    sys.exit(0 if document["passed"] else 1)


def _verdict(document: dict[str, Any]) -> str:
    """One line: whether the bar is reached, and the figures that say so."""
    outcomes: dict[str, int] = document["outcomes"]
    bad = sum(count for what, count in outcomes.items() if what.startswith(("error", "broken")))
    memory = document["resident_mib"]
    return (
        f"{'passed' if document['passed'] else 'failed'}: {document['minutes']} minutes,"
        f" {sum(outcomes.values())} calls, {bad} errors that are not declared,"
        f" {memory['after_settling']} -> {memory['at_the_end']} MiB"
        f" (x{document['growth']}, bar x{GROWTH_BAR})"
    )


async def _soak(url: str, folder: Path, names: list[str], options: argparse.Namespace, pid: int) -> Seen:
    await until_ready(url)
    seen, end = Seen(), time.monotonic() + options.minutes * 60
    async with anyio.create_task_group() as tasks:
        for number in range(options.clients):
            tasks.start_soon(_client, url, folder, names[number % len(names)], random.Random(number), end, seen)
        tasks.start_soon(_watch_holdings, url, names[0], seen)
        began = time.monotonic()
        while time.monotonic() < end:
            seen.samples.append((time.monotonic() - began, *_process_state(pid)))
            await anyio.sleep(2.0)
        tasks.cancel_scope.cancel()
    return seen


async def _watch_holdings(url: str, name: str, seen: Seen) -> None:
    """Ask now and then what the server holds, and log it with the memory of its process."""
    began = time.monotonic()
    async with session_of(name) as session:
        while True:
            text = (await session.get(f"{url}/metrics")).text
            held = {
                what: sum_of(text, metric) / (2**20 if what.endswith("_mib") else 1) for what, metric in _HELD.items()
            }
            seen.refused = sums_of(text, "sam3_principal_refused_total", "limit")
            seen.held.append((time.monotonic() - began, held))
            memory = seen.samples[-1][1] if seen.samples else 0
            words = ", ".join(f"{what} {value:.0f}" for what, value in held.items())
            sys.stderr.write(
                f"{time.monotonic() - began:.0f} s: {memory} MiB; {words}; {sum(seen.outcomes.values())} calls\n"
            )
            await anyio.sleep(_HELD_SECONDS)


def sum_of(metrics: str, name: str) -> float:
    """Sum of a metric over all of its labels, from Prometheus text."""
    return sum(sums_of(metrics, name, "").values())


def sums_of(metrics: str, name: str, label: str) -> dict[str, float]:
    """Sum of a metric for each value of one of its labels."""
    found: dict[str, float] = {}
    for line in metrics.splitlines():
        row, _, value = line.rpartition(" ")
        if row.partition("{")[0] == name:
            of = row.partition(f'{label}="')[2].partition('"')[0]
            found[of] = found.get(of, 0.0) + float(value)
    return found


async def _client(url: str, folder: Path, name: str, chance: random.Random, end: float, seen: Seen) -> None:
    """One client that comes and goes until the time is over."""
    while time.monotonic() < end:
        try:
            async with (
                session_of(name) as session,
                client_of(session, url, chance.choice(["legacy", "auto"])) as client,
            ):
                for _ in range(chance.randrange(1, 6)):
                    await _visit(client, folder, chance, end, seen)
        except* anyio.BrokenResourceError:  # the SDK's own: an answer came while this client was hanging up
            seen.outcomes["hung up"] += 1
        except* (httpx2.HTTPError, OSError, anyio.ClosedResourceError) as errors:
            seen.outcomes[f"broken: {type(errors.exceptions[0]).__name__}"] += 1
            await anyio.sleep(0.5)


async def _visit(client: Client, folder: Path, chance: random.Random, end: float, seen: Seen) -> None:
    """Open an image, ask some questions about it, forget it most of the time."""
    name = "hostile.jpg" if chance.random() < 0.01 else f"{chance.choices(range(4), (8, 4, 2, 1))[0]}.jpg"
    opened = await _call(client, "open_image", {"source": str(folder / name)}, chance, seen)
    if opened is None:
        return
    image = {"image_id": opened["image_id"]}
    for _ in range(chance.randrange(1, 6)):
        if time.monotonic() >= end:
            return
        tool, arguments = chance.choice(
            [
                ("segment_concepts", {"concepts": ["house", "star"]}),
                ("read_presence", {"concepts": ["tree"]}),
                ("measure_masks", {}),
                ("look", {}),
                ("segment_at", {"points": [[50, 50]]}),
            ]
        )
        await _call(client, tool, image | arguments, chance, seen)
    if chance.random() < 0.9:
        await _call(client, "forget_image", image, chance, seen)


async def _call(
    client: Client, tool: str, arguments: dict[str, Any], chance: random.Random, seen: Seen
) -> dict[str, Any] | None:
    given_up = chance.random() < 0.03
    with anyio.move_on_after(0.05 if given_up else 300):
        result = await client.call_tool(tool, arguments)
        if not result.is_error:
            seen.outcomes["ok"] += 1
            return result.structured_content
        words = str(getattr(result.content[0], "text", ""))
        declared = any(part in words for part in _DECLARED)
        seen.outcomes["declared" if declared else f"error: {words[:100]}"] += 1
        return None
    seen.outcomes["given up" if given_up else "error: no answer in 300 s"] += 1
    return None


def judged(seen: Seen, seconds: float) -> dict[str, Any]:
    """Compare the first third after settling with the last one, and say whether the bars are reached."""
    settled = min(_SETTLING_SECONDS, seconds / 4)
    later = [sample for sample in seen.samples if sample[0] >= settled]
    third = max(1, len(later) // 3)
    states = {
        what: {
            "after_settling": round(statistics.median(sample[place] for sample in later[:third]), 1),
            "at_the_end": round(statistics.median(sample[place] for sample in later[-third:]), 1),
            "most": max(sample[place] for sample in seen.samples),
        }
        for place, what in ((1, "resident_mib"), (2, "files"), (3, "threads"))
    }
    states["held"] = {
        when: {what: round(value, 1) for what, value in held.items()}
        for when, held in (
            ("after_settling", next((held for then, held in seen.held if then >= settled), {})),
            ("at_the_end", seen.held[-1][1] if seen.held else {}),
        )
    }
    memory = states["resident_mib"]
    growth = memory["at_the_end"] / memory["after_settling"]
    bad = sum(count for what, count in seen.outcomes.items() if what.startswith(("error", "broken")))
    return {
        "minutes": round(seconds / 60, 1),
        "outcomes": dict(seen.outcomes),
        "refused": seen.refused,
        **states,
        "growth": round(growth, 3),
        "passed": growth <= GROWTH_BAR and not bad,
    }


def _process_state(pid: int) -> tuple[int, int, int]:
    """MiB of a process and its children, open files and threads of the process."""
    memory = sum(map(resident_mib, [pid, *children_of(pid)]))
    return memory, len(list(Path(f"/proc/{pid}/fd").iterdir())), status_of(pid, "Threads")


def _paint(folder: Path) -> None:
    """0.jpg to 3.jpg of growing size, and hostile.jpg with hundreds of scans."""
    for number, side in enumerate(_SIDES):
        Image.effect_noise(side, 60).convert("RGB").save(folder / f"{number}.jpg", quality=85)
    path = folder / "hostile.jpg"
    Image.fromarray(np.zeros((480, 640, 3), np.uint8)).save(path, progressive=True)
    data = path.read_bytes()
    path.write_bytes(data[:-2] + data[data.rindex(b"\xff\xda") : -2] * 400 + data[-2:])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mcp.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--device", default="auto")
    for name, most in _LIMITS.items():
        parser.add_argument(f"--{name}", type=int, default=most, metavar="N", help=f"limit of the server ({most})")
    return parser.parse_args()


if __name__ == "__main__":
    main()
