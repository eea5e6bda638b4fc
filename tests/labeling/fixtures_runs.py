"""Pictures of procedural scenes in a folder, and a model that knows the truth about each of them.

Run as a program, it labels such a folder: `python -m tests.labeling.fixtures_runs IMAGES OUT [MOST_BYTES]`.
"""

import resource
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent.labeling.ontology.ontology import Ontology
from sam3_agent.labeling.ontology.yaml_file import parse_ontology
from sam3_agent.labeling.pipeline.executor import ThreadExecutor
from sam3_agent.labeling.pipeline.proposer import Proposer
from sam3_agent.labeling.pipeline.run import Order, label_images
from sam3_agent.labeling.store.documents import label_json
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.model.fake import Answers, FakeSegmenter
from sam3_agent.planner import RulesLLM
from sam3_agent.scenes import Scene, SceneOptions, generate_scene
from sam3_agent.workspace import Workspace
from tests.loop.fixtures_segmenter import perfect_segmenter

OPTIONS = SceneOptions(min_objects=6, max_objects=9, min_side=128, max_side=160, max_aspect=1.2)
CONCEPTS = """
classes:
  - name: animal
    phrases: [animal, fish, bird, cat]
    negatives: [plant]
  - name: shape
    negatives: [building]
  - name: vehicle
    phrases: [vehicle]
    attributes: {source: scenes, color: [red, blue, green]}
  - name: leftmost
    query: the leftmost shape
"""


def ontology(text: str = CONCEPTS) -> Ontology:
    return parse_ontology(text, Path("concepts.yaml"))


@cache
def scenes(count: int) -> list[Scene]:
    return [generate_scene(seed, OPTIONS) for seed in range(count)]


def write_scenes(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for scene in scenes(count):
        Image.fromarray(scene.image).save(folder / f"{scene.seed:03d}.png")


def knowing_segmenter(count: int, delay: float = 0.0) -> FakeSegmenter:
    """Answers on the pictures of `write_scenes` what is true of them."""
    known = {scene.image.tobytes(): scene for scene in scenes(count)}

    def answers(image: NDArray[np.uint8]) -> Answers:
        time.sleep(delay)
        scene = known.get(image.tobytes())
        return {} if scene is None else perfect_segmenter(scene).encode(image).answers

    return FakeSegmenter(answers)


def label(images: Path, out: Path, segmenter: FakeSegmenter, concepts: str = CONCEPTS, jobs: int = 1) -> Journal:
    """Label a folder, or go on with it."""
    journal = Journal.create(out)
    proposer = Proposer(Workspace(segmenter), ontology(concepts), RulesLLM, "never")
    assert label_images(Order(images, llm="rules"), journal, ThreadExecutor(proposer, jobs)) == "finished"
    return journal


def contents(journal: Journal) -> dict[str, object]:
    """Everything that a run leaves behind, but for times."""
    return {
        "labels": [label_json(each) for each in journal.labels()],
        "checks": journal.checks(),
        "images": [(row.path, row.sha, row.state, row.reason, row.dhash) for row in journal.images()],
        "detections": journal.read("SELECT sha, payload FROM units WHERE unit='detect' ORDER BY sha"),
        "asked": journal.read("SELECT sha, unit, usd FROM units ORDER BY sha, unit"),
    }


if __name__ == "__main__":
    if len(sys.argv) > 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
    label(Path(sys.argv[1]), Path(sys.argv[2]), knowing_segmenter(12, delay=0.01)).close()
