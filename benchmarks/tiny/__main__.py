"""`python -m benchmarks.tiny`: every figure of the tiny model's card, on unseen scenes, threshold 0.5."""

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.machine import machine_words
from benchmarks.tiny.measure import SECTIONS, Figures, amount_of, measure_section

COLUMNS = (
    ("prompts", 0),
    ("il_mcc", 3),
    ("positive_micro_f1_50", 3),
    ("cgf1", 1),
    ("recall_50", 3),
    ("nothing_found", 3),
    ("marked_kind_gone", 3),
)
"""Figures of the table with their digits after the point."""


def main() -> None:
    """Run all sections, print a table, optionally write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiny", description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--scenes", type=int, default=500, help="scenes of the text section; the others take half")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one thread each")
    options = parser.parse_args()
    start = time.monotonic()
    # The longest first; each is one task, so more jobs than sections are of no use.
    tasks = [(options.model, section, amount_of(section, options.scenes)) for section in SECTIONS]
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        parts = pool.map(measure_section, tasks)
        figures = {name: row for part in parts for name, row in part.items()}
    machine = f"{machine_words()} (cpu, float32, {options.jobs} processes, {time.monotonic() - start:.0f} s)"
    print(_table(figures))
    print(f"\n{options.scenes} scenes, {machine}")
    if options.out:
        document = {"scenes": options.scenes, "machine": machine, "figures": figures}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _table(figures: dict[str, Figures]) -> str:
    lines = [
        "| group | prompts | IL_MCC | F1@.5 | cgF1 | recall@.5 | nothing found | marked kind gone |",
        "|---" * 8 + "|",
    ]
    for name, row in sorted(figures.items()):
        cells = [_cell(row.get(key), digits) for key, digits in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
