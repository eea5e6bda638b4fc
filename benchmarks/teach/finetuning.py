"""An adapter fine-tuned from images with and without a noun, asked on other scenes: what it finds, what it forgot."""

import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sam3_evals.metrics.cgf1 import aggregate, score_masks

from benchmarks.teach.learning import ABSENT_SEED, DRAW_STRIDE, EXAMPLE_SEED, TEST_SEED
from benchmarks.teach.pictures import Labeled, with_noun, without_noun
from benchmarks.teach.teaching import ABSENT_EXAMPLE_SEED, OTHERS_ASKED
from sam3_agent.masks import Rle
from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes.vocabulary import NOUNS
from sam3_agent.training.finetuning.figures import Counts, f1, first_share, refusal
from sam3_agent.training.finetuning.finetune import Finetuned, FinetuneOptions, finetune
from sam3_agent.training.finetuning.survey import hijacked, scene_counts, survey
from sam3_agent.training.teaching.views import TeachingImage
from sam3_agent.types import ConceptPrompt
from sam3_agent.workspace import Workspace

GENERAL_SEED = 650_000
"""Under the first seed of any training, apart from that of the report's own scenes."""
GENERAL_SCENES = 40


@dataclass(frozen=True, slots=True)
class Others:
    """Answers for other words."""

    hijack: float | None
    """Share of other nouns that give an object of the class, on test scenes with it."""
    f1: float | None
    refusal: float | None


@dataclass(frozen=True, slots=True)
class TunedRow:
    """Figures of one adapter of one draw of images."""

    noun: str
    draw: int
    images: int
    """With the noun; there are as many without it."""
    examples: int
    always_on: bool
    f1: float
    """Positive micro F1 at IoU 0.5 over test scenes that hold the noun."""
    absent: float
    """Share of the test scenes without it in which nothing was found."""
    others_same: bool | None
    """Whether every other noun answers as before, bit for bit; None where the adapter is on for them too."""
    before: Others | None
    after: Others | None
    shift: float
    kilobytes: float
    seconds: float
    cpu_seconds: float
    held_out_f1: float | None
    """That the report of the adapter says."""

    def to_json(self) -> dict[str, Any]:
        """Every figure by name."""
        return asdict(self)


def measure_tuned(
    segmenter: Sam3, noun: str, draw: int, images: int, recipe: FinetuneOptions, tests: int, folder: Path | None = None
) -> TunedRow:
    """Fine-tune to the noun from one draw of scenes and ask for it, and for others, on test scenes.

    `folder` keeps a checkpoint, from which an equal call goes on.
    """
    having = islice(with_noun(noun, EXAMPLE_SEED + draw * DRAW_STRIDE), images)
    lacking = islice(without_noun(noun, ABSENT_EXAMPLE_SEED + draw * DRAW_STRIDE), images)
    given = [TeachingImage(scene.image, scene.objects) for scene in (*having, *lacking)]
    began, cpu = time.monotonic(), time.process_time()
    made = finetune(segmenter, noun, given, options=recipe, folder=folder)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    after = made.applied(segmenter)
    present = list(islice(with_noun(noun, TEST_SEED), tests))
    absent = list(islice(without_noun(noun, ABSENT_SEED), tests))
    found, refused = _asked(after, noun, present, absent)
    always = recipe.always_on
    own = dict(made.report.own)["F1"].after.value
    return TunedRow(
        noun, draw, images, sum(len(image.objects) for image in given), always, round(found, 3), refused,
        None if always else _same(segmenter, after, present, noun),
        _others(segmenter, noun, present) if always else None, _others(after, noun, present) if always else None,
        made.report.shift, _kilobytes(made), round(seconds, 1), round(cpu, 1), own,
    )  # fmt: skip


def _asked(segmenter: Sam3, noun: str, present: list[Labeled], absent: list[Labeled]) -> tuple[float, float]:
    """Ask as a user does, who gives the phrase to a workspace."""
    workspace = Workspace(segmenter)

    def found(scene: Labeled) -> list[Rle]:
        image = workspace.open(scene.image)
        (answer,) = workspace.segment(image.id, [noun], tiles="never")
        workspace.forget(image.id)
        return [each.rle for each in answer.instances]

    counts = [score_masks(found(scene), scene.objects) for scene in present]
    refused = [not found(scene) for scene in absent]
    return aggregate(counts).positive_micro_f1_50 or 0.0, sum(refused) / len(refused)


def _same(before: Sam3, after: Sam3, scenes: list[Labeled], noun: str) -> bool:
    words = [ConceptPrompt(word) for word in NOUNS if word != noun]
    features = [before.encode(scene.image) for scene in scenes[:OTHERS_ASKED]]
    return all(before.detect(each, words) == after.detect(each, words) for each in features)


def _others(segmenter: Sam3, noun: str, present: list[Labeled]) -> Others:
    images = [TeachingImage(scene.image, scene.objects) for scene in present]
    said = survey(segmenter, images, [word for word in NOUNS if word != noun])
    general = scene_counts(segmenter, GENERAL_SCENES, GENERAL_SEED).sum(axis=0)
    return Others(_rounded(first_share, hijacked(said, images, frozenset()).sum(axis=0)),
                  _rounded(f1, general), _rounded(refusal, general))  # fmt: skip


def _rounded(quotient: Any, sums: Counts) -> float | None:
    value = quotient(sums)
    return None if value is None else round(value, 4)


def _kilobytes(made: Finetuned) -> float:
    return round(sum(value.nbytes for value in made.adapter.tensors.values()) / 1000, 1)
