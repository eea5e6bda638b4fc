"""Launching a run: the plan, the model, a solver a job, the progress."""

import logging
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from sam3_agent import masks
from sam3_agent.model.devices import Fast
from sam3_evals.datasets import Dataset, asks_videos
from sam3_evals.journal import JournalIndex
from sam3_evals.manifest import FILE as MANIFEST
from sam3_evals.manifest import prompts_hash
from sam3_evals.prediction import Prediction
from sam3_evals.run import PREDICTIONS, Plan, execute, prepare, read_cases
from sam3_evals.sample import Case
from sam3_evals.score import iou_of
from sam3_evals.shard import Shard
from sam3_evals.solvers import Solver, make_solver, needs_model

if TYPE_CHECKING:
    from sam3_agent.model.served_segmenter import ServedSegmenter
    from sam3_agent.workspace import Workspace

logger = logging.getLogger(__name__)

_LINE_EVERY, _FIRST_LINE = 30.0, 5.0
"""Seconds between two lines where there is no terminal to draw a bar on, and until the first, which forecasts."""
_FAILURES_TOLD = 3
"""Failed cases with a line of their own; a solver that fails on all says the same each time."""


class Progress:
    """Scores each case as it is answered; draws a bar on a terminal, writes a log line now and then elsewhere.

    A resumed run goes on from the figures of the cases that it had.
    """

    def __init__(self, run: Path) -> None:
        self.done = self.total = self.errors = self.with_target = self.left_empty = 0
        self._iou = self._iou_of_targets = self._usd = 0.0
        index = JournalIndex(run / PREDICTIONS, "case")
        for case in read_cases(run):
            self.total += 1
            if (line := index.find(case.id)) is not None:
                self._take(case, Prediction.from_json(line))
        if self.done:
            logger.info("resuming: %d of %d cases are done", self.done, self.total)
        self._resumed, self._began = self.done, time.monotonic()
        self._told = self._began - _LINE_EVERY + _FIRST_LINE
        self._bar = _bar() if sys.stderr.isatty() else None
        self._task = self._bar.add_task("", total=self.total, completed=self.done, words="") if self._bar else None

    def __call__(self, case: Case, prediction: Prediction) -> None:
        """Take in one case; called by one thread at a time."""
        self._take(case, prediction)
        if prediction.error and self.errors <= _FAILURES_TOLD:
            more = "" if self.errors < _FAILURES_TOLD else " (further failures are only counted)"
            logger.warning("case %s failed: %s%s", prediction.case, " ".join(prediction.error.split()), more)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, words=self.words())
        elif self.done == self.total or time.monotonic() - self._told >= _LINE_EVERY:
            self._told = time.monotonic()
            logger.info("%d of %d cases, %s", self.done, self.total, self.words())

    def words(self) -> str:
        """Such as "gIoU 61.3 (48.1 on 9 with a target, 3 of 3 without one left empty), 0.42 USD, 3:20 left"."""
        failed = f"{self.errors} failed, " if self.errors else ""
        return f"{self._giou()}, {failed}{self._usd:.2f} USD, {_clock(self.seconds_left())} left"

    def _giou(self) -> str:
        """Cases without a target are told apart: silence alone scores 100 on each."""
        if not self.done:
            return "gIoU -"
        parts: list[str] = []
        if self.with_target:
            parts.append(f"{100 * self._iou_of_targets / self.with_target:.1f} on {self.with_target} with a target")
        if absent := self.done - self.with_target:
            parts.append(f"{self.left_empty} of {absent} without one left empty")
        return f"gIoU {100 * self._iou / self.done:.1f} ({', '.join(parts)})"

    def seconds_left(self) -> float:
        """At the pace of the cases answered since the start."""
        answered = self.done - self._resumed
        pace = (time.monotonic() - self._began) / answered if answered else 0.0
        return pace * (self.total - self.done)

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _take(self, case: Case, prediction: Prediction) -> None:
        iou = iou_of(case, prediction)
        self._iou += iou
        if case.targets:
            self.with_target += 1
            self._iou_of_targets += iou
        else:
            self.left_empty += not any(masks.area(rle) for rle in prediction.rles)
        self._usd += prediction.usage.usd
        self.errors += bool(prediction.error)
        self.done += 1


def _bar() -> Bar:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[words]}"))
    return Bar(*columns, console=Console(stderr=True))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


_CALLS = 32
"""Of the model, by one job at a time, at most: it asks about several tiles at once."""


Engine = Literal["threads", "ray"]
"""Place of the model: this process, or replicas that Ray serves as long as the run lasts."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Options of `sam3-eval run`."""

    dataset: Dataset
    out: Path
    solver: str
    llm: str
    limit: int | None
    jobs: int
    shard: Shard
    seed: int
    model: str
    device: str
    dtype: str
    fast: Fast = "auto"
    engine: Engine = "threads"


