"""A run whose class is asked by a word that the model takes for something else, and a person who draws what is meant.

Run as a program, it does one round over such a run: `python -m tests.labeling.fixtures_rounds FOLDER`.
"""

import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.labeling.pipeline.executor import ThreadExecutor
from sam3_agent.labeling.pipeline.proposer import Proposer
from sam3_agent.labeling.pipeline.run import Order, label_images
from sam3_agent.labeling.relabel.lesson import Recipe
from sam3_agent.labeling.relabel.round import RoundOptions, RoundReport, Tell, run_round
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.model.fake import Answers, FakeSegmenter, detection
from sam3_agent.workspace import Workspace
from tests.labeling.fixtures_runs import ontology

CONCEPTS = "classes: [{name: gizmo}]"
RED, BLUE = (200, 30, 30), (30, 30, 200)
SIDE, BLOCK = 80, 16
QUICK = RoundOptions(recipe=Recipe(steps=0))
"""By `learn`, which any model can do."""


def write_blocks(folder: Path, count: int) -> None:
    """Pictures with a blue block and, on every one but each third, two red ones: gizmos."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(90, 110, (SIDE, SIDE, 3), dtype=np.uint8)
        blocks = [(BLUE, 4, 4 + number), *([(RED, 40, 8 + number), (RED, 60, 40)] if number % 3 else [])]
        for color, y, x in blocks:
            pixels[y : y + BLOCK, x : x + BLOCK] = color
        Image.fromarray(pixels).save(folder / f"{number}.png")


def red_blocks(image: NDArray[np.uint8]) -> list[NDArray[np.bool_]]:
    """The gizmos of a picture."""
    red = np.all(image == RED, axis=2)
    halves = [red & (np.arange(SIDE)[:, None] < 58), red & (np.arange(SIDE)[:, None] >= 58)]
    return [half for half in halves if half.any()]


def mistaken_segmenter(delay: float = 0.0) -> FakeSegmenter:
    """Takes blue blocks for gizmos; knows red ones by a word that nobody uses."""

    def answers(image: NDArray[np.uint8]) -> Answers:
        time.sleep(delay)
        blue = np.all(image == BLUE, axis=2)
        found: Answers = {"gizmo": detection([blue], [0.6])} if blue.any() else {}
        reds = red_blocks(image)
        return {**found, "redness": detection(reds, [0.9] * len(reds))} if reds else found

    return FakeSegmenter(answers)


def begin(folder: Path, count: int = 7) -> Journal:
    """Label so many pictures by the word."""
    write_blocks(folder / "images", count)
    journal = Journal.create(folder / "run")
    proposer = Proposer(Workspace(mistaken_segmenter()), ontology(CONCEPTS), tiles="never")
    assert label_images(Order(folder / "images"), journal, ThreadExecutor(proposer)) == "finished"
    return journal


def decide(journal: Journal, folder: Path, count: int, first: int = 0) -> None:
    """Reject what was found on so many pictures, draw the gizmos, and say that nothing is missing."""
    decisions = ReviewDecisions(journal, "me")
    for row in journal.images("done")[first : first + count]:
        if known := [each.id for each in journal.labels(row.sha)]:
            decisions.decide(known, "reject")
        for mask in red_blocks(np.asarray(Image.open(folder / "images" / row.path))):
            decisions.put_mask(row.sha, masks.encode(mask), "gizmo")
        decisions.confirm(row.sha)


def one_round(journal: Journal, tell: Tell = lambda _: None, delay: float = 0.0) -> RoundReport:
    """Teach what was decided, and label the rest anew."""
    return run_round(journal, mistaken_segmenter(delay), QUICK, tell)


if __name__ == "__main__":
    with closing(Journal.open(Path(sys.argv[1]))) as opened:
        one_round(opened, delay=0.02)
