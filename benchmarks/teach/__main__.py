"""`python -m benchmarks.teach learn|teach|finetune|loop`: concepts of examples, labeled images, adapters, decisions."""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path

import torch

from benchmarks.machine import machine_words
from benchmarks.teach.finetuning import TunedRow, measure_tuned
from benchmarks.teach.learning import Row, TestSet, measure, open_tests
from benchmarks.teach.loop import LoopPlace, Point, measure_loop, point_words
from benchmarks.teach.row_store import RowStore
from benchmarks.teach.teaching import TaughtRow, measure_taught
from sam3_agent.labeling.relabel.lesson import Recipe
from sam3_agent.model.adapters.adapter import base_fingerprint
from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.finetuning.finetune import recipe_of as tuning_recipe
from sam3_agent.training.teaching.teach import TeachOptions, recipe_of


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
    parser.add_argument("--folder", type=Path, help="of the loop's images and runs; as --keep")
    parser.add_argument("--examples", nargs="+", type=int, default=[], help="boxes instead of scenes")
    parser.add_argument("--phrase", help="asked together with the examples, where that finds more")
    parser.add_argument("--mode", choices=("auto", "tokens", "canvas"), default="tokens", help="of learn")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first-draw", type=int, default=0)
    parser.add_argument("--steps", type=int, help="of each part of a teaching")
    parser.add_argument("--tests", type=int, default=20, help="test scenes with the noun, and as many without")
    parser.add_argument("--always-on", action="store_true", help="finetune: on for every word, others replayed")
    parser.add_argument("--keep", type=Path, help="keeps rows and checkpoints, from which an equal call goes on")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.monotonic()
    segmenter = Sam3.load(options.model, "cpu")
    # of the detector too, which the fingerprint that tokens are bound to leaves out
    fingerprint = base_fingerprint(segmenter.network)
    weights = f"weights {options.model} {fingerprint}"
    print(f"{machine_words()} (cpu, float32); {weights}")
    measure = {"learn": _learned, "teach": _taught, "finetune": _tuned, "loop": _looped}[options.what]
    rows = measure(options, segmenter, RowStore(options.keep, {"weights": fingerprint}))
    print(f"{time.monotonic() - start:.0f} s")
    if options.out:
        document = {"machine": machine_words(), "weights": weights, "rows": [row.to_json() for row in rows]}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _draws(options: argparse.Namespace) -> range:
    return range(options.first_draw, options.first_draw + options.draws)


def _looped(options: argparse.Namespace, segmenter: Sam3, kept: RowStore) -> list[Point]:
    if options.folder is None:
        raise SystemExit("--folder is needed: images and runs are kept there")
    print(
        "draw arm | decisions | complete | accepted: precision recall | on unseen images | possible there |"
        " by class | time"
    )
    (images,) = options.images or (300,)
    points: list[Point] = []
    for draw in _draws(options):
        place = LoopPlace(options.folder / f"draw-{draw}-{kept.given['weights'][:8]}", draw, images)
        told = partial(_tell_point, draw)
        points += measure_loop(place, segmenter, options.decisions, Recipe(options.steps, draw), told)
    for amount in options.decisions:
        found = [each for each in points if each.arm == "taught" and each.decisions >= amount]
        first = {each.draw: each for each in reversed(found)}.values()
        _sum_up(f"after {amount} decisions, unseen images: precision", [each.elsewhere_precision for each in first])
        _sum_up(f"after {amount} decisions, unseen images: recall", [each.elsewhere_recall for each in first])
    return points


def _tell_point(draw: int, point: Point) -> None:
    print(f"{draw} {point_words(point)}", flush=True)


