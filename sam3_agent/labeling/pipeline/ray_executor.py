"""Executor over a Ray cluster: workers with a model each, one process that writes the journal."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from types import TracebackType
from typing import Any

from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.labeling.pipeline.budget import BudgetSpent
from sam3_agent.labeling.pipeline.executor import Call, Pending, write
from sam3_agent.labeling.pipeline.label_image import Outcome, read_contents
from sam3_agent.labeling.pipeline.proposer import Inquiry, Proposer
from sam3_agent.labeling.pipeline.ray_worker import Begun, Ended, Hello, Job, Message, Unit, Worker
from sam3_agent.labeling.store.journal import ImageRow
from sam3_agent.model.ray_cluster import connect, import_ray
from sam3_agent.types import ModelInfo

DEPTH = 2
"""Images that a worker has: one in work and one that waits, so that neither it nor this process's memory runs over."""
SERVED_WORKERS = 8
"""Workers for each GPU of a served model: decoding an image of 2 MP and writing its labels takes a core some 60 ms, its
turn on the GPU some 20 ms, and queries wait for an LLM."""
MOST_DEATHS = 3
"""Workers that may die over one image; then it is listed as unreadable. Two may be an accident of the machine."""
MOST_LOSSES = 8
"""Workers that may die one after another without an image done: more than two images can kill, so the cluster does."""


@dataclass(slots=True)
class _Task:
    """Image at a worker."""

    worker: Any
    row: ImageRow
    begun: bool = False


@dataclass(slots=True)
class _Work:
    """Images of one call that are left, waiting and in work."""

    call: Call
    left: Iterator[ImageRow]
    waiting: deque[ImageRow] = field(default_factory=deque[ImageRow])
    """The next one, and those that workers lost."""
    working: dict[Any, _Task] = field(default_factory=dict[Any, _Task])
    """By Ray's stream of messages."""
    deaths: Counter[str] = field(default_factory=Counter[str])
    losses: int = 0

    def waits(self) -> bool:
        """Tell whether an image waits, and let the next one wait where none does."""
        if not self.waiting:
            self.waiting.extend(islice(self.left, 1))
        return bool(self.waiting)


class RayExecutor:
    """Executor on the workers of a Ray cluster, the one of RAY_ADDRESS or else one of this machine.

    Each worker loads a model of its own, on a GPU where the cluster has any, or asks one that is served there. Another
    takes the place of one that dies,
    and its images are given out again: what was paid for them is in the journal already. A context manager, which lets
    the cluster go.

    Raises:
        Sam3AgentError: Ray is not installed, or the cluster cannot be reached.
        InputError: more workers than the cluster has room for.
        ModelUnavailable, LLMConfigError: the first worker cannot load its model or its LLM.
    """

    def __init__(
        self,
        load: Callable[[], Proposer],
        inquiry: Inquiry,
        jobs: int | None = None,
        *,
        served: bool = False,
        **options: Any,
    ) -> None:
        """Hire the workers.

        Args:
            load: makes the proposer of a worker.
            inquiry: what they ask.
            jobs: workers; by default one a GPU, or one for two CPUs.
            served: the workers ask a served model, so that they need no GPU.
            options: of `ray.init`.
        """
        self._ray = import_ray()
        self._inquiry = inquiry
        self._ours = False
        self._encodes = 0
        self._workers: list[Any] = []
        try:
            self._ours = connect(**options)
            count, self._hire = _hiring(self._ray, load, jobs, served=served)
            self._workers = [self._hire() for _ in range(count)]
            hello: Hello = self._ray.get(self._workers[0].hello.remote())
            if hello.problem is not None:
                raise hello.problem
            assert hello.info is not None
            self._info = hello.info
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "RayExecutor":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def inquiry(self) -> Inquiry:
        """Give what the workers ask."""
        return self._inquiry

    @property
    def info(self) -> ModelInfo:
        """Name the model of the first worker."""
        return self._info

    @property
    def encodes(self) -> int:
        """Count those of all workers, as far as they have told."""
        return self._encodes

    def pids(self) -> list[int]:
        """List the processes of the workers, on whatever machines they are."""
        hellos: list[Hello] = self._ray.get([worker.hello.remote() for worker in self._workers])
        return [hello.pid for hello in hellos]

    def close(self) -> None:
        """End the workers, and the cluster where it is ours."""
        for worker in self._workers:
            self._ray.kill(worker)
        self._workers = []
        if self._ours:
            self._ray.shutdown()

    def each(self, call: Call, pending: Pending) -> Iterator[ImageRow]:
        """Label every image; gives each when it is in the journal.

        When dollars run out or an error comes, what is in work is finished.
        """
        work = _Work(call, iter(pending))
        try:
            while work.waits() or work.working:
                yield from self._give_out(work)
                if work.working:
                    yield from self._take(work)
        except (BudgetSpent, Sam3AgentError):
            self._drain(work)
            raise
        finally:
            for stream in work.working:
                self._ray.cancel(stream)

    def _give_out(self, work: _Work) -> Iterator[ImageRow]:
        """Send images to the workers that have fewer than DEPTH; those that cannot be read are done."""
        while work.waits():
            load = Counter(id(task.worker) for task in work.working.values())
            worker = min(self._workers, key=lambda each: load[id(each)])
            if load[id(worker)] >= DEPTH:
                return
            row = work.waiting.popleft()
            try:
                job = _job(work.call, row)
            except InputError as error:
                yield write(work.call.journal, Outcome(replace(row, state="unreadable", reason=str(error))))
                continue
            stream = worker.label.remote(job)
            work.working[stream] = _Task(worker, row)

    def _drain(self, work: _Work) -> None:
        """Take what the workers have begun, so that nothing that was paid is lost; why they end is known already."""
        while work.working:
            try:
                for _ in self._take(work):
                    pass
            except (BudgetSpent, Sam3AgentError):
                continue

    def _take(self, work: _Work) -> Iterator[ImageRow]:
        """Take the next message of any worker."""
        (stream, *_), _ = self._ray.wait(list(work.working), num_returns=1)
        task = work.working[stream]
        try:
            message: Message = self._ray.get(next(stream))
        except self._ray.exceptions.RayActorError as error:
            del work.working[stream]
            self._workers = [self._hire() if each is task.worker else each for each in self._workers]
            yield from _lost(work, task, error)
            return
        if isinstance(message, Begun):
            task.begun = True
        elif isinstance(message, Unit):
            work.call.journal.put_unit(task.row.sha, message.unit, message.payload, message.usd)
            work.call.budget.spend(message.usd)
        else:
            del work.working[stream]
            self._encodes += message.encodes
            work.losses = 0
            yield _ended(work.call, message)


