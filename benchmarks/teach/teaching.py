"""A concept taught from images with and without a noun, asked on other scenes."""

import time
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.teach.learning import DRAW_STRIDE, EXAMPLE_SEED, TestSet, asked
from benchmarks.teach.pictures import with_noun, without_noun
from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes.vocabulary import NOUNS
from sam3_agent.training.teaching.teach import TeachOptions, teach
from sam3_agent.training.teaching.views import TeachingImage
from sam3_agent.types import ConceptPrompt

ABSENT_EXAMPLE_SEED = 550_000
OTHERS_ASKED = 3
"""Test scenes on which every other word is asked before and after."""


@dataclass(frozen=True, slots=True)
class TaughtRow:
    """Figures of one concept, taught from one draw of images."""

    noun: str
    draw: int
    images: int
    """With the noun; there are as many without it."""
    examples: int
    f1: float
    absent: float
    f1_at_half: float
    """F1 where the usual threshold of 0.5 is used in place of its own."""
    threshold: float
    others_same: bool
    """Whether every other word answers as before, bit for bit."""
    seconds: float
    cpu_seconds: float
    estimate: str

    def to_json(self) -> dict[str, Any]:
        """Every figure by name."""
        return asdict(self)


def measure_taught(
    tests: TestSet,
    segmenter: Sam3,
    noun: str,
    draw: int,
    images: int,
    recipe: TeachOptions,
    folder: Path | None = None,
) -> TaughtRow:
    """Teach the noun from one draw of scenes and ask for it on the test scenes.

    `folder` keeps a checkpoint, from which an equal call goes on.
    """
    having = islice(with_noun(noun, EXAMPLE_SEED + draw * DRAW_STRIDE), images)
    lacking = islice(without_noun(noun, ABSENT_EXAMPLE_SEED + draw * DRAW_STRIDE), images)
    scenes = [*having, *lacking]
    given = [TeachingImage(scene.image, scene.objects) for scene in scenes]
    words = [ConceptPrompt(word) for word in NOUNS]
    features = [segmenter.encode(scene.image) for scene in scenes[:OTHERS_ASKED]]
    before = [segmenter.detect(each, words) for each in features]
    began, cpu = time.monotonic(), time.process_time()
    concept = teach(segmenter, "taught", given, options=recipe, folder=folder)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    same = before == [segmenter.detect(each, words) for each in features]
    tests.workspace.add_concept(concept)
    f1, absent = asked(tests)
    tests.workspace.add_concept(replace(concept, threshold=0.5))
    half, _ = asked(tests)
    return TaughtRow(
        noun, draw, images, sum(len(scene.objects) for scene in scenes), round(f1, 3), absent, round(half, 3),
        concept.threshold, same, round(seconds, 1), round(cpu, 1), str(concept.estimate),
    )  # fmt: skip
