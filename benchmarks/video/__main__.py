"""`python -m benchmarks.video card|ceiling|memory`: tracking of held-out procedural videos; see those modules."""

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.machine import machine_words
from benchmarks.video.card import BARS, figures_of, table
from benchmarks.video.ceiling import bounds
from benchmarks.video.memory import FLAT, long_run
from benchmarks.video.ways import read
from sam3_agent.model.sam3 import Sam3


def main() -> int:
    """Measure, print a table, optionally write JSON; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.video", description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    commands = parser.add_subparsers(dest="command", required=True)
    card = commands.add_parser("card", help="HOTA, J, absence, re-entry and id switches on unseen videos")
    card.add_argument("--videos", type=int, default=100)
    card.add_argument("--frames", type=int, default=24)
    ceiling = commands.add_parser("ceiling", help="the card's bounds: true ids for detections, and a perfect tracker")
    ceiling.add_argument("--videos", type=int, default=100)
    ceiling.add_argument("--frames", type=int, default=24)
    memory = commands.add_parser("memory", help="resident memory over a long video with several tracks")
    memory.add_argument("--frames", type=int, default=2000)
    options = parser.parse_args()
    segmenter = Sam3.load(options.model, device="cpu")
    started = time.monotonic()
    if options.command == "card":
        figures = figures_of(read(segmenter, options.videos, options.frames))
        print(table(figures))
        missed = [name for name, bar in BARS.items() if not bar.holds(figures["tracker"][name])]
    elif options.command == "ceiling":
        figures = figures_of(bounds(segmenter, options.videos, options.frames))
        print(table(figures))
        missed = []
    else:
        figures = long_run(segmenter, options.frames)
        print("\n".join(f"{name:<28} {value}" for name, value in figures.items()))
        missed = [] if figures["growth_after_100"] <= FLAT else ["growth_after_100"]
    info = segmenter.info
    machine = f"{machine_words()} ({info.device}, {info.dtype}, {time.monotonic() - started:.0f} s)"
    print(f"\n{info.name}, {machine}" + (f"; missed: {', '.join(missed)}" if missed else ""))
    if options.out:
        document = {"command": options.command, "model": info.to_json(), "machine": machine, "figures": figures}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
