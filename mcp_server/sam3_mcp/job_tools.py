"""Tools that only a server has: a look at jobs; and what makes a job of a tool's long work."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import anyio
from pydantic import Field

from sam3_agent.tools import Presentation, ToolSpec
from sam3_agent.tools.arguments import JobId
from sam3_agent.tools.long_work import LongWork
from sam3_agent.workspace import Workspace
from sam3_mcp.jobs import Job, Jobs, JobWatch
from sam3_mcp.model_loader import Report

if TYPE_CHECKING:
    from sam3_agent.llm.base import LLM

MOST_WAIT = 20.0
"""Seconds; some hosts give up after 60."""
_POLL_SECONDS = 0.02
_TELL_SECONDS = 0.5
"""Between two reports of progress of a job with many steps."""
WAIT = "wait_s"
"""Argument of every tool that runs as a job."""
_WAIT_CANCELLED = 2.0
"""A cancelled job ends after its current step, most often at once."""

WaitSeconds = Annotated[
    float, Field(ge=0, le=MOST_WAIT, description="Wait so many seconds for the result, 0-20; then ask again.")
]


@dataclass(frozen=True, slots=True)
class JobContext:
    """Context of a job tool: the workspace and the jobs of its client, and the server's LLM."""

    workspace: Workspace
    jobs: Jobs
    llm: "LLM | None"
    check: Callable[[], None]
    """Refuses, by raising ToolError, where the client's tracks take more than they may."""


@dataclass(frozen=True, slots=True)
class JobReport:
    """Job to tell of when it is over, or at the latest after `wait_s` seconds."""

    job: Job
    wait_s: float


def get_job(context: JobContext, job_id: JobId, wait_s: WaitSeconds = MOST_WAIT) -> JobReport:
    """See how far a job is, or get its result; results are kept for an hour.

    Give wait_s to wait for the end instead of asking again and again.
    """
    return JobReport(context.jobs.get(job_id), wait_s)


def cancel_job(context: JobContext, job_id: JobId) -> JobReport:
    """Stop a job that is no longer needed; what it has found so far stays."""
    job = context.jobs.get(job_id)
    job.cancel()
    return JobReport(job, _WAIT_CANCELLED)


async def wait_for(report: JobReport, tell: Report) -> None:
    """Wait until a job is over, or as long as its report may wait; its steps are told as they are made."""
    job, deadline, told, last = report.job, time.monotonic() + report.wait_s, 0, 0.0
    while not job.finished.is_set() and time.monotonic() < deadline:
        await anyio.sleep(_POLL_SECONDS)
        stand = job.stand
        if stand is not None and stand.done > told and time.monotonic() - last >= _TELL_SECONDS:
            told, last = stand.done, time.monotonic()
            await tell(told, stand.total, stand.words)
        elif stand is None and len(job.notes) > told:
            told = len(job.notes)
            await tell(told, None, job.notes[-1])


def present(context: JobContext, report: JobReport) -> Presentation:
    """Tell how far the job is, or what it found."""
    job = report.job
    seconds = context.jobs.seconds(job)
    stand = job.stand
    steps = f"{stand.done} of {stand.total} steps" if stand is not None else f"{len(job.notes)} steps"
    head = f"{job.id} '{job.what}': {job.state} after {seconds:.1f} s, {steps}"
    data: dict[str, Any] = {
        "job_id": job.id,
        "state": job.state,
        "seconds": round(seconds, 2),
        "steps": list(job.notes),
        "progress": {"done": stand.done, "total": stand.total} if stand is not None else {},
    }
    if job.state == "running":
        now = stand.words if stand is not None else job.notes[-1] if job.notes else ""
        last = f"; last {now}" if now else ""
        return Presentation(f"{head}{last}. Call get_job with job_id '{job.id}' for the result.", data)
    if job.result is None:
        return Presentation(f"{head}. {job.failure}".strip(), data | {"failure": job.failure})
    return Presentation(f"{head}\n{job.result.text}", data | job.result.data, job.result.pictures)


JOB_TOOLS = (
    ToolSpec.of(get_job, present, is_job=True, has_picture=True, shows_masks=True),
    ToolSpec.of(cancel_job, present, is_job=True, removes=True),
)


def as_job(spec: ToolSpec) -> ToolSpec:
    """The tool with `wait_s` among its arguments, where its work may outlast a call."""
    return spec.with_argument(WAIT, WaitSeconds, MOST_WAIT) if spec.is_long else spec


def begin(
    jobs: Jobs, spec: ToolSpec, workspace: Workspace, arguments: Mapping[str, Any], check: Callable[[], None]
) -> Job:
    """Check the arguments of a tool with long work, and begin that as a job behind everybody else's calls.

    Raises:
        ToolError: the arguments are unusable; nothing has begun.
        Busy: as many jobs as allowed are running.
    """
    work: LongWork[Any] = spec.function(workspace, **arguments)
    return jobs.start(work.what, lambda job: spec.presented(workspace, work.run(JobWatch(job, check))), bulk=True)
