"""A run: every case of a dataset answered by a solver, journalled, resumable.

A run's folder holds `manifest.json`, `cases.jsonl` (the questions with their truth, so that scoring needs nothing
else), `predictions.jsonl`, and `traces/` where the solver leaves any.
"""

import hashlib
import itertools
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.loop.trace import write_trace
from sam3_evals.datasets import Dataset
from sam3_evals.journal import Journal, JournalIndex, read_values
from sam3_evals.manifest import FILE, Manifest, code_version, read_manifest
from sam3_evals.prediction import Prediction
from sam3_evals.sample import Case
from sam3_evals.shard import WHOLE, Shard
from sam3_evals.solvers import Solver

logger = logging.getLogger(__name__)

CASES = "cases.jsonl"
PREDICTIONS = "predictions.jsonl"
TRACES = "traces"

Progress = Callable[[Case, Prediction], None]
"""Called after each case that was answered now, one call at a time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of a run; all but `dataset`, `limit` and `shard` goes into the manifest as it is."""

    dataset: Dataset
    solver: str
    model: str
    llm: str
    limit: int | None = None
    weights: str = ""
    prompts: str = ""
    seed: int = 0
    device: str = ""
    dtype: str = ""
    shard: Shard = WHOLE


def prepare(plan: Plan, run: Path) -> Manifest:
    """Write the questions and the manifest, or check that an older run in this folder is the same one.

    An older run may have asked fewer cases: its limit is raised, what it answered stays.

    Raises:
        InputError: the folder holds another run, or the dataset is broken or empty.
    """
    there = run.exists()
    run.mkdir(parents=True, exist_ok=True)
    fresh = run / (CASES + ".new")
    try:
        older = read_manifest(run) if (run / FILE).exists() else None
        digest, total, begins = _write_cases(plan, fresh, older.cases if older else 0)
        if not total:
            raise InputError(f"{plan.dataset.name}: no case to ask")
        manifest = _manifest(plan, digest, total)
        if older is not None:
            older.check_continued_by(manifest, begins)
        elif (run / PREDICTIONS).exists():
            raise InputError(f"{run}: predictions without {FILE}; give another --out")
        fresh.replace(run / CASES)  # the same ones, or with those that a raised limit adds
        manifest.write(run)
    finally:
        fresh.unlink(missing_ok=True)
        if not there and not any(run.iterdir()):  # a run that never began leaves nothing behind
            run.rmdir()
    return manifest


def _manifest(plan: Plan, digest: str, total: int) -> Manifest:
    return Manifest(
        dataset=plan.dataset.name,
        dataset_hash=digest,
        cases=total,
        solver=plan.solver,
        model=plan.model,
        weights=plan.weights,
        llm=plan.llm,
        prompts=plan.prompts,
        seed=plan.seed,
        code=code_version(plan.solver),
        device=plan.device,
        dtype=plan.dtype,
        shard=str(plan.shard),
    )


def execute(run: Path, dataset: Dataset, solvers: Sequence[Solver], progress: Progress | None = None) -> int:
    """Answer the cases that have no prediction yet; returns how many were answered now.

    Each solver has a thread of its own and takes all cases about one image at a time; a single one works on the
    caller's thread, in order. The first error or Ctrl-C stops all; what was journalled stays.

    Raises:
        Sam3AgentError: an image is unusable, or the model is.
    """
    done = JournalIndex(run / PREDICTIONS, "case")
    groups = (list(group) for _, group in itertools.groupby(_open_cases(run, done), key=lambda case: case.picture))
    with Journal(run / PREDICTIONS) as journal:
        workspace = _Records(run, dataset, groups, journal, progress)
        if len(solvers) == 1:
            workspace.work(solvers[0])
        else:
            threads = [threading.Thread(target=workspace.work, args=(solver,), daemon=True) for solver in solvers]
            for thread in threads:
                thread.start()
            try:
                for thread in threads:
                    thread.join()
            finally:
                workspace.close()  # after Ctrl-C: cases in flight are not written any more
        if workspace.error is not None:
            raise workspace.error
        return workspace.answered


