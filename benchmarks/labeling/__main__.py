"""`python -m benchmarks.labeling --out DIR`: labels of scenes against their truth, and speed beside the bare model."""

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.labeling.truth import CONCEPTS, Counts, counted, matched, write_pictures
from sam3_agent.formats.files import write_json
from sam3_agent.labeling.ontology.yaml_file import parse_ontology
from sam3_agent.labeling.pipeline.executor import ThreadExecutor
from sam3_agent.labeling.pipeline.proposer import Proposer
from sam3_agent.labeling.pipeline.run import Order, label_images
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.label import ROUTES
from sam3_agent.labeling.store.summary import class_names, summarize
from sam3_agent.labeling.verify.calibrate import calibrate
from sam3_agent.labeling.verify.thresholds import set_thresholds, thresholds_of
from sam3_agent.masks import Rle
from sam3_agent.model.replicas import load_segmenter
from sam3_agent.planner import RulesLLM
from sam3_agent.types import ConceptPrompt, DetectOptions
from sam3_agent.workspace import Workspace

FIRST_SEED = 900_000_000
"""Scenes that no training saw."""
Truth = dict[str, dict[str, list[Rle]]]


def main() -> None:
    """Measure, print and write DIR/figures.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--calibration", type=int, default=60, help="more scenes, reviewed by the truth")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--tiles", default="auto", choices=("auto", "never"))
    parser.add_argument("--speed-images", type=int, default=100)
    parser.add_argument("--parts", nargs="*", default=("routes", "speed"), choices=("routes", "speed"))
    given = parser.parse_args()
    workspace = Workspace(load_segmenter(given.model))
    known = given.out / "figures.json"
    figures: dict[str, Any] = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}
    figures |= {"scenes": given.scenes, "model": workspace.info.to_json()}
    seeds = range(given.first_seed, given.first_seed + given.scenes)
    truth = write_pictures(given.out / "images", seeds)
    if "routes" in given.parts:
        more = write_pictures(given.out / "more", range(seeds.stop, seeds.stop + given.calibration))
        figures |= routes(workspace, given.out, truth, more, given.tiles)
    if "speed" in given.parts:
        figures["speed"] = speed(workspace, given.out, given.speed_images)
    write_json(known, figures, indent=1)
    print(json.dumps(figures, indent=1))


def routes(workspace: Workspace, out: Path, truth: Truth, more: Truth, tiles: Any) -> dict[str, Any]:
    """Report where labels go and how right they are: by the default thresholds, and by those fitted to other scenes."""
    journal, seconds, encodes = run(workspace, out / "images", out / "run", tiles)
    reviewed, _, _ = run(workspace, out / "more", out / "reviewed", tiles)
    figures: dict[str, Any] = {"tiles": tiles, "seconds": round(seconds, 1), "encodes": encodes, "lost": lost(journal)}
    ontology = parse_ontology(CONCEPTS, out / "concepts.yaml")
    set_thresholds(journal, {each.name: each.thresholds for each in ontology.classes})
    figures["defaults"] = by_route(journal, truth)
    review_by_truth(reviewed, more)
    fits = calibrate(reviewed)
    set_thresholds(journal, {fit.class_name: fit.after for fit in fits})
    figures["calibrated"] = by_route(journal, truth)
    figures["thresholds"] = {name: [each.review, each.accept] for name, each in thresholds_of(journal).items()}
    return figures


def run(workspace: Workspace, images: Path, out: Path, tiles: Any) -> tuple[Journal, float, int]:
    """Label a folder; seconds and encodes of this call."""
    ontology = parse_ontology(CONCEPTS, images / "concepts.yaml")
    journal = Journal.create(out)
    began, before = time.perf_counter(), workspace.encodes
    ended = label_images(
        Order(images, llm="rules"), journal, ThreadExecutor(Proposer(workspace, ontology, RulesLLM, tiles))
    )
    assert ended == "finished", ended
    return journal, time.perf_counter() - began, workspace.encodes - before


def lost(journal: Journal) -> int:
    """Finds that are in no label: must be 0."""
    summary = summarize(journal)
    routed = sum(len(label.evidence.supports) for label in journal.labels() if label.route in ROUTES)
    return summary.proposals - routed


def by_route(journal: Journal, truth: Truth) -> dict[str, Any]:
    """Precision and recall of all proposals, of each route, and of what is accepted or in review, a class and all."""
    kinds = {"proposed": ROUTES, "kept": ("accepted", "review"), **{route: (route,) for route in ROUTES}}
    figures: dict[str, Any] = {}
    for kind, routes in kinds.items():
        table = {name: of_class(journal, truth, name, routes) for name in class_names(journal)}
        total = sum(table.values(), Counts(0, 0, 0, 0))
        figures[kind] = {name: _figure(counts) for name, counts in (("all", total), *table.items())}
    return figures


def of_class(journal: Journal, truth: Truth, name: str, routes: Sequence[str]) -> Counts:
    """Counts of one class over all pictures."""
    paths = {row.sha: row.path for row in journal.images("done")}
    chosen: dict[str, list[Any]] = {path: [] for path in truth}
    for label in journal.labels():
        if label.class_name == name and label.route in routes:
            chosen[paths[label.sha]].append(label)
    return sum((counted(labels, truth[path][name]) for path, labels in chosen.items()), Counts(0, 0, 0, 0))


def review_by_truth(journal: Journal, truth: Truth) -> None:
    """Decide about every label as somebody would who knows the truth."""
    workspace = ReviewDecisions(journal, "truth")
    for row in journal.images("done"):
        for name in class_names(journal):
            labels = [label for label in journal.labels(row.sha) if label.class_name == name]
            for label, right in zip(labels, matched(labels, truth[row.path][name]), strict=True):
                workspace.decide([label.id], "accept" if right else "reject")


def speed(workspace: Workspace, out: Path, count: int) -> dict[str, float]:
    """Images a second of labeling by phrases alone, and of the bare model with the same phrases, taken in turns."""
    text = "\n".join(line for line in CONCEPTS.splitlines() if "query" not in line or line.startswith("#"))
    ontology = parse_ontology(text, out / "concepts.yaml")
    folder = out / "speed"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    for path in sorted((out / "images").glob("*.png"))[:count]:
        shutil.copy(path, folder / "images")
    proposer = Proposer(workspace, ontology, None, "never")
    prompts = [ConceptPrompt(phrase) for phrase in proposer.phrases()]
    segmenter = load_segmenter(workspace.info.name)
    files = sorted((folder / "images").iterdir())
    bare: list[float] = []
    labeled: list[float] = []
    for turn in range(3):
        began = time.perf_counter()
        for path in files:
            pixels = np.asarray(Image.open(path).convert("RGB"))
            segmenter.detect(segmenter.encode(pixels), prompts, DetectOptions(threshold=proposer.floor))
        bare.append(len(files) / (time.perf_counter() - began))
        before, began = workspace.encodes, time.perf_counter()
        label_images(Order(folder / "images"), Journal.create(folder / f"run{turn}"), ThreadExecutor(proposer))
        labeled.append(len(files) / (time.perf_counter() - began))
        assert workspace.encodes - before == len(files), "an image was not encoded exactly once"
    middle = {"bare": sorted(bare)[1], "labeling": sorted(labeled)[1]}
    return {name: round(value, 2) for name, value in middle.items()} | {
        "ratio": round(middle["labeling"] / middle["bare"], 3)
    }


def _figure(counts: Counts) -> dict[str, float]:
    return {
        "labels": counts.labels,
        "precision": round(counts.precision, 4),
        "recall": round(counts.recall, 4),
    }


if __name__ == "__main__":
    main()
