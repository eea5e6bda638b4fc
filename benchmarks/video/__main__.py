"""`python -m benchmarks.video card|compare|ceiling|memory|speed|kills`: tracking of held-out procedural videos."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import machine_words
from benchmarks.video.card import BARS, figures_of, table
from benchmarks.video.ceiling import bounds
from benchmarks.video.compare import compare, compared
from benchmarks.video.kills import FRAMES, KILLS, kill_often
from benchmarks.video.memory import FAST_ENOUGH, FLAT, long_run
from benchmarks.video.readings import read
from sam3_agent.model.sam3 import Sam3


def main() -> int:
    """Measure, print a table, optionally write JSON; 1 where a bar is missed."""
    options = _parser().parse_args()
    segmenter = Sam3.load(options.model, device="cpu")
    started = time.monotonic()
    figures, missed = _measured(segmenter, options)
    info = segmenter.info
    machine = f"{machine_words()} ({info.device}, {info.dtype}, {time.monotonic() - started:.0f} s)"
    print(f"\n{info.name}, {machine}" + (f"; missed: {', '.join(missed)}" if missed else ""))
    if options.out:
        document = {"command": options.command, "model": info.to_json(), "machine": machine, "figures": figures}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return int(bool(missed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.video", description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    commands = parser.add_subparsers(dest="command", required=True)
    card = commands.add_parser("card", help="HOTA, J, absence, re-entry and id switches on unseen videos")
    card.add_argument("--videos", type=int, default=100)
    card.add_argument("--frames", type=int, default=24)
    versus = commands.add_parser("compare", help="the card of two folders of weights, video by video; resumed")
    versus.add_argument("old", type=Path)
    versus.add_argument("new", type=Path)
    versus.add_argument("--keep", type=Path, required=True, help="folder of the videos that are done")
    versus.add_argument("--videos", type=int, default=30)
    versus.add_argument("--frames", type=int, default=24)
    ceiling = commands.add_parser("ceiling", help="the card's bounds: true ids for detections, and a perfect tracker")
    ceiling.add_argument("--videos", type=int, default=100)
    ceiling.add_argument("--frames", type=int, default=24)
    memory = commands.add_parser("memory", help="resident memory over a long video with five tracks")
    memory.add_argument("--frames", type=int, default=2000)
    speed = commands.add_parser("speed", help="frames a second at 640 x 360 with five tracks of two concepts")
    speed.add_argument("--frames", type=int, default=64)
    kills = commands.add_parser("kills", help="kill -9 at random frames, and compare with a run that never was")
    kills.add_argument("--frames", type=int, default=FRAMES)
    kills.add_argument("--kills", type=int, default=KILLS)
    kills.add_argument("--seed", type=int, default=0)
    return parser


def _measured(segmenter: Sam3, options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The figures, printed, and the names of those that miss their bar."""
    if options.command == "card":
        figures = figures_of(read(segmenter, options.videos, options.frames))
        print(table(figures))
        return figures, [name for name, bar in BARS.items() if not bar.holds(figures["tracker"][name])]
    if options.command == "compare":
        figures = compared(compare(options.old, options.new, options.keep, options.videos, options.frames))
        print(table(figures))
        return figures, [name for name, bar in BARS.items() if not bar.holds(figures["new"][name])]
    if options.command == "ceiling":
        figures = figures_of(bounds(segmenter, options.videos, options.frames))
        print(table(figures))
        return figures, []
    if options.command == "kills":
        found = kill_often(options.model, options.kills, options.frames, options.seed)
        bad = ["masks that differ"] if found["masks that differ"] or not found["masks compared"] else []
    else:
        found = long_run(segmenter, options.frames)
        grown = options.command == "memory" and found["growth_after_100"] > FLAT
        slow = options.command == "speed" and found["frames a second"] < FAST_ENOUGH
        bad = [*(["growth_after_100"] if grown else []), *(["frames a second"] if slow else [])]
    print("\n".join(f"{name:<28} {value}" for name, value in found.items()))
    return found, bad


if __name__ == "__main__":
    sys.exit(main())
