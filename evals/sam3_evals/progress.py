"""Live progress of a run: cases, running gIoU, dollars, time left."""

import logging
import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from sam3_evals.journal import JournalIndex
from sam3_evals.prediction import Prediction
from sam3_evals.run import PREDICTIONS, read_cases
from sam3_evals.sample import Case
from sam3_evals.score import score_case

logger = logging.getLogger(__name__)

_LINE_EVERY = 30.0
"""Seconds between two lines where there is no terminal to draw a bar on."""


class Progress:
    """Scores each case as it is answered; draws a bar on a terminal, writes a log line now and then elsewhere.

    A resumed run goes on from the figures of the cases that it had.
    """

    def __init__(self, run: Path) -> None:
        self.done = self.total = self.errors = 0
        self._iou = self._usd = 0.0
        index = JournalIndex(run / PREDICTIONS, "case")
        for case in read_cases(run):
            self.total += 1
            if (line := index.find(case.id)) is not None:
                self._take(case, Prediction.from_json(line))
        if self.done:
            logger.info("resuming: %d of %d cases are done", self.done, self.total)
        self._resumed, self._began, self._told = self.done, time.monotonic(), time.monotonic()
        self._bar = _bar() if sys.stderr.isatty() else None
        self._task = self._bar.add_task("", total=self.total, completed=self.done, words="") if self._bar else None

    def __call__(self, case: Case, prediction: Prediction) -> None:
        """Take in one case; called by one thread at a time."""
        self._take(case, prediction)
        if prediction.error:
            logger.warning("case %s: %s", prediction.case, prediction.error)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, words=self.words())
        elif self.done == self.total or time.monotonic() - self._told >= _LINE_EVERY:
            self._told = time.monotonic()
            logger.info("%d of %d cases, %s", self.done, self.total, self.words())

    def words(self) -> str:
        """Such as "gIoU 61.3, 0.42 USD, 3:20 left"."""
        giou = f"gIoU {100 * self._iou / self.done:.1f}" if self.done else "gIoU -"
        return f"{giou}, {self._usd:.2f} USD, {_clock(self.seconds_left())} left"

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
        self._iou += score_case(case, prediction).lisa.iou
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