def _learned(options: argparse.Namespace, segmenter: Sam3, kept: RowStore) -> list[Row]:
    amounts = [(n, n) for n in options.examples] or [(n, None) for n in options.images or (1, 3, 10, 30)]
    rows: list[Row] = []
    print("noun draw images examples | F1 | absent refused | threshold | tokens | estimate")
    tests = cache(partial(open_tests, segmenter, count=options.tests))
    for noun in options.nouns or ("star", "key", "gear"):
        for draw in _draws(options):
            for images, most in amounts:
                given = {"noun": noun, "draw": draw, "images": images, "most": most, "tests": options.tests,
                         "phrase": options.phrase, "mode": options.mode}  # fmt: skip

                measured = partial(_learn, tests, noun, draw, images, most, options)
                rows.append(row := kept.row(Row, given, measured))
                print(
                    f"{noun} {draw} {row.images} {row.examples} | {row.f1:.3f} | {row.absent:.2f} | {row.threshold} |"
                    f" {row.tokens} | {row.estimate}",
                    flush=True,
                )
        for place, (images, _) in enumerate(amounts):
            mine = [row for row in rows if row.noun == noun][place :: len(amounts)]
            _sum_up(f"{noun}, {images}: F1", [row.f1 for row in mine])
            _sum_up(f"{noun}, {images}: absent refused", [row.absent for row in mine])
    return rows


def _learn(
    tests: Callable[[str], TestSet],
    noun: str,
    draw: int,
    images: int,
    most: int | None,
    options: argparse.Namespace,
    _: Path | None,
) -> Row:
    return measure(tests(noun), noun, draw, images, most, options.phrase, options.mode)


def _tuned(options: argparse.Namespace, segmenter: Sam3, kept: RowStore) -> list[TunedRow]:
    rows: list[TunedRow] = []
    print("noun draw images examples | F1 (held out) | absent refused | others same, or before and after | s (CPU)")
    for noun, draw, images in product(options.nouns or ("gear",), _draws(options), options.images or (10,)):
        recipe = tuning_recipe(segmenter, always_on=options.always_on, steps=options.steps, seed=draw)
        given = {"noun": noun, "draw": draw, "images": images, "tests": options.tests, "recipe": str(recipe)}
        row = kept.row(TunedRow, given, partial(measure_tuned, segmenter, noun, draw, images, recipe, options.tests))
        rows.append(row)
        others = row.others_same if row.others_same is not None else f"{row.before} -> {row.after}"
        print(
            f"{noun} {draw} {row.images} {row.examples} | {row.f1:.3f} ({row.held_out_f1}) | {row.absent:.2f} |"
            f" {others} | {row.seconds:.0f} ({row.cpu_seconds:.0f})",
            flush=True,
        )
    _sum_up("F1", [row.f1 for row in rows])
    _sum_up("absent refused", [row.absent for row in rows])
    return rows


def _taught(options: argparse.Namespace, segmenter: Sam3, kept: RowStore) -> list[TaughtRow]:
    rows: list[TaughtRow] = []
    print("noun draw images examples | F1 (at .5) | absent refused | threshold | others same | s (CPU) | estimate")
    tests = cache(partial(open_tests, segmenter, count=options.tests))
    for noun, draw, images in product(options.nouns or ("gear",), _draws(options), options.images or (10,)):
        recipe = recipe_of(options.steps, draw)
        given = {"noun": noun, "draw": draw, "images": images, "tests": options.tests, "recipe": str(recipe)}

        measured = partial(_teach, tests, segmenter, noun, draw, images, recipe)
        rows.append(row := kept.row(TaughtRow, given, measured))
        print(
            f"{noun} {draw} {row.images} {row.examples} | {row.f1:.3f} ({row.f1_at_half:.3f}) |"
            f" {row.absent:.2f} | {row.threshold} | {row.others_same} | {row.seconds:.0f}"
            f" ({row.cpu_seconds:.0f}) | {row.estimate}",
            flush=True,
        )
    _sum_up("F1", [row.f1 for row in rows])
    _sum_up("absent refused", [row.absent for row in rows])
    return rows


def _teach(
    tests: Callable[[str], TestSet],
    segmenter: Sam3,
    noun: str,
    draw: int,
    images: int,
    recipe: TeachOptions,
    folder: Path | None,
) -> TaughtRow:
    return measure_taught(tests(noun), segmenter, noun, draw, images, recipe, folder)


def _sum_up(words: str, figures: Sequence[float]) -> None:
    if figures:
        middle, least, most = statistics.median(figures), min(figures), max(figures)
        print(f"{words}: median {middle:.3f}, {least:.3f} to {most:.3f}, {len(figures)} draws", flush=True)


if __name__ == "__main__":
    main()
