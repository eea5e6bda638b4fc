"""A model that knows the answers to given cases, and a plan to run over it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sam3_evals.datasets import Dataset
from sam3_evals.run import Plan, execute, prepare
from sam3_evals.sample import Case, Source
from sam3_evals.solvers.concept import ConceptSolver

from sam3_agent import masks
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.types import Candidate, Detection
from sam3_agent.workspace import Workspace

SIDE = 64


def square(x: int, y: int, side: int = 16) -> NDArray[np.bool_]:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


@dataclass(frozen=True)
class Squares:
    """`count` cases, two to a picture: one with a square at its own place, one with nothing to find."""

    count: int = 8
    name: str = "squares"

    def cases(self, limit: int | None) -> Iterator[Case]:
        for number in range(self.count if limit is None else min(limit, self.count)):
            there = number % 2 == 0
            yield Case(
                id=f"c{number}",
                picture=str(number // 2),
                query=f"thing {number}",
                size=(SIDE, SIDE),
                targets=(masks.encode(square(2 * number, 2 * number)),) if there else (),
                strata={"kind": "plain" if there else "no_target"},
            )

    def picture(self, case: Case) -> Source:
        return np.full((SIDE, SIDE, 3), int(case.picture), dtype=np.uint8)


def knowing_segmenter(cases: Iterable[Case]) -> FakeSegmenter:
    """Answers the query of every case with its targets, and with nothing where there are none."""
    answers: dict[str, Detection] = {}
    for case in cases:
        candidates = tuple(Candidate(rle, masks.box(rle), 0.95) for rle in case.targets)
        answers[case.query] = Detection(0.95 if candidates else 0.02, candidates)
    return FakeSegmenter(answers)


def workspace_for(dataset: Dataset, limit: int | None = None) -> Workspace:
    return Workspace(knowing_segmenter(dataset.cases(limit)))


def plan_for(dataset: Dataset, limit: int | None = None, model: str = "fake") -> Plan:
    return Plan(dataset, "concept", model, "", limit)


def whole_run(folder: Path, dataset: Dataset, limit: int | None = None) -> Path:
    prepare(plan_for(dataset, limit), folder)
    execute(folder, dataset, [ConceptSolver(workspace_for(dataset, limit))])
    return folder
