"""Who does the work on images: threads of this process, or others that are asked to."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

from sam3_agent.labeling.ontology.ontology import Strictness
from sam3_agent.labeling.pipeline.budget import DollarBudget
from sam3_agent.labeling.pipeline.label_image import Outcome, Run, label_image, read_contents
from sam3_agent.labeling.pipeline.proposer import Inquiry, Proposer
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.types import ModelInfo

GPU_JOBS = 8
"""Images in work at once on a GPU by default: decoding one of 2 MP and writing its labels takes a core some 60 ms, its
turn on the GPU some 20 ms."""


@dataclass(frozen=True, slots=True)
class Call:
    """What one call of `label_images` works with."""

    root: Path
    """The folder that the paths of images are relative to."""
    journal: Journal
    budget: DollarBudget
    strict: Mapping[str, Strictness]
    """The lines of the rule by class: those of the concept file, or what calibration made of them."""


class Engine(Protocol):
    """Labels images; only the process of the call writes the journal."""

    @property
    def inquiry(self) -> Inquiry:
        """What is asked about every image."""
        ...

    @property
    def info(self) -> ModelInfo:
        """The model that looks."""
        ...

    @property
    def encodes(self) -> int:
        """Pictures that it has encoded so far."""
        ...

    def each(self, call: Call, pending: Sequence[ImageRow]) -> Iterator[ImageRow]:
        """Every image as its labels are in the journal.

        Raises:
            BudgetSpent: no dollars are left.
            Sam3AgentError: the model or the LLM fails for good; what is done is kept.
        """
        ...


@dataclass(frozen=True, slots=True)
class Threads:
    """Labels in threads of this process, which pay where queries wait for a language model."""

    proposer: Proposer
    jobs: int | None = None
    """Images in work at once; None is one, on a GPU as many as it takes to keep it busy."""

    @property
    def inquiry(self) -> Inquiry:
        """What the proposer asks."""
        return self.proposer.inquiry

    @property
    def info(self) -> ModelInfo:
        """The proposer's model."""
        return self.proposer.workspace.info

    @property
    def encodes(self) -> int:
        """Those of the proposer's workspace."""
        return self.proposer.workspace.encodes

    def each(self, call: Call, pending: Sequence[ImageRow]) -> Iterator[ImageRow]:
        """Every image as it is finished; one more than there are jobs is in the works, so that none waits for files."""
        if not pending:
            return
        self.proposer.workspace.warm_up_for(len(pending))
        self.proposer.learn()
        jobs = self.jobs or (GPU_JOBS if self.info.device.startswith("cuda") else 1)
        run = Run(partial(read_contents, call.root), call.journal, self.proposer, call.budget, call.strict)
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
    """Write what the work on an image came to, as one step."""
    if outcome.row.state == "done":
        journal.finish(outcome.row, outcome.labels, outcome.checks)
    else:
        journal.put_images([outcome.row])
    return outcome.row


def _labeled(run: Run, journal: Journal, row: ImageRow) -> ImageRow:
    return write(journal, label_image(run, row))
