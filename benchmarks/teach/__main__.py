"""`python -m benchmarks.teach learn`: F1 and refusal of concepts learned from more and more examples."""

import argparse
import json
import time
from pathlib import Path

import torch

from benchmarks.machine import machine_words
from benchmarks.teach.learning import Row, measure, open_tests


def main() -> None:
    """Measure, print a table, optionally write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.teach", description=__doc__)
    parser.add_argument("what", choices=("learn",))
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--nouns", nargs="+", default=["star", "key", "gear"])
    parser.add_argument("--images", nargs="+", type=int, default=[1, 3, 10, 30], help="scenes with every object marked")
    parser.add_argument("--examples", nargs="+", type=int, default=[], help="boxes instead of scenes")
    parser.add_argument("--phrase", help="asked together with the examples, where that finds more")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--tests", type=int, default=20, help="test scenes with the noun, and as many without")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.monotonic()
    amounts = [(n, n) for n in options.examples] or [(n, None) for n in options.images]
    rows: list[Row] = []
    print("noun draw images examples | F1 | absent refused | threshold | tokens | estimate")
    for noun in options.nouns:
        tests = open_tests(options.model, noun, options.tests)
        for draw in range(options.draws):
            for images, most in amounts:
                rows.append(row := measure(tests, noun, draw, images, most, options.phrase))
                print(
                    f"{noun} {draw} {row.images} {row.examples} | {row.f1:.3f} | {row.absent:.2f} | {row.threshold} |"
                    f" {row.tokens} | {row.estimate}",
                    flush=True,
                )
    machine = f"{machine_words()} (cpu, float32, {time.monotonic() - start:.0f} s)"
    print(machine)
    if options.out:
        document = {"machine": machine, "rows": [row.to_json() for row in rows]}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
