"""`python -m benchmarks.serving throughput|simulate|plan`: replicas here, a thousand simulated, ten thousand on paper.

throughput: the embedded model on 1 and on 2 replicas of a local Ray, against the model in this process; 8 threads ask.
simulate: 1,000 replicas with measured service times, hot images and failures, with and without fallbacks; see
`simulation`. plan: what 1, 100 and 10,000 GPUs need; every unit cost is an option.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from benchmarks.serving.plan import Costs, limits, need
from benchmarks.serving.simulation import Simulation, World


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, simulate or multiply, and print JSON."""
    given = _parser().parse_args(argv)
    found = {"throughput": _throughput, "simulate": _simulate, "plan": _plan}[given.part](given)
    text = json.dumps(found, indent=2)
    if given.out is not None:
        given.out.write_text(text + "\n", encoding="utf-8")
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    throughput = parts.add_parser("throughput")
    throughput.add_argument("--replicas", type=int, nargs="+", default=[1, 2])
    throughput.add_argument("--images", type=int, default=40)
    throughput.add_argument("--clients", type=int, default=8)
    throughput.add_argument("--model", default="tiny")
    simulate = parts.add_parser("simulate")
    for each in fields(World):
        simulate.add_argument(f"--{each.name.replace('_', '-')}", type=type(each.default), default=each.default)
    simulate.add_argument("--compare", type=int, nargs="+", default=[0, 1, 4, 16], help="numbers of fallbacks")
    plan = parts.add_parser("plan")
    plan.add_argument("--gpus", type=int, nargs="+", default=[1, 100, 10_000])
    for each in fields(Costs):
        plan.add_argument(f"--{each.name.replace('_', '-')}", type=type(each.default), default=each.default)
    for part in (throughput, simulate, plan):
        part.add_argument("--out", type=Path, help="also write the JSON there")
    return parser


def _throughput(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.serving.throughput import throughput  # imports torch

    return throughput(given.model, given.replicas, given.images, given.clients)


def _simulate(given: argparse.Namespace) -> dict[str, Any]:
    world = World(**{each.name: getattr(given, each.name) for each in fields(World)})
    runs = {f"{count} fallbacks": replace(world, fallbacks=count) for count in given.compare}
    return {"world": asdict(world)} | {name: Simulation(each).run().to_json() for name, each in runs.items()}


def _plan(given: argparse.Namespace) -> dict[str, Any]:
    costs = Costs(**{each.name: getattr(given, each.name) for each in fields(Costs)})
    needs = [asdict(need(count, costs)) for count in given.gpus]
    return {"costs": asdict(costs), "needs": needs, "full at so many GPUs": limits(costs)}


if __name__ == "__main__":
    main()