def launch(given: Launch) -> int:
    """Run, or resume; returns how many cases were answered now.

    Raises:
        InputError: the folder holds another run, or the dataset is broken.
        ModelUnavailable: there is no such model, or it does not fit.
        LLMConfigError: there is no such LLM.
    """
    resuming = (given.out / MANIFEST).exists()
    with _served(given) as served:
        plan = _plan(given, served)
        if resuming:
            prepare(plan, given.out)  # refuses another run's folder before a model is loaded here
        solvers = _solvers(given, served)
        if not resuming:
            prepare(plan, given.out)
        with Progress(given.out) as progress:
            told = "; --limit N asks for another number" if given.limit is None else ""
            logger.info("%d cases of %s%s", progress.total, given.dataset.name, told)
            return execute(given.out, given.dataset, solvers, progress)


@contextmanager
def _served(given: Launch) -> "Generator[ServedSegmenter | None]":
    """Open the model that is served under the name given, or serve it meanwhile; None where it is to be loaded here."""
    from sam3_agent.model.ray_cluster import served_address

    if not needs_model(given.solver):
        yield None
    elif served_address(given.model) is not None:
        from sam3_agent.model.replicas import load_segmenter

        yield cast("ServedSegmenter", load_segmenter(given.model, given.device, given.dtype))
    elif given.engine == "ray":
        from sam3_agent.serving.deployment import serving_model

        with serving_model(given.model, given.device, given.dtype, given.fast) as served:
            yield served
    else:
        yield None


def _plan(given: Launch, served: "ServedSegmenter | None") -> Plan:
    weights = model = device = dtype = ""
    if served is not None:
        weights, device, dtype = served.weights, served.info.device.partition(":")[0], served.info.dtype
        model = served.info.name
    elif needs_model(given.solver):
        from sam3_agent.formats.adapter_folder import JOIN, split_model
        from sam3_agent.model.loading import locate  # torch: not for score and compare
        from sam3_agent.model.model_folder import weights_hash

        base, adapters = split_model(given.model)
        name, folder = locate(base)
        model = JOIN.join([name, *map(str, adapters)])
        weights = JOIN.join(weights_hash(each) for each in (folder, *adapters))
        device, dtype = _numbers(given)
    return Plan(
        dataset=given.dataset,
        solver=given.solver,
        model=model,
        llm=given.llm,
        limit=given.limit,
        weights=weights,
        prompts=prompts_hash() if given.llm else "",
        seed=given.seed,
        device=device,
        dtype=dtype,
        shard=given.shard,
    )


def _numbers(given: Launch) -> tuple[str, str]:
    """The kind of device and the number format that the options come to: figures differ between them in the last digit.

    How many devices of a kind there are makes no difference.
    """
    from sam3_agent.model.devices import device_names
    from sam3_agent.model.loading import pick_device, pick_dtype

    devices = [pick_device(name) for name in device_names(given.device)]
    kinds = {device.type for device in devices}
    formats = {str(pick_dtype(given.dtype, device)).removeprefix("torch.") for device in devices}
    return ",".join(sorted(kinds)), ",".join(sorted(formats))


def _solvers(given: Launch, served: "ServedSegmenter | None") -> list[Solver]:
    """One a job; each has a workspace of its own over the one model."""
    videos = asks_videos(given.dataset.name)
    if not needs_model(given.solver):
        return [make_solver(given.solver, None, given.llm, videos=videos) for _ in range(given.jobs)]
    from sam3_agent.model.segmenter import WORTH_WARMING

    spaces = _workspaces(given, served)
    spaces[0].warm_up_for(WORTH_WARMING if given.limit is None else given.limit)  # all share one model
    return [make_solver(given.solver, space, given.llm, videos=videos) for space in spaces]


def _workspaces(given: Launch, served: "ServedSegmenter | None") -> "list[Workspace]":
    from sam3_agent.model.replicas import load_replicas, load_segmenter
    from sam3_agent.model.scheduler import Scheduler
    from sam3_agent.workspace import Workspace

    if served is not None:
        return [Workspace(served) for _ in range(given.jobs)]
    if given.jobs == 1:
        return [Workspace(load_segmenter(given.model, device=given.device, dtype=given.dtype, fast=given.fast))]
    # With several callers the scheduler puts their questions into common batches, and none is sent away.
    replicas = load_replicas(given.model, device=given.device, dtype=given.dtype, fast=given.fast)
    segmenter = Scheduler(replicas, max_waiting=_CALLS * given.jobs)
    return [Workspace(segmenter) for _ in range(given.jobs)]
