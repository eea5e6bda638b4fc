"""Labeling run: every pending image is detected on, its labels are merged, verified and written as one step."""

import fcntl
import os
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.labeling.pipeline.budget import BudgetSpent, DollarBudget
from sam3_agent.labeling.pipeline.executor import Call, Executor
from sam3_agent.labeling.pipeline.label_image import JUDGE_UNIT, query_unit
from sam3_agent.labeling.pipeline.scan import root_of, scan
from sam3_agent.labeling.store.journal import FILE as JOURNAL
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.labeling.store.summary import model_name
from sam3_agent.labeling.verify.thresholds import set_thresholds, thresholds_of

FILE = ".labeling"


@contextmanager
def run_lock(folder: Path) -> Generator[None]:
    """Hold a folder for this run; the claim ends with the process, however it ends.

    Raises:
        InputError: another run holds it.
        Sam3AgentError: the folder cannot be written.
    """
    try:
        # A stranger's folder may hold a link of this name, which "w" would empty at its far end.
        file = os.fdopen(os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644), "w")
    except OSError as error:
        raise Sam3AgentError(f"cannot write {folder}: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another 'sam3-agent label' is working on {folder}; wait for it or stop it") from error
        yield


@contextmanager
def new_run(folder: Path) -> Generator[Journal]:
    """Open the journal of a folder, and close it; one in which nothing was begun is taken away again.

    So a run that ends before its first image, for want of images or by a label file that cannot be used, leaves nothing
    behind, and the same command works once that is mended.
    """
    there, fresh = folder.exists(), not (folder / JOURNAL).exists()
    journal = Journal.create(folder)
    ended = False
    try:
        yield journal
        ended = True
    finally:
        untouched = fresh and not ended and not journal.is_begun()
        journal.close()
        if untouched:
            for name in (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", FILE):
                (folder / name).unlink(missing_ok=True)
            if not there and not any(folder.iterdir()):
                folder.rmdir()


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a run."""

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
        """Seconds until the end at this rate."""
        return (self.total - self.done) / self.rate if self.rate else float("inf")


@dataclass(frozen=True, slots=True)
class Order:
    """Images to label, and what that may cost."""

    images: Path
    budget_usd: float | None = None
    llm: str = ""
    """The spec of the LLM, for the record."""


def label_images(
    order: Order,
    journal: Journal,
    executor: Executor,
    progress: Callable[[Progress], None] | None = None,
    prepare: Callable[[Iterable[ImageRow]], None] | None = None,
) -> str:
    """Label what is pending; gives "finished", or why the run stopped early. Call it again to go on.

    `prepare` is called when the files are known, before the first is labeled: imports happen there.

    Raises:
        InputError: the journal was begun with other questions, or the images cannot be found.
        Sam3AgentError: the journal cannot be written, or the model or the LLM fails for good; what is done is kept.
    """
    with run_lock(journal.path.parent):
        begin(journal, executor, order)
        files = scan(order.images, journal)
        if prepare is not None:
            prepare(files)
        pending = files.of_state("pending")
        budget = DollarBudget(order.budget_usd, journal.usd())
        call = Call(root_of(order.images), journal, budget, thresholds_of(journal))
        began = time.monotonic()
        try:
            for done, _ in enumerate(executor.each(call, pending), start=1):
                if progress is not None:
                    seconds = time.monotonic() - began
                    progress(Progress(done, len(pending), budget.spent, seconds))
        except BudgetSpent:
            ((left,),) = journal.read("SELECT COUNT(*) FROM images WHERE state='pending'")
            return (
                f"the budget of ${order.budget_usd:g} is spent; {left} images are pending: --resume with a larger one"
            )
        return "finished"


def begin(journal: Journal, executor: Executor, order: Order) -> None:
    """Remember what is asked, or check that it is the same as before.

    Raises:
        InputError: it is not.
    """
    info, inquiry = executor.info, executor.inquiry
    classes = inquiry.ontology.classes
    images = str(root_of(order.images).resolve())
    asked, model, folder = journal.meta("asked"), model_name(journal), journal.meta("images")
    said = ""
    if asked is not None and asked != inquiry.to_json():
        said = "the concept file asks other things"
    elif model and model != info.name:
        said = f"the model was {model}, not {info.name}"
    elif folder is not None and folder != images:
        said = f"the images were {folder}, not {images}"
    if said:
        raise InputError(f"{journal.path.parent} was begun otherwise: {said}; give another --out")
    ontology = inquiry.ontology.to_json()
    if journal.meta("ontology") != ontology:
        set_thresholds(journal, {each.name: each.thresholds for each in classes})
    queries = [query_unit(each.name) for each in classes if each.query]
    _ask_again(journal, queries + ([JUDGE_UNIT] if inquiry.judged else []))
    begun = {"asked": inquiry.to_json(), "images": images, "ontology": ontology}
    journal.remember({**begun, "llm": order.llm, "model": info.to_json()})


def _ask_again(journal: Journal, needed: list[str]) -> None:
    """Images on which a unit of work is not done are pending again; what else is known of them is not asked twice."""
    unanswered = "SELECT 1 FROM units WHERE units.sha=images.sha AND unit=?"
    with journal.writing() as db:
        for unit in needed:
            db.execute(f"UPDATE images SET state='pending' WHERE state='done' AND NOT EXISTS({unanswered})", (unit,))
