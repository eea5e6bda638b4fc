"""Worker in another process: a model of its own, and every result sent as it comes."""

import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sam3_agent.errors import Sam3AgentError
from sam3_agent.labeling.ontology.ontology import Thresholds
from sam3_agent.labeling.pipeline.budget import BudgetSpent, DollarBudget
from sam3_agent.labeling.pipeline.label_image import Outcome, Run, label_image
from sam3_agent.labeling.pipeline.proposer import Proposer
from sam3_agent.labeling.store.journal import ImageRow
from sam3_agent.labeling.store.label import Label
from sam3_agent.loop.turns import Failure, attempt
from sam3_agent.model.segmenter import WORTH_WARMING
from sam3_agent.types import ModelInfo


@dataclass(frozen=True, slots=True)
class Job:
    """Image to label, with all that is known of it."""

    row: ImageRow
    contents: bytes
    labels: tuple[Label, ...]
    units: Mapping[str, bytes]
    left_usd: float | None
    thresholds: Mapping[str, Thresholds]


@dataclass(frozen=True, slots=True)
class Begun:
    """Message that the work on the image has begun."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Message that a unit of work is done, or was paid for nothing."""

    unit: str
    payload: bytes | None
    usd: float


@dataclass(frozen=True, slots=True)
class Ended:
    """Message that the work on the image has ended: with an outcome, without dollars, or by an error of the run."""

    outcome: Outcome | None
    encodes: int
    error: Sam3AgentError | None = None


Message = Begun | Unit | Ended


@dataclass(frozen=True, slots=True)
class Hello:
    """Identity of a worker."""

    pid: int
    info: ModelInfo | None
    problem: Sam3AgentError | None = None
    """Reason that it cannot work."""


class JobLedger:
    """Ledger of a worker, which has no journal: knows one image, and sends what is to be written."""

    def __init__(self, job: Job, send: Callable[[Message], None]) -> None:
        self._job = job
        self._units = dict(job.units)
        self._send = send

    def labels(self, sha: str | None = None) -> list[Label]:
        """Read those that came with the job."""
        return list(self._job.labels)

    def unit(self, sha: str, unit: str) -> bytes | None:
        """Read one that came with the job, or was done since."""
        return self._units.get(unit)

    def put_unit(self, sha: str, unit: str, payload: bytes | None, usd: float = 0.0) -> None:
        """Send it."""
        if payload is not None:
            self._units[unit] = payload
        self._send(Unit(unit, payload, usd))


class Worker:
    """Worker that labels images one after another, in a process that may die at any time."""

    def __init__(self, load: Callable[[], Proposer]) -> None:
        self._proposer: Proposer | None = None
        self._problem: Sam3AgentError | None = None
        self._learned = False
        self._failures: dict[str, int] = {}
        try:
            self._proposer = load()
        except Sam3AgentError as error:
            self._problem = error

    def hello(self) -> Hello:
        """Tell who this is, once the model is loaded."""
        info = self._proposer.workspace.info if self._proposer is not None else None
        return Hello(os.getpid(), info, self._problem)

    def label(self, job: Job) -> Iterator[Message]:
        """Label one image; what is paid for is sent at once, the outcome last."""
        messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        messages.put(Begun())
        thread = threading.Thread(target=self._work, args=(job, messages.put), name="label", daemon=True)
        thread.start()
        while True:
            message = messages.get()
            yield message
            if isinstance(message, Ended):
                return

    def _work(self, job: Job, send: Callable[[Message], None]) -> None:
        proposer = self._proposer
        if proposer is None:
            return send(Ended(None, 0, self._problem))
        before = proposer.workspace.encodes
        done = attempt(lambda: self._outcome(proposer, job, send))  # what is not sent would be waited for without end
        outcome, error = (None, Sam3AgentError(done.message)) if isinstance(done, Failure) else done.value
        return send(Ended(outcome, proposer.workspace.encodes - before, error))

    def _outcome(
        self, proposer: Proposer, job: Job, send: Callable[[Message], None]
    ) -> tuple[Outcome | None, Sam3AgentError | None]:
        """Label the image; gives the outcome, or the error that ends the run, or neither where dollars are spent."""
        budget = DollarBudget(job.left_usd)
        run = Run(lambda _: job.contents, JobLedger(job, send), proposer, budget, job.thresholds, self._failures)
        try:
            if not self._learned:
                proposer.workspace.warm_up_for(WORTH_WARMING)
                proposer.learn()
                self._learned = True
            return label_image(run, job.row), None
        except BudgetSpent:
            return None, None
        except Sam3AgentError as error:
            return None, error
