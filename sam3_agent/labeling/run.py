"""A labelling run: every pending image is looked at, its labels are merged, verified and written as one step."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.labeling.budget import BudgetSpent, DollarBudget
from sam3_agent.labeling.claim import claimed
from sam3_agent.labeling.journal import ImageRow, Journal
from sam3_agent.labeling.lines import lines_of, set_lines
from sam3_agent.labeling.propose import Proposer, asked_of
from sam3_agent.labeling.scan import root_of, scan
from sam3_agent.labeling.work import Run, label_image, query_unit


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    done: int
    total: int
    usd: float
    seconds: float

    @property
    def rate(self) -> float:
        """Images a second in this call."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float:
        """At this rate."""
        return (self.total - self.done) / self.rate if self.rate else float("inf")


@dataclass(frozen=True, slots=True)
class Order:
    """What is labelled, and how the work is done."""

    images: Path
    jobs: int = 1
    """Images in work at once: threads, which pay where queries wait for a language model."""
    budget_usd: float | None = None
    llm: str = ""
    """The spec of the brain, for the record."""


def label_images(
    order: Order,
    journal: Journal,
    proposer: Proposer,
    progress: Callable[[Progress], None] | None = None,
    prepare: Callable[[list[ImageRow]], None] | None = None,
) -> str:
    """Label what is pending; gives "finished", or why the run stopped early. Call it again to go on.

    `prepare` is called when the files are known, before the first is labelled: imports happen there.

    Raises:
        InputError: the journal was begun with other questions, or the images cannot be found.
        Sam3AgentError: the journal cannot be written, or the eye or the brain fails for good; what is done is kept.
    """
    with claimed(journal.path.parent):
        begin(journal, proposer, order)
        files = scan(order.images, journal)
        if prepare is not None:
            prepare(files)
        pending = [row for row in files if row.state == "pending"]
        run = Run(
            root_of(order.images), journal, proposer, DollarBudget(order.budget_usd, journal.usd()), lines_of(journal)
        )
        if pending:
            proposer.learn()
        began = time.monotonic()
        try:
            for done, _ in enumerate(_each(run, pending, order.jobs), start=1):
                if progress is not None:
                    seconds = time.monotonic() - began
                    progress(Progress(done, len(pending), run.budget.spent, seconds))
        except BudgetSpent:
            left = len(journal.images("pending"))
            return (
                f"the budget of ${order.budget_usd:g} is spent; {left} images are pending: --resume with a larger one"
            )
        return "finished"


def begin(journal: Journal, proposer: Proposer, order: Order) -> None:
    """Remember what is asked, or check that it is the same as before.

    Raises:
        InputError: it is not.
    """
    info = proposer.workspace.info
    asked = {"asked": asked_of(proposer), "eye": info.name, "images": str(root_of(order.images).resolve())}
    for key, value in asked.items():
        known = journal.meta(key)
        if known is not None and known != value:
            what = {"asked": "the concept file asks other things", "eye": f"the eye was {known}, not {value}"}
            said = what.get(key, f"the images were {known}, not {value}")
            raise InputError(f"{journal.path.parent} was begun otherwise: {said}; give another --out")
    if journal.meta("ontology") != proposer.ontology.to_json():
        set_lines(journal, {each.name: each.strictness for each in proposer.ontology.classes})
    _ask_again(journal, [each.name for each in proposer.ontology.classes if each.query])
    journal.remember(
        {**asked, "ontology": proposer.ontology.to_json(), "llm": order.llm, "model": info.to_json()},
    )


def _ask_again(journal: Journal, queries: list[str]) -> None:
    """Images on which a query failed are pending again; what else is known of them is not asked twice."""
    unanswered = "SELECT 1 FROM units WHERE units.sha=images.sha AND unit=?"
    with journal.writing() as db:
        for name in queries:
            db.execute(
                f"UPDATE images SET state='pending' WHERE state='done' AND NOT EXISTS({unanswered})",
                (query_unit(name),),
            )


def _each(run: Run, pending: list[ImageRow], jobs: int) -> Iterator[ImageRow]:
    """Every image as it is finished; one more than there are jobs is in the works, so that none waits for files."""
    with ThreadPoolExecutor(jobs, "label") as pool:
        rest = iter(pending)
        working: set[Future[ImageRow]] = set()
        try:
            for row in islice(rest, jobs + 1):
                working.add(pool.submit(copy_context().run, label_image, run, row))
            while working:
                done, working = wait(working, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                    for row in islice(rest, 1):
                        working.add(pool.submit(copy_context().run, label_image, run, row))
        finally:
            for future in working:
                future.cancel()