def read_cases(run: Path) -> Iterator[Case]:
    """The questions of a run, streamed in order."""
    return read_values(run / CASES, Case.from_json)


def read_predictions(run: Path) -> Iterator[Prediction]:
    """The predictions of a run, streamed in the order they were made."""
    return read_values(run / PREDICTIONS, Prediction.from_json)


def trace_name(case: str) -> str:
    """A file name for a case's trace: its id as far as file systems bear it, and a hash that keeps it unique."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "_" for letter in case)
    return f"{plain[:60]}-{hashlib.blake2b(case.encode(), digest_size=4).hexdigest()}.jsonl"


class _Records:
    """Exchange of work: threads fetch an image's cases and leave their predictions."""

    def __init__(
        self,
        run: Path,
        dataset: Dataset,
        groups: Iterator[list[Case]],
        journal: Journal,
        progress: Progress | None,
    ) -> None:
        self.answered = 0
        self.error: BaseException | None = None
        self._run, self._dataset, self._groups = run, dataset, groups
        self._journal, self._progress = journal, progress
        self._fetching, self._leaving = threading.Lock(), threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Take no prediction any more."""
        with self._leaving:
            self._closed = True

    def work(self, solver: Solver) -> None:
        """Answer images until there are none left; an error is kept for the caller's thread."""
        try:
            while not self._closed and (cases := self._fetch()):
                for case in cases:
                    self._leave(case, _solve(solver, case, self._dataset))
        except BaseException as error:  # noqa: BLE001 - a thread has nobody to raise to; `execute` raises it again
            with self._leaving:
                self.error = self.error or error
                self._closed = True

    def _fetch(self) -> list[Case]:
        with self._fetching:
            return next(self._groups, list[Case]())

    def _leave(self, case: Case, prediction: Prediction) -> None:
        if prediction.trace is not None:
            name = f"{TRACES}/{trace_name(case.id)}"
            write_trace(prediction.trace, self._run / name)
            prediction = replace(prediction, trace_file=name)
        with self._leaving:
            if self._closed:
                return
            self._journal.append(prediction.to_json())
            self.answered += 1
            if self._progress:
                self._progress(case, prediction)


def _open_cases(run: Path, done: JournalIndex) -> Iterator[Case]:
    return (case for case in read_cases(run) if case.id not in done)


def _solve(solver: Solver, case: Case, dataset: Dataset) -> Prediction:
    try:
        return solver.solve(case, dataset.picture(case))
    except Sam3AgentError as error:  # the image or the model: no case after this one would be worth its figure
        raise Sam3AgentError(f"case {case.id}: {error}") from error


def _write_cases(plan: Plan, path: Path, older: int) -> tuple[str, int, str]:
    """Write the shard's questions; return a hash of all of them with their truth, their number, and the hash of the
    first `older` ones.
    """
    digest, total, seen, begins = hashlib.sha256(), 0, set[str](), ""
    cases = itertools.islice(plan.dataset.cases(plan.limit), plan.limit)
    with path.open("wb") as file:
        for number, (_, group) in enumerate(itertools.groupby(cases, key=lambda case: case.picture)):
            for case in group:
                if case.id in seen:
                    raise InputError(f"{plan.dataset.name}: two cases have the id {case.id!r}")
                seen.add(case.id)
                document = case.to_json()
                line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
                digest.update(line)
                if plan.shard == WHOLE:
                    file.write(line)
                elif plan.shard.has(number):
                    file.write(json.dumps({**document, "rank": total}, separators=(",", ":")).encode() + b"\n")
                total += 1
                if total == older:
                    begins = digest.hexdigest()[:16]
    return digest.hexdigest()[:16], total, begins
