"""`python -m benchmarks.concurrency`: clients at once against prompts batched by hand; urgent calls under bulk load.

Both sides of every ratio are measured in this process, in turns. The bars: 16 clients reach 0.9 of the throughput of
the same prompts batched by hand; the 99th percentile of an urgent call under bulk load is at most 3 times its idle
median.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.concurrency import clients as asking
from benchmarks.concurrency.clients import Client, Picture
from benchmarks.concurrency.latency import call_seconds, load, summary
from benchmarks.machine import machine_words
from sam3_agent.model.replicas import load_replicas
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.scheduler import Scheduler

THROUGHPUT_BAR, LATENCY_BAR = 0.9, 3.0


def main() -> None:
    """Measure, print a table, optionally write JSON."""
    options = _options()
    torch.set_num_threads(options.threads)
    replicas = load_replicas(options.model, options.device, options.dtype)
    images = asking.pictures(options.images)
    clients = asking.make_clients(options.clients, options.images, options.prompts)
    with Scheduler(replicas) as scheduler:
        _warm_up(replicas, scheduler, images, clients)
        figures = {
            **_throughput(replicas[0], scheduler, images, clients, options),
            **_latency(scheduler, images, clients, options),
        }
        counts = scheduler.statistics()
    document = {
        "setting": {name: str(value) for name, value in vars(options).items()},
        "model": scheduler.info.to_json(),
        "machine": machine_words(),
        "figures": figures,
        "scheduler": counts,
    }
    print(_table(figures))
    print(f"\n{scheduler.info.name} on {scheduler.info.device} ({scheduler.info.dtype}); {machine_words()}")
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.concurrency", description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--prompts", type=int, default=4, help="of each client")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=4, help="calls of each client in one measurement")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of either side, in turns")
    parser.add_argument("--calls", type=int, default=200, help="urgent calls, idle and under load")
    parser.add_argument("--bulk", type=int, default=8, help="clients with bulk work")
    parser.add_argument("--threads", type=int, default=1, help="of torch; more do not help a tiny model")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    return parser.parse_args()


def _warm_up(replicas: list[Sam3], scheduler: Scheduler, images: list[Picture], clients: list[Client]) -> None:
    for replica in replicas:
        replica.warm_up()
        asking.encode_and_ask_by_hand(replica, images, clients)  # every phrase is known from here on
    asking.encode_and_ask_alone(scheduler, images, clients)


def _throughput(
    segmenter: Sam3, scheduler: Scheduler, images: list[Picture], clients: list[Client], options: argparse.Namespace
) -> dict[str, Any]:
    by_hand = [segmenter.encode(image) for image in images]
    scheduled = [scheduler.encode(image) for image in images]
    rounds = options.rounds
    return {
        "prompts": _compare(
            lambda: asking.by_hand(segmenter, by_hand, clients, rounds),
            lambda: asking.each_alone(scheduler, scheduled, clients, rounds),
            options.repeats,
            len(clients) * options.prompts * rounds,
        ),
        "encodes and prompts": _compare(
            lambda: asking.encode_and_ask_by_hand(segmenter, images, clients),
            lambda: asking.encode_and_ask_alone(scheduler, images, clients),
            options.repeats,
            len(clients) * options.prompts,
        ),
    }


def _compare(hand: Callable[[], float], clients: Callable[[], float], repeats: int, prompts: int) -> dict[str, Any]:
    """Prompts a second of both, and the ratio of the medians."""
    pairs = [(hand(), clients()) for _ in range(repeats)]
    slow, fast = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    return {
        "by_hand_per_s": prompts / slow,
        "clients_per_s": prompts / fast,
        "ratio": slow / fast,
        "ratios": [one / other for one, other in pairs],
        "bar": f">= {THROUGHPUT_BAR}",
        "met": slow / fast >= THROUGHPUT_BAR,
    }


def _latency(
    scheduler: Scheduler, images: list[Picture], clients: list[Client], options: argparse.Namespace
) -> dict[str, Any]:
    features, client = scheduler.encode(images[0]), clients[0]
    workers = clients[: options.bulk]
    idle = call_seconds(scheduler, features, client, options.calls, 0.01)
    rest = 2 * statistics.median(idle)
    with load(scheduler.bulk(), images, workers):
        loaded = call_seconds(scheduler, features, client, options.calls, rest)
    with load(scheduler, images, workers):
        equal = call_seconds(scheduler, features, client, max(10, options.calls // 5), rest)
    figures = {"idle": summary(idle), "under bulk load": summary(loaded), "without priority": summary(equal)}
    ratio = figures["under bulk load"]["p99_ms"] / figures["idle"]["median_ms"]
    bar = {"ratio": ratio, "bar": f"<= {LATENCY_BAR}", "met": ratio <= LATENCY_BAR}
    return {"urgent call": {**figures, **bar}}


def _table(figures: dict[str, Any]) -> str:
    lines = ["| 16 clients at once | by hand, prompts/s | clients, prompts/s | ratio | bar | met |", "|---" * 6 + "|"]
    for name in ("prompts", "encodes and prompts"):
        row = figures[name]
        lines.append(
            f"| {name} | {row['by_hand_per_s']:.1f} | {row['clients_per_s']:.1f} | {row['ratio']:.2f} | {row['bar']}"
            f" | {'yes' if row['met'] else 'no'} |"
        )
    lines += ["", "| urgent call | median, ms | p99, ms | longest, ms |", "|---" * 4 + "|"]
    calls = figures["urgent call"]
    for name in ("idle", "under bulk load", "without priority"):
        lines.append("| " + " | ".join([name, *(f"{value:.1f}" for value in calls[name].values())]) + " |")
    met = "met" if calls["met"] else "missed"
    return "\n".join(
        [*lines, "", f"p99 under bulk load / idle median: {calls['ratio']:.2f} (bar {calls['bar']}, {met})"]
    )


if __name__ == "__main__":
    main()
