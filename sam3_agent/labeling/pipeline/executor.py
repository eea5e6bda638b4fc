"""Executors of the work on images: threads of this process here, a Ray cluster in `ray_executor`."""

from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

from sam3_agent.labeling.ontology.ontology import Thresholds
from sam3_agent.labeling.pipeline.budget import DollarBudget
from sam3_agent.labeling.pipeline.label_image import Outcome, Run, label_image, read_contents
from sam3_agent.labeling.pipeline.merge import beside_decisions
from sam3_agent.labeling.pipeline.proposer import Inquiry, Proposer
from sam3_agent.labeling.store.change import change_of
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.types import ModelInfo

GPU_JOBS = 8
"""Images in work at once on a GPU by default: decoding one of 2 MP and writing its labels takes a core some 60 ms, its
turn on the GPU some 20 ms."""


@dataclass(frozen=True, slots=True)
class Call:
    """Inputs of one call of `label_images`."""

    root: Path
    """The folder that the paths of images are relative to."""
    journal: Journal
    budget: DollarBudget
    thresholds: Mapping[str, Thresholds]
    """By class: those of the concept file, or what calibration made of them."""


class Pending(Protocol):
    """Images to label: a list, or what reads them as they come."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[ImageRow]: ...


class Executor(Protocol):
    """Executor of the work on images; only the process of the call writes the journal."""

    @property
    def inquiry(self) -> Inquiry:
        """Give what is asked about every image."""
        ...

    @property
    def info(self) -> ModelInfo:
        """Name the model that looks."""
        ...

    @property
    def encodes(self) -> int:
        """Count the images that it has encoded so far."""
        ...

    def each(self, call: Call, pending: Pending) -> Iterator[ImageRow]:
        """Label every image; gives each when its labels are in the journal.

        Raises:
            BudgetSpent: no dollars are left.
            Sam3AgentError: the model or the LLM fails for good; what is done is kept.
        """
        ...


@dataclass(frozen=True, slots=True)
class ThreadExecutor:
    """Executor in threads of this process, which pay where queries wait for a language model."""

    proposer: Proposer
    jobs: int | None = None
    """Images in work at once; None is one, on a GPU as many as it takes to keep it busy."""

    @property
    def inquiry(self) -> Inquiry:
        """Give what the proposer asks."""
        return self.proposer.inquiry

    @property
    def info(self) -> ModelInfo:
        """Name the proposer's model."""
        return self.proposer.workspace.info

    @property
    def encodes(self) -> int:
        """Count those of the proposer's workspace."""
        return self.proposer.workspace.encodes

    def each(self, call: Call, pending: Pending) -> Iterator[ImageRow]:
        """Label every image; gives each when it is finished.

        One image more than there are jobs is in work, so that none waits for files.
        """
        if not pending:
            return
        self.proposer.workspace.warm_up_for(len(pending))
        self.proposer.learn()
        jobs = self.jobs or (GPU_JOBS if self.info.device.startswith("cuda") else 1)
        run = Run(partial(read_contents, call.root), call.journal, self.proposer, call.budget, call.thresholds)
        with ThreadPoolExecutor(jobs, "label") as pool:
            rest = iter(pending)
            working: set[Future[ImageRow]] = set()
            try:
                for row in islice(rest, jobs + 1):
                    working.add(pool.submit(copy_context().run, _labeled, run, call.journal, row))
                while working:
                    done, working = wait(working, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
                        for row in islice(rest, 1):
                            working.add(pool.submit(copy_context().run, _labeled, run, call.journal, row))
            finally:
                for future in working:
                    future.cancel()


def write(journal: Journal, outcome: Outcome) -> ImageRow:
    """Write the outcome of the work on an image as one step; what people said of it before stands."""
    if outcome.row.state == "done":
        known = journal.labels(outcome.row.sha)
        labels = beside_decisions(outcome.labels, known, journal.checks(outcome.row.sha))
        unit = (outcome.versions, change_of(known, labels).pack()) if outcome.versions else None
        journal.finish(outcome.row, labels, outcome.checks, unit)
    else:
        journal.put_images([outcome.row])
    return outcome.row


def _labeled(run: Run, journal: Journal, row: ImageRow) -> ImageRow:
    return write(journal, label_image(run, row))
