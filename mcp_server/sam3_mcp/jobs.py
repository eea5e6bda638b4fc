"""Jobs: work that outlasts a call, started, watched, cancelled; its result is kept for an hour."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sam3_agent.errors import Sam3AgentError, UnknownHandle
from sam3_agent.model.request_context import Caller as SegmenterCaller
from sam3_agent.model.request_context import calling
from sam3_agent.tools import Presentation
from sam3_mcp.quota import Account

logger = logging.getLogger(__name__)

KEPT_SECONDS = 3600.0
_MOST_FINISHED = 50

STEPS = 10
"""Notes that a job with known steps makes of them."""
CHECKED = 32
"""Steps between two looks at what a job has written."""

State = Literal["running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Stand:
    """The stand of a job that knows its steps."""

    done: int
    total: int
    words: str


@dataclass(eq=False)
class Job:
    """Work in a thread of its own."""

    id: str
    what: str
    began: float
    notes: list[str] = field(default_factory=list[str])
    """One line for each step so far; for a tenth of them where a job has many."""
    stand: Stand | None = None
    state: State = "running"
    result: Presentation | None = None
    failure: str = ""
    ended: float = 0.0
    finished: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)
    """Set once it was cancelled."""
    segmenter_caller: SegmenterCaller | None = None

    @property
    def wanted(self) -> bool:
        """Whether it was not cancelled; the work looks at it between its steps."""
        return not self.stop.is_set()

    def cancel(self) -> None:
        """Ask it to stop: what it waits for from the model is dropped at once, everything else after its current
        step.
        """
        self.stop.set()
        if self.segmenter_caller is not None:
            self.segmenter_caller.cancel()


Work = Callable[[Job], Presentation]


class JobWatch:
    """Watch of a tool's long work that runs as a job (see `sam3_agent.tools.long_work`)."""

    def __init__(self, job: Job, check: Callable[[], None]) -> None:
        """`check` refuses, by raising ToolError, where the job has written more than it may."""
        self._job = job
        self._check = check

    @property
    def wanted(self) -> bool:
        """Whether the job was not cancelled."""
        return self._job.wanted

    def note(self, done: int, total: int, words: str) -> None:
        """Take in one step."""
        before = self._job.stand.done if self._job.stand is not None else 0
        self._job.stand = Stand(done, total, words)
        if done * STEPS // max(total, 1) > before * STEPS // max(total, 1) or not self._job.notes:
            self._job.notes.append(f"{done} of {total}: {words}")
        if done % CHECKED == 0:
            self._check()


class Jobs:
    """Jobs of one session. Safe to call from several threads."""

    def __init__(self, suffix: str, account: Account, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`suffix` ends every id; the jobs count for `account`."""
        self._suffix = suffix
        self._account = account
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._count = 0
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """Jobs that are not over."""
        return sum(not job.finished.is_set() for job in list(self._jobs.values()))

    def start(self, what: str, work: Work, *, bulk: bool = False) -> Job:
        """Begin; `work` is given its job, to add notes to and to see whether it is still wanted.

        With `bulk` all other calls of the model go first.

        Raises:
            Busy: as many jobs as allowed are running.
        """
        with self._lock:
            self._prune()
            self._account.begin_job()
            self._count += 1
            job = Job(f"job{self._count}{self._suffix}", what, self._clock())
            self._jobs[job.id] = job
        threading.Thread(target=self._run, args=(job, work, bulk), name=f"job-{self._count}", daemon=True).start()
        return job

    def get(self, job_id: str) -> Job:
        """A job by its id.

        Raises:
            UnknownHandle: no such job, or it was over an hour ago.
        """
        with self._lock:
            self._prune()
            if job_id not in self._jobs:
                raise UnknownHandle("job", job_id, self._jobs)
            return self._jobs[job_id]

    def seconds(self, job: Job) -> float:
        """Return how long it has run."""
        return (job.ended or self._clock()) - job.began

    def cancel_all(self) -> None:
        """Ask every job to stop."""
        for job in list(self._jobs.values()):
            job.cancel()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long for every job; whether all are over."""
        deadline = time.monotonic() + seconds
        return all([job.finished.wait(max(0.0, deadline - time.monotonic())) for job in list(self._jobs.values())])

    def _run(self, job: Job, work: Work, bulk: bool) -> None:
        try:
            with calling(bulk=bulk, principal=self._account.principal) as job.segmenter_caller:
                if not job.wanted:
                    job.cancel()
                job.result = work(job)
            job.state = "done" if job.wanted else "cancelled"
        except Sam3AgentError as error:
            job.state, job.failure = "failed" if job.wanted else "cancelled", str(error)
        except Exception:  # error boundary: a thread has no caller to raise to
            logger.exception("job %s failed", job.what)
            job.state, job.failure = "failed", "internal error; the server's log has the details"
        finally:
            self._account.end_job()
            job.ended = self._clock()
            job.finished.set()

    def _prune(self) -> None:
        old = self._clock() - KEPT_SECONDS
        over = [job for job in self._jobs.values() if job.finished.is_set()]
        for index, job in enumerate(over):
            if job.ended < old or index < len(over) - _MOST_FINISHED:
                del self._jobs[job.id]
