"""`python -m benchmarks.teach learn|teach|finetune|loop`: concepts of examples, labeled images, adapters, decisions."""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from benchmarks.machine import machine_words
from benchmarks.teach.finetuning import TunedRow, measure_tuned
from benchmarks.teach.learning import Row, measure, open_tests
from benchmarks.teach.loop import Point, measure_loop, point_words
from benchmarks.teach.teaching import TaughtRow, measure_taught
from sam3_agent.labeling.relabel.lesson import Recipe
from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.finetuning.finetune import recipe_of as tuning_recipe
from sam3_agent.training.teaching.teach import recipe_of


def main() -> None:
    """Measure, print a table, optionally write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.teach", description=__doc__)
    parser.add_argument("what", choices=("learn", "teach", "finetune", "loop"))
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--nouns", nargs="+", help="default: star, key and gear; to be taught, gear")
    parser.add_argument(
        "--images",
        nargs="+",
        type=int,
        help="scenes with every object marked [1 3 10 30; taught: 10; loop: 300 in all]",
    )
    parser.add_argument("--decisions", nargs="+", type=int, default=[20, 50, 100], help="of the loop, in all")
    parser.add_argument("--folder", type=Path, help="of the loop's images and runs; begun ones are gone on with")
    parser.add_argument("--examples", nargs="+", type=int, default=[], help="boxes instead of scenes")
    parser.add_argument("--phrase", help="asked together with the examples, where that finds more")
    parser.add_argument("--mode", choices=("auto", "tokens", "canvas"), default="tokens", help="of learn")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first-draw", type=int, default=0)
    parser.add_argument("--steps", type=int, help="of each part of a teaching")
    parser.add_argument("--tests", type=int, default=20, help="test scenes with the noun, and as many without")
    parser.add_argument("--always-on", action="store_true", help="finetune: on for every word, others replayed")
    parser.add_argument("--keep", type=Path, help="finetune: keeps checkpoints, from which an equal call goes on")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.monotonic()
    rows = {"learn": _learned, "teach": _taught, "finetune": _tuned, "loop": _looped}[options.what](options)
    machine = f"{machine_words()} (cpu, float32, {time.monotonic() - start:.0f} s)"
    print(machine)
    if options.out:
        document = {"machine": machine, "rows": [row.to_json() for row in rows]}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _looped(options: argparse.Namespace) -> list[Point]:
    if options.folder is None:
        raise SystemExit("--folder is needed: images and runs are kept there")
    print(
        "arm | decisions | complete | accepted: precision recall | on unseen images | possible there | by class | time"
    )
    (images,) = options.images or (300,)
    recipe = Recipe(options.steps, options.first_draw)
    return measure_loop(
        options.folder, options.model, images, options.decisions, recipe, lambda p: print(point_words(p), flush=True)
    )


def _learned(options: argparse.Namespace) -> list[Row]:
    amounts = [(n, n) for n in options.examples] or [(n, None) for n in options.images or (1, 3, 10, 30)]
    rows: list[Row] = []
    print("noun draw images examples | F1 | absent refused | threshold | tokens | estimate")
    for noun in options.nouns or ("star", "key", "gear"):
        tests = open_tests(options.model, noun, options.tests)
        for draw in range(options.first_draw, options.first_draw + options.draws):
            for images, most in amounts:
                rows.append(row := measure(tests, noun, draw, images, most, options.phrase, options.mode))
                print(
                    f"{noun} {draw} {row.images} {row.examples} | {row.f1:.3f} | {row.absent:.2f} | {row.threshold} |"
                    f" {row.tokens} | {row.estimate}",
                    flush=True,
                )
    return rows


def _tuned(options: argparse.Namespace) -> list[TunedRow]:
    rows: list[TunedRow] = []
    print("noun draw images examples | F1 (held out) | absent refused | others same, or before and after | s (CPU)")
    for noun in options.nouns or ("gear",):
        for draw in range(options.first_draw, options.first_draw + options.draws):
            for images in options.images or (10,):
                recipe = tuning_recipe(
                    Sam3.load(options.model, "cpu"), always_on=options.always_on, steps=options.steps, seed=draw
                )
                keep = options.keep / f"{noun}-{draw}-{images}-{options.always_on}" if options.keep else None
                if keep:
                    keep.mkdir(parents=True, exist_ok=True)
                row = measure_tuned(options.model, noun, draw, images, recipe, options.tests, keep)
                rows.append(row)
                others = row.others_same if row.others_same is not None else f"{row.before} -> {row.after}"
                print(
                    f"{noun} {draw} {row.images} {row.examples} | {row.f1:.3f} ({row.held_out_f1}) | {row.absent:.2f} |"
                    f" {others} | {row.seconds:.0f} ({row.cpu_seconds:.0f})",
                    flush=True,
                )
        found = [row.f1 for row in rows if row.noun == noun]
        print(f"{noun}: F1 median {statistics.median(found):.3f}, worst {min(found):.3f}")
    return rows


def _taught(options: argparse.Namespace) -> list[TaughtRow]:
    rows: list[TaughtRow] = []
    print("noun draw images examples | F1 (at .5) | absent refused | threshold | others same | s (CPU) | estimate")
    for noun in options.nouns or ("gear",):
        tests = open_tests(options.model, noun, options.tests)
        for draw in range(options.first_draw, options.first_draw + options.draws):
            for images in options.images or (10,):
                recipe = recipe_of(options.steps, draw)
                rows.append(row := measure_taught(tests, options.model, noun, draw, images, recipe))
                print(
                    f"{noun} {draw} {row.images} {row.examples} | {row.f1:.3f} ({row.f1_at_half:.3f}) |"
                    f" {row.absent:.2f} | {row.threshold} | {row.others_same} | {row.seconds:.0f}"
                    f" ({row.cpu_seconds:.0f}) | {row.estimate}",
                    flush=True,
                )
        found = [row.f1 for row in rows if row.noun == noun]
        print(f"{noun}: F1 median {statistics.median(found):.3f}, worst {min(found):.3f}")
    return rows


if __name__ == "__main__":
    main()