def _ended(call: Call, message: Ended) -> ImageRow:
    if message.error is not None:
        raise message.error
    if message.outcome is None:
        raise BudgetSpent
    return write(call.journal, message.outcome)


def _lost(work: _Work, task: _Task, error: Exception) -> Iterator[ImageRow]:
    """Let the image of a worker that died wait again, unless every worker that takes it dies."""
    if not task.begun:  # it only waited there
        work.waiting.appendleft(task.row)
        return
    work.losses += 1
    if work.losses >= MOST_LOSSES:
        said = " ".join(str(error).split())[:300]
        raise Sam3AgentError(f"{work.losses} workers died one after another; the last: {said}") from error
    work.deaths[task.row.path] += 1
    if work.deaths[task.row.path] < MOST_DEATHS:
        work.waiting.append(task.row)
        return
    reason = f"{MOST_DEATHS} workers died over it"
    yield write(work.call.journal, Outcome(replace(task.row, state="unreadable", reason=reason)))


def _job(call: Call, row: ImageRow) -> Job:
    """Make the job of one image; raises InputError where its file cannot be read."""
    contents = read_contents(call.root, row)
    known = call.journal.labels(row.sha), call.journal.units(row.sha)
    left = call.budget.limit and max(call.budget.limit - call.budget.spent, 0.0)
    return Job(row, contents, tuple(known[0]), known[1], left, call.thresholds)


def _hiring(ray: Any, load: Callable[[], Proposer], jobs: int | None, *, served: bool) -> tuple[int, Callable[[], Any]]:
    """Find how many workers there are to be, and give what makes one.

    Where the model is served, workers take no GPU, and share the CPUs that its replicas leave.
    """
    room = ray.cluster_resources()
    gpus, cpus = room.get("GPU", 0.0), int(room.get("CPU", 0))
    left = int(ray.available_resources().get("CPU", 0.0)) if served else cpus
    usual = (
        max(min(left, SERVED_WORKERS * int(gpus)) if gpus else left, 1) if served else int(gpus) or max(cpus // 2, 1)
    )
    count = jobs or usual
    if count > cpus:
        raise InputError(f"the Ray cluster has {cpus} CPUs: too few for {count} workers; give fewer --jobs")
    share = min(1.0, left / count) if served else 1.0
    actor = ray.remote(Worker).options(num_cpus=share, num_gpus=0 if served else min(1.0, gpus / count), max_restarts=0)
    return count, lambda: actor.remote(load)
