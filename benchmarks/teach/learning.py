"""`Workspace.learn` from a growing number of examples, asked on other scenes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from sam3_evals.metrics.cgf1 import PairCounts, aggregate, score_masks

from benchmarks.teach.pictures import Labeled, with_noun, without_noun
from sam3_agent.masks import Box
from sam3_agent.model.sam3 import Sam3
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.concept_trials import ConceptMode

TEST_SEED = 400_000
ABSENT_SEED = 450_000
EXAMPLE_SEED = 500_000
DRAW_STRIDE = 1_000
"""Seeds between two draws. All are below the first training seed, as those of `benchmarks.tiny`."""


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one concept, learned from one draw of examples."""

    noun: str
    draw: int
    images: int
    examples: int
    f1: float
    """Positive micro F1 at IoU 0.5 over test scenes that hold the noun."""
    absent: float
    """Share of the test scenes without it in which nothing was found."""
    threshold: float
    tokens: int
    estimate: str
    canvas: bool = False
    """Whether the examples were shown beside the images."""

    def to_json(self) -> dict[str, Any]:
        """Every figure by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TestSet:
    """Encoded test scenes in a workspace."""

    workspace: Workspace
    present: list[tuple[str, Labeled]]
    absent: list[str]


def open_tests(segmenter: Sam3, noun: str, count: int) -> TestSet:
    """Encode so many scenes with the noun, and as many without."""
    workspace = Workspace(segmenter)
    present = [(workspace.open(s.image).id, s) for s in islice(with_noun(noun, TEST_SEED), count)]
    absent = [workspace.open(s.image).id for s in islice(without_noun(noun, ABSENT_SEED), count)]
    return TestSet(workspace, present, absent)


def example_boxes(workspace: Workspace, scenes: Sequence[Labeled], most: int | None) -> list[tuple[str, Box]]:
    """Open the scenes that are needed for so many examples; None for all of them."""
    boxes: list[tuple[str, Box]] = []
    for scene in scenes:
        if most is not None and len(boxes) >= most:
            break
        image_id = workspace.open(scene.image).id
        boxes += [(image_id, box) for box in scene.boxes]
    return boxes[:most]


def measure(
    tests: TestSet,
    noun: str,
    draw: int,
    images: int,
    most: int | None,
    phrase: str | None = None,
    mode: ConceptMode = "tokens",
) -> Row:
    """Learn the noun from one draw of scenes and ask for it on the test scenes."""
    workspace = tests.workspace
    scenes = list(islice(with_noun(noun, EXAMPLE_SEED + draw * DRAW_STRIDE), images))
    boxes = example_boxes(workspace, scenes, most)
    concept = workspace.learn("taught", phrase, positive_boxes=boxes, mode=mode)
    for image_id in {image_id for image_id, _ in boxes}:
        workspace.forget(image_id)
    f1, absent = asked(tests)
    return Row(
        noun=noun, draw=draw, images=len({i for i, _ in boxes}), examples=len(boxes),
        f1=round(f1, 3), absent=absent,
        threshold=concept.threshold, tokens=concept.tokens.count, estimate=str(concept.estimate),
        canvas=bool(concept.canvas),
    )  # fmt: skip


def asked(tests: TestSet) -> tuple[float, float]:
    """Ask "@taught" on the test scenes; gives F1 at IoU 0.5, and the share of scenes without it that are refused."""
    workspace = tests.workspace
    counts: list[PairCounts] = []
    for image_id, scene in tests.present:
        (found,) = workspace.segment(image_id, ["@taught"], tiles="never")
        counts.append(score_masks([i.rle for i in found.instances], scene.objects))
    refused = [not workspace.segment(i, ["@taught"], tiles="never")[0].instances for i in tests.absent]
    return aggregate(counts).positive_micro_f1_50 or 0.0, sum(refused) / len(refused)
