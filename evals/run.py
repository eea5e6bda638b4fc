"""A run: every case of a dataset answered by a solver, journalled, resumable.

A run's folder holds `manifest.json`, `cases.jsonl` (the questions with their truth, so that scoring needs nothing else)
and `predictions.jsonl`.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from evals.case import Case
from evals.datasets import Dataset
from evals.journal import Journal, read_journal
from evals.manifest import FILE, Manifest, code_version, read_manifest
from evals.prediction import Prediction
from evals.solvers import Solver
from sam3_agent.errors import InputError, Sam3AgentError

logger = logging.getLogger(__name__)

CASES = "cases.jsonl"
PREDICTIONS = "predictions.jsonl"

Progress = Callable[[int, int, Prediction], None]
"""Called after each case with how many are done, of how many, and the prediction."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run; `model` and `llm` are names for the manifest."""

    dataset: Dataset
    solver: str
    model: str
    llm: str
    limit: int | None = None


def prepare(plan: Plan, run: Path) -> Manifest:
    """Write the questions and the manifest, or check that an older run in this folder is the same one.

    Raises:
        InputError: the folder holds another run, or the dataset is broken or empty.
    """
    run.mkdir(parents=True, exist_ok=True)
    fresh = run / (CASES + ".new")
    try:
        digest, total = _write_cases(plan, fresh)
        if not total:
            raise InputError(f"{plan.dataset.name}: no case to ask")
        manifest = Manifest(
            dataset=plan.dataset.name,
            dataset_hash=digest,
            cases=total,
            solver=plan.solver,
            model=plan.model,
            llm=plan.llm,
            code=code_version(),
        )
        if (run / FILE).exists():
            read_manifest(run).check_same(manifest)
        elif (run / PREDICTIONS).exists():
            raise InputError(f"{run}: predictions without {FILE}; give another --out")
        else:
            fresh.replace(run / CASES)
            manifest.write(run)
    finally:
        fresh.unlink(missing_ok=True)
    return manifest


def execute(run: Path, dataset: Dataset, solver: Solver, progress: Progress | None = None) -> int:
    """Answer the cases that have no prediction yet, in order; returns how many were answered now."""
    done = {line["case"] for line in read_journal(run / PREDICTIONS)}
    total, answered = read_manifest(run).cases, 0
    if done:
        logger.info("resuming: %d of %d cases are done", len(done), total)
    with Journal(run / PREDICTIONS) as journal:
        for case in read_cases(run):
            if case.id in done:
                continue
            prediction = _solve(solver, case, dataset)
            journal.append(prediction.to_json())
            answered += 1
            if progress:
                progress(len(done) + answered, total, prediction)
    return answered


def read_cases(run: Path) -> Iterator[Case]:
    """The questions of a run, streamed in order."""
    return (Case.from_json(line) for line in read_journal(run / CASES))


def read_predictions(run: Path) -> Iterator[Prediction]:
    """The predictions of a run, streamed in the order they were made."""
    return (Prediction.from_json(line) for line in read_journal(run / PREDICTIONS))


def _solve(solver: Solver, case: Case, dataset: Dataset) -> Prediction:
    try:
        return solver.solve(case, dataset.picture(case))
    except Sam3AgentError as error:  # the picture or the eye: no case after this one would be worth its figure
        raise Sam3AgentError(f"case {case.id}: {error}") from error


def _write_cases(plan: Plan, path: Path) -> tuple[str, int]:
    """Write the questions; return a hash of them with their truth, and their number."""
    digest, total, seen = hashlib.sha256(), 0, set[str]()
    with path.open("wb") as file:
        for case in islice(plan.dataset.cases(plan.limit), plan.limit):
            if case.id in seen:
                raise InputError(f"{plan.dataset.name}: two cases have the id {case.id!r}")
            seen.add(case.id)
            line = json.dumps(case.to_json(), separators=(",", ":")).encode() + b"\n"
            digest.update(line)
            file.write(line)
            total += 1
    return digest.hexdigest()[:16], total
